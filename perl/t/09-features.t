#!/usr/bin/perl
# SPDX-License-Identifier: AGPL-3.0-or-later

# What a volume can do: the matrix of the manifest, and the capabilities of the storage.

use v5.36;

use FindBin;
use lib map { /\A(.+)\z/ } map { "$FindBin::Bin/$_" } qw(lib helper ../lib);

use JSON ();
use Test::More;

use Blockio::Test;

my ($blockio, $blocktest) = load_types();
my $scfg = blockio_scfg();
my ($disk, $base, $subvol) =
    ('100/vm-100-disk-0.raw', '100/base-100-disk-0.raw', '100/subvol-100-disk-0.subvol');

my sub has($storeid, $feature, $volname, $snap = undef, $opts = undef) {
    return $blockio->volume_has_feature($scfg, $feature, $storeid, $volname, $snap, 0, $opts);
}

my sub start_with($reflink) {
    return start_service({
        capabilities => sub { { reflink => $reflink ? JSON::true : JSON::false } },
    });
}

my $service = start_with(1);
for my $case (
    ['snapshot', $disk, undef, 1],
    ['snapshot', $base, undef, undef],
    ['snapshot', $subvol, undef, 1],
    ['clone', $base, undef, 1],
    ['clone', $disk, undef, undef],
    ['clone', $disk, 's1', 1],
    ['clone', $subvol, 's1', 1],
    ['template', $disk, undef, 1],
    ['template', $subvol, undef, 1],
    ['template', $base, undef, undef],
    ['copy', $disk, undef, 1],
    ['copy', $base, undef, 1],
    ['copy', $disk, 's1', 1],
    ['copy', $subvol, 's1', undef],
    ['sparseinit', $disk, undef, 1],
    ['rename', $disk, undef, 1],
    ['rename', $base, undef, undef],
    ['replicate', $disk, undef, undef],
    ['unheard-of', $disk, undef, undef],
    ['copy', '100/vm-101-disk-0.raw', undef, undef],
    ['copy', 'no volume', undef, undef],
) {
    my ($feature, $volname, $snap, $expected) = $case->@*;
    my $title = "$feature of $volname" . ($snap ? " at $snap" : '');
    is(has('able', $feature, $volname, $snap), $expected, $title);
}
is(
    has('able', 'clone', $base, undef, { valid_target_formats => ['raw', 'subvol'] }),
    1, 'a clone in a format that the caller takes'
);
is(
    has('able', 'clone', $base, undef, { valid_target_formats => ['qcow2'] }),
    undef, 'a clone in one that it does not'
);
is(
    has('able', 'copy', $disk, undef, { valid_target_formats => ['qcow2'] }),
    1, 'a copy gets the format of its target'
);

{

    package PVE::VZDump::LXC;
    sub asks($about) { return $about->() }
}
is(
    PVE::VZDump::LXC::asks(sub { has('able', 'snapshot', $subvol) }),
    undef, 'a backup does not hear of snapshots of directories'
);
is(
    PVE::VZDump::LXC::asks(sub { has('able', 'snapshot', $disk) }),
    1, '... but of those of disks'
);

is(scalar(grep { $_->{method} } requests($service)), 1, 'the storage was asked once');
stop_service($service);
is(has('able', 'snapshot', $disk), 1, '... and what it said holds for a moment');

$service = start_with(0);
is(has('unable', 'snapshot', $disk), undef, 'a storage that cannot');
is(has('unable', 'copy', $disk), 1, '... can do other things');
is(has('unable', 'snapshot', $disk), undef, '... and still cannot');
is(scalar(grep { $_->{method} } requests($service)), 2, '... asked again, it may have changed');
stop_service($service);

is(
    eval { has('gone', 'snapshot', $disk) // 'undef' }, 'undef',
    'a service that is down is no reason to die'
);
is(has('gone', 'rename', $disk), 1, '... and need not be asked for the rest');
is(
    $blocktest->volume_has_feature(blocktest_scfg(), 'snapshot', 'array', 'vm-100-disk-0'),
    1, 'a type whose arrays all can is not asked',
);

done_testing();
