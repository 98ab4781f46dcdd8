# SPDX-License-Identifier: AGPL-3.0-or-later
# The snapshot functions of PVE::Storage: what was written before, the size of that time, and what a removal leaves.
# Run by api.t.
use strict;
use warnings;

use lib '/root/pve-test';
use Api;
use Test::More;

my $fmt = $can{FMT};
my $MiB = 1024 * 1024;
my $ours = $can{OURS};

my sub size { return scalar(PVE::Storage::volume_size_info($cfg, $_[0])) }

my $volid = PVE::Storage::vdisk_alloc($cfg, 'sub', 100, $fmt, undef, 8 * 1024);

if (!$can{CAN_VM_SNAP}) {
    dies(sub { PVE::Storage::volume_snapshot($cfg, $volid, 's1') }, qr/./, 'a snapshot is refused');
    unlike($@, qr/ line \d+/, 'with a message for people');
    PVE::Storage::vdisk_free($cfg, $volid);
    done_testing();
    exit(0);
}

mark($volid, 0x41);
PVE::Storage::volume_snapshot($cfg, $volid, 's1');
mark($volid, 0x42);
PVE::Storage::volume_resize($cfg, $volid, 16 * $MiB, 0) if $fmt eq 'raw';
my $grown =
    $fmt eq 'raw'
    ? 16 * $MiB
    : 8 * $MiB; # an internal qcow2 snapshot forbids a resize in older QEMU
PVE::Storage::volume_snapshot($cfg, $volid, 's2');
mark($volid, 0x43);
dies(sub { PVE::Storage::volume_snapshot($cfg, $volid, 's1') }, qr/./, 'a name that is taken')

    if $fmt eq 'raw';
ok(marked($volid, 0x43), 'the volume goes on');

if ($ours) {
    my $info = PVE::Storage::volume_snapshot_info($cfg, $volid);
    is(join(' ', sort keys %$info), 's1 s2', 'volume_snapshot_info names both');
    like($info->{s1}->{timestamp}, qr/^\d{10}\z/, 'with the time');
    ok($info->{s1}->{id} ne $info->{s2}->{id}, 'and different identities');
    clean($info, 'volume_snapshot_info');
}
my $list = PVE::Storage::vdisk_list($cfg, 'sub', 100)->{sub};
is(scalar(@$list), 1, 'snapshots are not listed');
clean($list, 'vdisk_list');

if ($can{CAN_RAW_SNAP} && $ours) { # the stock type gives out the wrong path here
    PVE::Storage::activate_volumes($cfg, [$volid], 's1');
    my $path = PVE::Storage::path($cfg, $volid, 's1');
    clean($path, 'path of a snapshot');
    ok(-e $path, 'an activated snapshot has its path');
    ok(marked($volid, 0x41, 's1'), 'and the content of that time');
    is(PVE::Storage::map_volume($cfg, $volid, 's1') // $path, $path, 'it can be mapped');
    PVE::Storage::deactivate_volumes($cfg, [$volid], 's1');
}
if ($ours && PVE::Storage::volume_has_feature($cfg, 'clone', $volid, 's1', 0))
{ # stock btrfs clones the present state
    my $clone = PVE::Storage::vdisk_clone($cfg, $volid, 102, 's1');
    clean($clone, 'clone of a snapshot');
    ok(marked($clone, 0x41), 'clone of a snapshot: content of that time');
    is(size($clone), 8 * $MiB, 'clone of a snapshot: size of that time');
    PVE::Storage::vdisk_free($cfg, $clone);
}

# --- back and forth
my $blockers = [];
if ($can{CAN_ROLLBACK_ANY}) {
    ok(
        PVE::Storage::volume_rollback_is_possible($cfg, $volid, 's1', $blockers),
        'rollback past a newer snapshot is possible'
    );
    is_deeply($blockers, [], 'nothing blocks it');
    ok(
        PVE::Storage::volume_rollback_is_possible($cfg, $volid, 's1', undef),
        'also for callers that want no blockers'
    );
    PVE::Storage::volume_snapshot_rollback($cfg, $volid, 's1');
    ok(marked($volid, 0x41), 'rollback: content');
    is(size($volid), 8 * $MiB, 'rollback: size');
} else {
    dies(
        sub { PVE::Storage::volume_rollback_is_possible($cfg, $volid, 's1', $blockers) },
        qr/\bs2\b/, 'no rollback past a newer snapshot, which is named'
    );
    is_deeply($blockers, ['s2'], 'it blocks it');
    dies(
        sub { PVE::Storage::volume_snapshot_rollback($cfg, $volid, 's1') }, qr/\bs2\b/,
        'nor without asking before'
    );
    ok(marked($volid, 0x43), 'which changes nothing');
}
PVE::Storage::volume_snapshot_rollback($cfg, $volid, 's2');
ok(marked($volid, 0x42), 'rollback to the newer one: content');
is(size($volid), $grown, 'rollback to the newer one: size');
PVE::Storage::volume_snapshot_rollback($cfg, $volid, 's2');
ok(marked($volid, 0x42), 'rollback can be repeated');
dies(
    sub { PVE::Storage::volume_snapshot_rollback($cfg, $volid, 'none') }, qr/./,
    'rollback to an absent snapshot'
);
ok(marked($volid, 0x42), 'which changes nothing');

# --- removal
PVE::Storage::volume_snapshot_delete($cfg, $volid, 's1', 0);
if ($ours) {
    is(
        join(' ', keys %{ PVE::Storage::volume_snapshot_info($cfg, $volid) }), 's2',
        'the other one stays'
    );
    PVE::Storage::volume_snapshot_delete($cfg, $volid, 's1', 0);
    pass('deleting it again does no harm');
}
ok(marked($volid, 0x42), 'the volume is untouched');
PVE::Storage::volume_snapshot_rollback($cfg, $volid, 's2');
ok(marked($volid, 0x42), 'the newer snapshot works without the older');

if ($ours) { # PVE's own check comes before, in the guest's configuration
    dies(
        sub { PVE::Storage::rename_volume($cfg, $volid, 101) }, qr/snapshot.*refused/,
        'no other guest for a volume with snapshots'
    );
    ok(marked($volid, 0x42), 'it stays where it was');
}
PVE::Storage::vdisk_free($cfg, $volid);
is(scalar(@{ PVE::Storage::vdisk_list($cfg, 'sub')->{sub} }), 0, 'freed with its snapshot');

done_testing();
