# SPDX-License-Identifier: AGPL-3.0-or-later
# The volume functions of PVE::Storage, called as the guests' code calls them. Run by api.t.
use strict;
use warnings;

use lib '/root/pve-test';
use Api;
use Test::More;

my $fmt = $can{FMT};
my $MiB = 1024 * 1024;

# --- the storage
my $info = PVE::Storage::storage_info($cfg);
is($info->{sub}->{active}, 1, 'storage_info: active');
cmp_ok($info->{sub}->{total}, '>', 0, 'storage_info: total');
clean($info->{sub}, 'storage_info');
is(PVE::Storage::storage_can_replicate($cfg, 'sub', $fmt) ? 1 : 0, 0, 'no replication');
if ($can{OURS}) {
    my $formats = PVE::Storage::resolve_format_hint($cfg, 'sub', 'qcow2');
    is($formats, 'raw', 'a format it does not have becomes raw');
}

# --- allocation
my $volid = PVE::Storage::vdisk_alloc($cfg, 'sub', 100, $fmt, undef, 8 * 1024);
like(plain($volid), qr!^sub:100/vm-100-disk-0\.$fmt\z!, 'alloc without a name');
clean($volid, 'alloc');
my $named = PVE::Storage::vdisk_alloc($cfg, 'sub', 100, 'raw', 'vm-100-cloudinit.raw', 4096);
is(plain($named), 'sub:100/vm-100-cloudinit.raw', 'alloc with a name');
my $odd = PVE::Storage::vdisk_alloc($cfg, 'sub', 100, 'raw', undef, 1024.5);
cmp_ok(
    PVE::Storage::volume_size_info($cfg, $odd), '>=', 1024.5 * 1024,
    'a fraction of a KiB is rounded up'
);
cmp_ok(PVE::Storage::volume_size_info($cfg, $odd), '<=', 1024.5 * 1024 + 4 * $MiB, 'but not far');
dies(
    sub { PVE::Storage::vdisk_alloc($cfg, 'sub', 100, 'raw', 'vm-100-cloudinit.raw', 4096) },
    qr/exist/, 'alloc of an existing name'
);
dies(
    sub { PVE::Storage::vdisk_alloc($cfg, 'sub', 100, 'vmdk', undef, 4096) },
    qr/./, 'alloc of a format it does not have'
    )
    if $can{OURS};

# --- size
my $size = PVE::Storage::volume_size_info($cfg, $volid, 5);
is($size, 8 * $MiB, 'volume_size_info in scalar context');
my @info = PVE::Storage::volume_size_info($cfg, $volid, 5);
is($info[0], 8 * $MiB, 'volume_size_info: size');
is($info[1], $fmt, 'volume_size_info: format');
like($info[2], qr/^\d+\z/, 'volume_size_info: used is a number');
is($info[3], undef, 'volume_size_info: no parent');
clean(\@info, 'volume_size_info');
my $absent = asked("sub:100/vm-100-disk-99.$fmt");
is(
    eval { PVE::Storage::volume_size_info($cfg, $absent, 5) }, undef,
    'the size of an absent volume is undefined, not 0'
);

# --- path and names
my ($path, $owner, $vtype) = PVE::Storage::path($cfg, $volid);
is("$owner $vtype", '100 images', 'path: owner and type');
is(scalar(PVE::Storage::path($cfg, $volid)), $path, 'path in scalar context');
clean([$path, $owner, $vtype], 'path');
my @parsed = PVE::Storage::parse_volname($cfg, $volid);
is_deeply(
    [@parsed[0 .. 2], $parsed[6]], ['images', $volid =~ s!.*[:/]!!r, 100, $fmt],
    'parse_volname'
);
clean(\@parsed, 'parse_volname');
my $class = PVE::Storage::Plugin->lookup($cfg->{ids}->{sub}->{type});

for my $bad (
    'vm-100-disk-0.raw',
    "100/vm-100-disk-0.raw\n",
    "vm-100-disk-0.raw\n",
    "vm-100-disk-0-sp-b.c.d.raw\n",
    '100/../vm-100-disk-0.raw',
    '100/',
    'a/vm-100-disk-0.raw'
) {
    next if !$can{OURS} && $bad =~ /\n|\.\./;
    next if !$can{CAN_NAMES} && $bad eq 'vm-100-disk-0.raw'; # the volume with these tags
    my $shown = $bad =~ s/\n/\\n/r;
    dies(sub { $class->parse_volname($bad) }, qr/./, "parse_volname refuses '$shown'");
}
my (undef, $by_path) = PVE::Storage::path_to_volume_id($cfg, $path);
if (!$can{CAN_FILES}) { # PVE asks only storages that have a directory
    is($by_path, undef, 'path_to_volume_id has nobody to ask');
} elsif ($can{SUBJECT} ne 'btrfs') {
    is($by_path, $volid, 'path_to_volume_id finds the way back');
}

# --- listing
my $list = PVE::Storage::vdisk_list($cfg, 'sub', 100)->{sub};
is(join(' ', sort map { $_->{volid} } @$list), join(' ', sort $volid, $named, $odd), 'vdisk_list');
clean($list, 'vdisk_list');
my ($entry) = grep { $_->{volid} eq $volid } @$list;
is(
    "$entry->{vmid} $entry->{format} $entry->{size}", "100 $fmt " . 8 * $MiB,
    'vdisk_list: owner, format, size'
);
is(
    scalar(@{ PVE::Storage::vdisk_list($cfg, 'sub', 101)->{sub} }), 0,
    'vdisk_list of another guest'
);
$list = PVE::Storage::volume_list($cfg, 'sub', 100, 'images');
is(scalar(@$list), 3, 'volume_list');
clean($list, 'volume_list');

# --- activation
PVE::Storage::activate_volumes($cfg, [$volid, $named]);
PVE::Storage::activate_volumes($cfg, [$volid]);
ok(-e $path, 'path exists after activation');
my $mapped = PVE::Storage::map_volume($cfg, $volid);
ok(-e ($mapped // $path), 'map_volume gives a path that exists');
clean($mapped, 'map_volume');
PVE::Storage::unmap_volume($cfg, $volid);
PVE::Storage::deactivate_volumes($cfg, [$volid, $named]);
PVE::Storage::deactivate_volumes($cfg, [$volid, $absent]);
pass('deactivation, repeated, also of an absent volume');
dies(
    sub { PVE::Storage::activate_volumes($cfg, [$absent]) }, qr/./,
    'activation of an absent volume'
);

# --- for QEMU
if (PVE::Storage->can('qemu_blockdev_options')) {
    my $options = PVE::Storage::qemu_blockdev_options($cfg, $volid, '10.0', {});
    is($options->{driver}, $can{CAN_FILES} ? 'file' : 'host_device', 'blockdev driver');
    is($options->{filename}, $path, 'blockdev file name');
    clean($options, 'qemu_blockdev_options');
    is(
        PVE::Storage::volume_qemu_snapshot_method($cfg, $volid),
        $fmt eq 'qcow2' ? 'qemu' : 'storage', 'snapshot method'
    );
}

# --- resize
mark($volid, 0x41);
PVE::Storage::volume_resize($cfg, $volid, 12 * $MiB, 0);
is(scalar(PVE::Storage::volume_size_info($cfg, $volid)), 12 * $MiB, 'resize');
ok(marked($volid, 0x41), 'resize keeps the content');

# --- features
my %features = (
    dir =>
        'template:current copy:base copy:current sparseinit:base sparseinit:current rename:current'
        . ' snapshot:current clone:base copy:snap snapshot:snap',
    btrfs =>
        'template:current copy:base copy:current copy:snap sparseinit:base sparseinit:current rename:current'
        . ' snapshot:current snapshot:snap clone:base clone:current clone:snap',
    blockio =>
        'template:current copy:base copy:current copy:snap sparseinit:base sparseinit:current rename:current'
        . ($can{CAN_RAW_SNAP} ? ' snapshot:current clone:base clone:snap' : ''),
);
$features{$_} = $features{blockio} for qw(drbd joviandss storpool);
my %wanted = map { $_ => 1 } split(/ /, $features{ $can{SUBJECT} });
my %volname =
    (current => $volid, snap => $volid, base => $volid =~ s!\bvm-100-disk-0!base-100-disk-0!r);
for my $feature (qw(snapshot clone template copy sparseinit rename replicate)) {
    for my $kind (qw(current snap base)) {
        next
            if $feature eq 'sparseinit' && $kind eq 'snap'
            || $feature eq 'copy' && $kind eq 'snap' && !$can{CAN_RAW_SNAP};
        my $got = PVE::Storage::volume_has_feature(
            $cfg, $feature, $volname{$kind},
            $kind eq 'snap' ? 's1' : undef, 0
        );
        is($got ? 1 : 0, $wanted{"$feature:$kind"} ? 1 : 0, "feature $feature of $kind");
    }
}
my $no = PVE::Storage::volume_has_feature(
    $cfg, 'clone', $volname{base}, undef, 0,
    { valid_target_formats => ['subvol'] }
);
ok(!$no, 'no linked clone where its format is not wanted') if $can{SUBJECT} ne 'btrfs';

# --- streams
is_deeply(
    [PVE::Storage::volume_export_formats($cfg, $odd, undef, undef, 0)], ['raw+size'],
    'export formats'
);
is_deeply(
    [PVE::Storage::volume_export_formats($cfg, $odd, undef, undef, 1)], [],
    'none with snapshots'
);
is_deeply(
    [PVE::Storage::volume_import_formats($cfg, $odd, undef, undef, 0)], ['raw+size'],
    'import formats'
);
is_deeply(
    [PVE::Storage::volume_import_formats($cfg, $odd, 's2', 's1', 0)], [],
    'none on top of a snapshot'
    )
    if $can{SUBJECT} ne 'btrfs';

# --- reassign
my $moved = PVE::Storage::rename_volume($cfg, $volid, 101);
like(plain($moved), qr!^sub:101/vm-101-disk-0\.$fmt\z!, 'rename_volume');
clean($moved, 'rename_volume');
ok(marked($moved, 0x41), 'rename_volume keeps the content');
is(scalar(@{ PVE::Storage::vdisk_list($cfg, 'sub', 100)->{sub} }), 2, 'and leaves nothing behind');

# --- base and linked clone
my $base = PVE::Storage::vdisk_create_base($cfg, $moved);
like(plain($base), qr!^sub:101/base-101-disk-0\.$fmt\z!, 'create_base');
clean($base, 'create_base');
ok((PVE::Storage::parse_volname($cfg, $base))[5], 'it is a base');
ok(marked($base, 0x41), 'create_base keeps the content');
if ($can{CAN_LINKED}) {
    my $clone = PVE::Storage::vdisk_clone($cfg, $base, 102);
    like(plain($clone), qr!\b102/vm-102-disk-0\.\w+\z!, 'clone');
    clean($clone, 'clone');
    ok(marked($clone, 0x41), 'a clone has the content of its base');
    is(scalar(PVE::Storage::volume_size_info($cfg, $clone)), 12 * $MiB, 'and its size');
    my ($listed) = @{ PVE::Storage::vdisk_list($cfg, 'sub', 102)->{sub} };
    is($listed->{volid}, $clone, 'it is listed under the same name');
    mark($clone, 0x42);
    ok(marked($base, 0x41), 'writing to the clone does not touch the base');

    if ($can{CAN_CHAIN}) {
        dies(
            sub { PVE::Storage::vdisk_free($cfg, $base) }, qr/in use/,
            'a base in use is not freed'
        );
        PVE::Storage::vdisk_free($cfg, $clone);
        PVE::Storage::vdisk_free($cfg, $base);
    } else {
        PVE::Storage::vdisk_free($cfg, $base);
        ok(marked($clone, 0x42), 'the clone outlives its base');
        PVE::Storage::vdisk_free($cfg, $clone);
    }
} else {
    dies(sub { PVE::Storage::vdisk_clone($cfg, $base, 102) }, qr/./, 'a linked clone is refused');
    PVE::Storage::vdisk_free($cfg, $base);
}

# --- one process, its children, its alarm clock
my @children;
for my $n (1 .. 4) {
    my $pid = fork() // die "fork: $!\n";
    if (!$pid) {
        my $right = grep { PVE::Storage::volume_size_info($cfg, $named) == 4 * $MiB } 1 .. 10;
        POSIX::_exit($right == 10 ? 0 : 1);
    }
    push @children, $pid;
}
my $right = grep { (PVE::Storage::volume_size_info($cfg, $odd) // 0) >= $MiB } 1 .. 10;
is($right, 10, 'answers to the parent are its own');
my $good = grep { waitpid($_, 0) == $_ && $? == 0 } @children;
is($good, 4, 'and those to four children theirs');
if ($can{OURS}) { # the stock types clear it
    alarm(100);
    PVE::Storage::volume_size_info($cfg, $named, 5);
    cmp_ok(alarm(0), '>', 50, 'an alarm that was set goes on');
}

PVE::Storage::vdisk_free($cfg, $_) for $named, $odd;
is(scalar(@{ PVE::Storage::vdisk_list($cfg, 'sub')->{sub} }), 0, 'all are freed');

done_testing();
