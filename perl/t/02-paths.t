#!/usr/bin/perl
# SPDX-License-Identifier: AGPL-3.0-or-later

use v5.36;

use FindBin;
use lib map { /\A(.+)\z/ } map { "$FindBin::Bin/$_" } qw(lib helper ../lib);

use Test::More;

use Blockio::Test;

my ($blockio, $blocktest) = load_types();
my $scfg = blockio_scfg();
my $disk = '100/vm-100-disk-0.raw';

is_deeply(
    [$blockio->path($scfg, $disk, 'store')],
    ['/srv/store/images/100/vm-100-disk-0.raw', '100', 'images'],
    'path, owner and type in list context',
);
is(
    scalar($blockio->path($scfg, $disk, 'store')),
    '/srv/store/images/100/vm-100-disk-0.raw',
    'the path alone in scalar context',
);
is(
    scalar($blockio->path($scfg, $disk, 'store', 'before')),
    '/srv/store/images/100/.snap/vm-100-disk-0.raw/before',
    'a snapshot has its own path',
);
is_deeply(
    [$blockio->filesystem_path($scfg, $disk, 'before')],
    ['/srv/store/images/100/.snap/vm-100-disk-0.raw/before', '100', 'images'],
    'filesystem_path says the same',
);
is(
    scalar($blockio->path(
        blockio_scfg('content-dirs' => { images => 'disks' }), $disk, 'store'
    )),
    '/srv/store/disks/100/vm-100-disk-0.raw',
    'content-dirs is honoured',
);
for my $snap ('../../x', 'a/b', "a\n", '-a', '', 'a b') {
    like(
        dies_with(sub { $blockio->path($scfg, $disk, 'store', $snap) }),
        qr/\Ainvalid snapshot name\n\z/,
        'a snapshot name cannot lead elsewhere: ' . $snap =~ s/\n/\\n/r,
    );
}
is(
    scalar($blocktest->path(blocktest_scfg(), 'base-100-disk-0/vm-101-disk-0', 'array')),
    '/run/pve-blockio/dev/array/vm-101-disk-0',
    'a device is named after storage and volume',
);
like(
    dies_with(sub { $blocktest->filesystem_path(blocktest_scfg(), 'vm-101-disk-0') }),
    qr/depends on the storage ID\n\z/,
    'filesystem_path cannot name a device',
);
is(
    scalar($blockio->path($scfg, 'iso/debian.iso', 'store')),
    '/srv/store/template/iso/debian.iso',
    "PVE's own files are where PVE has them",
);
is_deeply(
    [$blockio->path($scfg, 'backup/vzdump-qemu-100-x.vma', 'store')],
    ['/srv/store/dump/vzdump-qemu-100-x.vma', '100', 'backup'],
    'a backup has an owner',
);
is($blockio->get_subdir($scfg, 'iso'), '/srv/store/template/iso', 'get_subdir of a directory');
like(
    dies_with(sub { $blocktest->get_subdir(blocktest_scfg(), 'images') }),
    qr/no path/,
    'get_subdir of an array',
);

is_deeply(
    $blockio->qemu_blockdev_options($scfg, 'store', $disk, '9.2+pve1', {}),
    { driver => 'file', filename => '/srv/store/images/100/vm-100-disk-0.raw' },
    'QEMU opens an image as a file',
);
is_deeply(
    $blocktest->qemu_blockdev_options(
        blocktest_scfg(), 'array', 'vm-100-disk-0', '9.2+pve1', { 'snapshot-name' => 's1' },
    ),
    { driver => 'host_device', filename => '/run/pve-blockio/dev/array/vm-100-disk-0@s1' },
    'QEMU opens the snapshot of a device',
);

is_deeply(
    $blockio->get_formats($scfg, 'store'),
    { default => 'raw', valid => { raw => 1, subvol => 1 } },
    'formats',
);
is(
    $blockio->get_formats(blockio_scfg(format => 'subvol'), 'store')->{default},
    'subvol', 'the format property sets the default'
);
is(
    $blockio->get_formats(blockio_scfg(format => 'qcow2'), 'store')->{default},
    'raw', 'an unknown one does not'
);
my $formats = $blockio->get_formats($scfg, 'store');
$formats->{valid}->{qcow2} = 1;
ok(!$blockio->get_formats($scfg, 'store')->{valid}->{qcow2}, 'each caller gets its own hash');

is($blockio->volume_qemu_snapshot_method('store', $scfg, $disk), 'storage', 'snapshot method');
is($blockio->volume_snapshot_needs_fsfreeze(), 1, 'file systems are frozen for a snapshot');
is($blockio->storage_can_replicate($scfg, 'store', 'raw'), 0, 'no replication');

done_testing();
