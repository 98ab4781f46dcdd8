#!/usr/bin/perl
# SPDX-License-Identifier: AGPL-3.0-or-later

# What each method asks the service, and what it makes of the answer. Under -T all arguments but
# the storage ID are tainted, so is whatever comes from the service; nothing that is returned may be.

use v5.36;

use FindBin;
use lib map { /\A(.+)\z/ } map { "$FindBin::Bin/$_" } qw(lib helper ../lib);

use JSON ();
use Scalar::Util qw(tainted);
use Test::More;

use Blockio::Test;

my ($blockio, $blocktest) = load_types();
my $disk = '100/vm-100-disk-0.raw';
my $scfg = blockio_scfg();
my $array = blocktest_scfg();

# What the service answers next, and what it was asked.
my $answers = scratch_dir() . '/answers.json';
my $json = JSON->new->utf8->allow_nonref;
my @methods = qw(
    activate_storage activate_volume alloc_image capabilities check_connection clone_image
    create_base deactivate_volume find_free_diskname free_image get_identity list_images map_volume
    on_add_hook on_delete_hook on_update_hook rename_volume status unmap_volume volume_resize
    volume_rollback_is_possible volume_size_info volume_snapshot volume_snapshot_delete
    volume_snapshot_info volume_snapshot_rollback
);
my $service = start_service({
    map {
        $_ => sub ($request) {
            open(my $fh, '<', $answers) or die "answers: $!\n";
            my $answer = $json->decode(do { local $/ = undef; <$fh> });
            die "$answer->{error}\n" if $answer->{error};
            return $answer->{result};
        }
    } @methods
});

my sub answer(%answer) {
    open(my $fh, '>', $answers) or die "answers: $!\n";
    print {$fh} $json->encode(\%answer);
    close($fh) or die "answers: $!\n";
    return;
}

my sub last_request() {
    my @all = grep { $_->{method} } requests($service);
    return $all[-1];
}

my sub any_tainted($value) {
    return grep { __SUB__->($_) } $value->@* if ref($value) eq 'ARRAY';
    return grep { __SUB__->($_) } $value->%* if ref($value) eq 'HASH';
    return tainted($value) ? 1 : ();
}

# Calls a method with tainted arguments; checks the request and the result.
my sub calls($title, $class, $call, $result, $asked, $returned) {
    answer(result => $result);
    my ($method, @arguments) = $call->@*;
    my @got = eval {
        $class->$method(
            map { defined($_) && /\A(?:store|array)\z/ ? $_ : taint($_) }
                @arguments
        );
    };
    my $err = $@;
    is($err, '', "$title: $method lives") or return;
    my $request = last_request();
    is($request->{method}, $asked->[0], '... and asks once');
    is_deeply($request->{args}, $asked->[1], '... for the right thing');
    is_deeply(\@got, $returned, '... and returns it');
    ok(!any_tainted(\@got), '... untainted');
    return;
}

my sub fails($title, $class, $call, $answer, $expected) {
    answer($answer->%*);
    my ($method, @arguments) = $call->@*;
    like(dies_with(sub { $class->$method(@arguments) }), qr/\A$expected\n\z/, $title);
    return;
}

SKIP: {
    skip('without -T there is no taint', 1) if !tainted_mode();
    ok(tainted(taint('x')), 'the test taints what it hands over');
}

# the section as the service gets it
{
    answer(result => undef);
    my $section = blockio_scfg(shared => 1, 'content-dirs' => { images => 'disks' });
    $blockio->activate_storage('store', $section);
    my $sent = last_request();
    is($sent->{storeid}, 'store', 'the storage ID is sent');
    is_deeply(
        $sent->{scfg},
        {
            type => 'blockio',
            path => '/srv/store',
            shared => 1,
            content => { images => JSON::true, rootdir => JSON::true, iso => JSON::true },
            nodes => { pve1 => JSON::true },
            'content-dirs' => { images => 'disks' },
        },
        'the section is sent, its sets as booleans',
    );
    $blocktest->activate_storage('array', blocktest_scfg(password => 'hush'));
    ok(!exists(last_request()->{scfg}->{password}), 'a secret in the section is not');
}

# state of the storage
calls(
    'online', $blockio, ['check_connection', 'store', $scfg], JSON::true,
    ['check_connection', {}], [1]
);
calls(
    'offline', $blockio, ['check_connection', 'store', $scfg], JSON::false,
    ['check_connection', {}], [0]
);
calls(
    'active', $blockio, ['activate_storage', 'store', $scfg, {}], undef,
    ['activate_storage', {}], []
);
calls(
    'sizes', $blockio, ['status', 'store', $scfg, {}],
    {
        total => '9007199254740993', avail => '18014398509481985', used => '0',
        active => JSON::true
    },
    ['status', {}],
    [9007199254740993, 18014398509481985, 0, 1]
);
calls(
    'inactive', $blockio, ['status', 'store', $scfg, {}],
    { total => '0', avail => '0', used => '0', active => JSON::false },
    ['status', {}], []
);
calls(
    'identity', $blockio, ['get_identity', $scfg, 'store'], "uuid:1\n2",
    ['get_identity', {}], ['uuid:1 2']
);
for my $bad ('', '-1', '1.5', '1e3', ' 1', "1\n", '0x10', '99999999999999999999', undef, [], 'inf')
{
    fails(
        'a size that is none is refused', $blockio, ['status', 'store', $scfg],
        { result => { total => '1', avail => $bad, used => '1', active => JSON::true } },
        qr/pve-blockio service sent an invalid avail size \(internal\)/
    );
}
fails(
    'a status that is none is refused', $blockio, ['status', 'store', $scfg],
    { result => 'fine' }, qr/pve-blockio service sent an invalid status \(internal\)/
);

# hooks
calls('add', $blockio, ['on_add_hook', 'store', $scfg], undef, ['on_add_hook', {}], []);
calls(
    'add with a secret', $blocktest, ['on_add_hook', 'array', $array, password => 'hush'],
    undef,
    ['on_add_hook', { sensitive => { password => 'hush' } }], []
);
calls(
    'update', $blockio,
    ['on_update_hook_full', 'store', $scfg, { content => { images => 1 } }, ['nodes'], {}],
    undef,
    [
        'on_update_hook',
        { update => { content => { images => JSON::true } }, delete => ['nodes'] }
    ],
    [],
);
calls(
    'update without deletions', $blockio,
    ['on_update_hook_full', 'store', $scfg, {}, undef, {}],
    undef, ['on_update_hook', { update => {}, delete => [] }], []
);
calls(
    'a secret is deleted', $blocktest,
    ['on_update_hook_full', 'array', $array, {}, undef, { password => undef }], undef,
    ['on_update_hook', { update => {}, delete => [], sensitive => { password => undef } }], [],
);
{
    my $old = { $array->%*, password => 'clear' };
    calls(
        'a secret that an old section had in clear is set', $blocktest,
        ['on_update_hook_full', 'array', $old, {}, undef, { password => 'hush' }], undef,
        ['on_update_hook', { update => {}, delete => [], sensitive => { password => 'hush' } }],
        [],
    );
    ok(!exists($old->{password}), '... and is gone from the section');
}
{
    PVE::Storage::config()->{ids}->{store} = $scfg;
    calls(
        'update before API 13', $blockio, ['on_update_hook', 'store', { disable => 1 }], undef,
        ['on_update_hook', { update => { disable => 1 }, delete => [] }], []
    );
    is(last_request()->{scfg}->{path}, '/srv/store', '... with the current section');
}
calls('delete', $blockio, ['on_delete_hook', 'store', $scfg], undef, ['on_delete_hook', {}], []);
fails(
    'a refusal stops the removal of a storage', $blockio, ['on_delete_hook', 'store', $scfg],
    { error => 'refused: still in use' }, qr/store: on_delete_hook: still in use \(refused\)/
);
{
    local $ENV{PVE_BLOCKIO_SOCKET} = scratch_dir() . '/none.sock';
    my @warnings = warnings_of(sub { $blockio->on_delete_hook('store', $scfg) });
    is(scalar(@warnings), 1, 'a service that is down does not');
    like(
        $warnings[0], qr/\Astore: on_delete_hook: .* not running.* \(unreachable\)\n\z/,
        '... but it is said'
    );
}

# allocation
for my $case (
    [4096, '4194304'],
    ['4096', '4194304'],
    [528, '540672'],
    [0.5, '512'],
    [0.0009765625, '1'],
    [1.0009765625, '1025'],
    ['1.0001', '1025'],
    [1073741824, '1099511627776'],
    [9007199254740993, '9223372036854776832'],
    [0, '0'],
) {
    my ($kib, $bytes) = $case->@*;
    calls(
        "$kib KiB", $blockio, ['alloc_image', 'store', $scfg, '100', 'raw', undef, $kib],
        { volname => $disk },
        ['alloc_image', { vmid => 100, format => 'raw', name => undef, size => $bytes }],
        [$disk]
    );
}
for my $bad ('', undef, '-1', 'x', '1k', '1e9', "1\n", '1;2') {
    fails(
        'a size that is none is not sent', $blockio,
        ['alloc_image', 'store', $scfg, 100, 'raw', undef, $bad], {},
        qr/invalid size '[^\n]*': not a number of KiB/
    );
}
calls(
    'a name', $blockio, ['alloc_image', 'store', $scfg, 100, 'raw', 'vm-100-disk-0.raw', 1024],
    { volname => $disk },
    [
        'alloc_image',
        { vmid => 100, format => 'raw', name => 'vm-100-disk-0.raw', size => '1048576' }
    ],
    [$disk]
);
calls(
    'a name without extension', $blockio,
    ['alloc_image', 'store', $scfg, 100, 'raw', 'vm-100-disk-0', 1024], { volname => $disk },
    [
        'alloc_image',
        { vmid => 100, format => 'raw', name => 'vm-100-disk-0', size => '1048576' }
    ],
    [$disk]
);
calls(
    'an empty name', $blockio, ['alloc_image', 'store', $scfg, 100, 'raw', '', 1024],
    { volname => $disk },
    ['alloc_image', { vmid => 100, format => 'raw', name => undef, size => '1048576' }], [$disk]
);
calls(
    'a container directory', $blockio,
    ['alloc_image', 'store', $scfg, 100, 'subvol', undef, 0],
    { volname => '100/subvol-100-disk-0.subvol' },
    ['alloc_image', { vmid => 100, format => 'subvol', name => undef, size => '0' }],
    ['100/subvol-100-disk-0.subvol']
);
calls(
    'a cloud-init drive, for which PVE wants qcow2', $blockio,
    ['alloc_image', 'store', $scfg, 100, 'qcow2', 'vm-100-cloudinit.qcow2', 4096],
    { volname => '100/vm-100-cloudinit.raw' },
    [
        'alloc_image',
        { vmid => 100, format => 'raw', name => 'vm-100-cloudinit.raw', size => '4194304' }
    ],
    ['100/vm-100-cloudinit.raw']
);
fails(
    'a format that is not there', $blockio,
    ['alloc_image', 'store', $scfg, 100, 'qcow2', undef, 1024], {},
    qr/format 'qcow2' is not supported, use one of: raw, subvol/
);
fails(
    'an owner that is none', $blockio,
    ['alloc_image', 'store', $scfg, undef, 'raw', undef, 1024], {}, qr/no valid VMID given/
);
fails(
    'another name than the one asked for is refused', $blockio,
    ['alloc_image', 'store', $scfg, 100, 'raw', 'vm-100-disk-1.raw', 1024],
    { result => { volname => $disk } }, qr/.* invalid name: .*/
);
fails(
    'a volume of another guest is refused', $blockio,
    ['alloc_image', 'store', $scfg, 101, 'raw', undef, 1024],
    { result => { volname => $disk } },
    qr/.* invalid owner of volume .*/
);
for my $bad ('../etc/passwd', "$disk\n", 'iso/a.iso', '', undef, {}, 'store:100/vm-100-disk-0.raw')
{
    fails(
        'a volume name that is none is refused', $blockio,
        ['alloc_image', 'store', $scfg, 100, 'raw', undef, 1024],
        { result => { volname => $bad } }, qr/.* sent an invalid volume name \(internal\)/
    );
}

for my $case ([0, 'vm-100-disk-3'], [1, 'vm-100-disk-3.raw']) {
    my ($suffix, $name) = $case->@*;
    calls(
        'a free name', $blockio, ['find_free_diskname', 'store', $scfg, 100, 'raw', $suffix],
        { name => 'vm-100-disk-3.raw' },
        ['find_free_diskname', { vmid => 100, format => 'raw' }], [$name]
    );
}

calls(
    'free', $blockio, ['free_image', 'store', $scfg, $disk, 0, 'raw'],
    { existed => JSON::true },
    ['free_image', { volname => $disk }], []
);
{
    answer(result => { existed => JSON::false });
    my @warnings = warnings_of(sub { $blockio->free_image('store', $scfg, $disk, 0, 'raw') });
    is_deeply(\@warnings, ["store: volume '$disk' did not exist\n"], 'free of what is not there');
}

calls(
    'clone of a base', $blockio,
    ['clone_image', $scfg, 'store', '100/base-100-disk-0.raw', 101, undef],
    { volname => '101/vm-101-disk-0.raw' },
    ['clone_image', { volname => '100/base-100-disk-0.raw', vmid => 101, snap => undef }],
    ['101/vm-101-disk-0.raw']
);
calls(
    'clone of a snapshot', $blockio, ['clone_image', $scfg, 'store', $disk, 101, 's1'],
    { volname => '101/vm-101-disk-0.raw' },
    ['clone_image', { volname => $disk, vmid => 101, snap => 's1' }], ['101/vm-101-disk-0.raw']
);
fails(
    'a clone of neither', $blockio, ['clone_image', $scfg, 'store', $disk, 101, undef], {},
    qr/clone_image works on base images and snapshots only, '\Q$disk\E' is neither/
);
calls(
    'a clone that depends on its base', $blocktest,
    ['clone_image', $array, 'array', 'base-100-disk-0', 101, undef],
    { volname => 'base-100-disk-0/vm-101-disk-0' },
    ['clone_image', { volname => 'base-100-disk-0', vmid => 101, snap => undef }],
    ['base-100-disk-0/vm-101-disk-0']
);
calls(
    'template', $blockio, ['create_base', 'store', $scfg, $disk],
    { volname => '100/base-100-disk-0.raw' }, ['create_base', { volname => $disk }],
    ['100/base-100-disk-0.raw']
);
fails(
    'a template of a template', $blockio,
    ['create_base', 'store', $scfg, '100/base-100-disk-0.raw'], {},
    qr/'100\/base-100-disk-0\.raw' is a base image already/
);
calls(
    'reassign', $blockio, ['rename_volume', $scfg, 'store', $disk, 101, undef],
    { volname => '101/vm-101-disk-0.raw' },
    ['rename_volume', { volname => $disk, vmid => 101, name => undef }],
    ['store:101/vm-101-disk-0.raw']
);
calls(
    'rename', $blockio, ['rename_volume', $scfg, 'store', $disk, 101, 'vm-101-x.raw'],
    { volname => '101/vm-101-x.raw' },
    ['rename_volume', { volname => $disk, vmid => 101, name => 'vm-101-x.raw' }],
    ['store:101/vm-101-x.raw']
);
calls(
    'rename within a guest', $blockio,
    ['rename_volume', $scfg, 'store', $disk, undef, 'x.raw'],
    { volname => '100/x.raw' },
    ['rename_volume', { volname => $disk, vmid => 100, name => 'x.raw' }], ['store:100/x.raw']
);

# listing
my $listed = [
    {
        volname => $disk, format => 'raw', size => '1024', used => '512', vmid => 100,
        ctime => 5
    },
    { volname => '101/base-101-disk-0.raw', format => 'raw', size => '2048', vmid => '101' },
    {
        volname => '102/vm-102-disk-0.raw', format => 'raw', size => '1', vmid => 102,
        parent => '101/base-101-disk-0.raw'
    },
];
my $entries = [
    {
        volid => "store:$disk", format => 'raw', size => 1024, used => 512, vmid => '100',
        ctime => 5
    },
    { volid => 'store:101/base-101-disk-0.raw', format => 'raw', size => 2048, vmid => '101' },
    {
        volid => 'store:102/vm-102-disk-0.raw', format => 'raw', size => 1, vmid => '102',
        parent => 'store:101/base-101-disk-0.raw'
    },
];
calls(
    'everything', $blockio, ['list_images', 'store', $scfg, undef, undef, {}], $listed,
    ['list_images', { vmid => undef, vollist => undef }], [$entries]
);
calls(
    'one guest', $blockio, ['list_images', 'store', $scfg, 101], $listed,
    ['list_images', { vmid => 101, vollist => undef }], [[$entries->[1]]]
);
calls(
    'a list', $blockio,
    ['list_images', 'store', $scfg, 101, ["store:$disk", 'other:101/vm-101-disk-0.raw']],
    $listed,
    ['list_images', { vmid => undef, vollist => [$disk] }], [[$entries->[0]]]
);
calls(
    'nothing', $blockio, ['list_images', 'store', $scfg], [],
    ['list_images', { vmid => undef, vollist => undef }], [[]]
);
fails(
    'a list that is none', $blockio, ['list_images', 'store', $scfg], { result => {} },
    qr/.* invalid list of volumes .*/
);
fails(
    'a size that is missing', $blockio, ['list_images', 'store', $scfg],
    { result => [{ volname => $disk }] }, qr/.* invalid volume size .*/
);
{
    no warnings 'once'; ## no critic (ProhibitNoWarnings)
    local $PVE::Cluster::guests = { 100 => { type => 'qemu' }, 102 => { type => 'lxc' } };
    my sub with_content($content, $entry) {
        return { $entry->%*, content => $content };
    }
    calls(
        'disks', $blockio, ['list_volumes', 'store', $scfg, undef, ['images']], $listed,
        ['list_images', { vmid => undef, vollist => undef }],
        [[map { with_content('images', $_) } $entries->@[0, 1]]]
    );
    calls(
        'container volumes', $blockio, ['list_volumes', 'store', $scfg, undef, ['rootdir']],
        $listed, ['list_images', { vmid => undef, vollist => undef }],
        [[with_content('rootdir', $entries->[2])]]
    );
    my $before = scalar(requests($service));
    answer(result => $listed);
    my $all = $blockio->list_volumes('store', $scfg, undef, [qw(rootdir images iso)]);
    is(scalar(requests($service)) - $before, 1, 'one call serves both kinds');
    is_deeply(
        [sort map { $_->{content} } $all->@*], [qw(images images iso rootdir)],
        '... and PVE lists its own files'
    );
}

# activation
calls(
    'activate', $blockio, ['activate_volume', 'store', $scfg, $disk, undef, {}], undef,
    ['activate_volume', { volname => $disk, snap => undef }], []
);
calls(
    'activate a snapshot with hints', $blockio,
    ['activate_volume', 'store', $scfg, $disk, 's1', {}, { 'guest-is-windows' => 1 }], undef,
    [
        'activate_volume',
        { volname => $disk, snap => 's1', hints => { 'guest-is-windows' => JSON::true } }
    ],
    []
);
calls(
    'deactivate', $blockio, ['deactivate_volume', 'store', $scfg, $disk, 's1', {}], undef,
    ['deactivate_volume', { volname => $disk, snap => 's1' }], []
);
calls(
    'map', $blocktest, ['map_volume', 'array', $array, 'vm-100-disk-0', undef, {}],
    { path => '/dev/mapper/3600:1_a' },
    ['map_volume', { volname => 'vm-100-disk-0', snap => undef }],
    ['/dev/mapper/3600:1_a']
);
for my $bad ('dev/x', "/dev/x\n", '/dev/../etc/x', '/dev/a b', '/dev/x;y', '', undef) {
    fails(
        'a path that is none is refused', $blocktest,
        ['map_volume', 'array', $array, 'vm-100-disk-0'], { result => { path => $bad } },
        qr/.* invalid device path .*/
    );
}
calls(
    'unmap', $blockio, ['unmap_volume', 'store', $scfg, $disk, undef], undef,
    ['unmap_volume', { volname => $disk, snap => undef }], [1]
);

# size
calls(
    'size', $blockio, ['volume_size_info', $scfg, 'store', $disk, 5],
    { size => '1024', format => 'raw', used => '512', parent => undef, ctime => 7 },
    ['volume_size_info', { volname => $disk }], [1024, 'raw', 512, undef, 7]
);
is(last_request()->{deadlineMs}, 5000, '... within the time that the caller gives');
is(scalar($blockio->volume_size_info($scfg, 'store', $disk)), 1024, 'the size alone');
fails(
    'the size of what is not there', $blockio, ['volume_size_info', $scfg, 'store', $disk],
    { error => 'absent: no such volume' },
    qr/store: volume_size_info '\Q$disk\E': no such volume \(absent\)/
);
calls(
    'resize', $blockio, ['volume_resize', $scfg, 'store', $disk, 1099511627776, 1], undef,
    [
        'volume_resize',
        { volname => $disk, size => '1099511627776', running => JSON::true, snap => undef }
    ],
    []
);
calls(
    'resize of what does not run', $blockio, ['volume_resize', $scfg, 'store', $disk, 4096, 0],
    undef,
    [
        'volume_resize',
        { volname => $disk, size => '4096', running => JSON::false, snap => undef }
    ],
    []
);
fails(
    'resize of a snapshot', $blockio, ['volume_resize', $scfg, 'store', $disk, 4096, 0, 's1'],
    {},
    qr/resizing a snapshot is not supported by storage type 'blockio'/
);

# snapshots
calls(
    'snapshot', $blockio, ['volume_snapshot', $scfg, 'store', $disk, 's1'], undef,
    ['volume_snapshot', { volname => $disk, snap => 's1' }], []
);
calls(
    'rollback', $blockio, ['volume_snapshot_rollback', $scfg, 'store', $disk, 's1'], undef,
    ['volume_snapshot_rollback', { volname => $disk, snap => 's1' }], []
);
for my $running (undef, 0, 1) {
    calls(
        'delete a snapshot', $blockio,
        ['volume_snapshot_delete', $scfg, 'store', $disk, 's1', $running], undef,
        [
            'volume_snapshot_delete',
            { volname => $disk, snap => 's1', running => $running ? JSON::true : JSON::false }
        ],
        []
    );
}
calls(
    'rollback is possible', $blockio,
    ['volume_rollback_is_possible', $scfg, 'store', $disk, 's1', undef],
    { possible => JSON::true, blockers => [] },
    ['volume_rollback_is_possible', { volname => $disk, snap => 's1' }], [1]
);
for my $blockers (undef, []) {
    fails(
        'rollback is not possible', $blockio,
        ['volume_rollback_is_possible', $scfg, 'store', $disk, 's1', $blockers],
        { result => { possible => JSON::false, blockers => ['s2', 's3'] } },
        qr/store: cannot roll '\Q$disk\E' back to snapshot 's1': newer snapshots: s2, s3/
    );
    is_deeply($blockers, ['s2', 's3'], '... and the caller gets the names') if $blockers;
}
fails(
    'the reason is the one of the service', $blockio,
    ['volume_rollback_is_possible', $scfg, 'store', $disk, 's1'],
    { result => { possible => JSON::false, blockers => [], reason => "volume is\nin use" } },
    qr/.*: volume is in use/
);
calls(
    'snapshots', $blockio, ['volume_snapshot_info', $scfg, 'store', $disk],
    { s1 => { id => 'a-1', timestamp => 10 }, s2 => { id => 'a-2', timestamp => 20 } },
    ['volume_snapshot_info', { volname => $disk }],
    [{ s1 => { id => 'a-1', timestamp => 10 }, s2 => { id => 'a-2', timestamp => 20 } }]
);
fails(
    'rename of a snapshot', $blockio, ['rename_snapshot', $scfg, 'store', $disk, 's1', 's2'],
    {},
    qr/renaming a snapshot is not supported by storage type 'blockio'/
);

# locks
{
    my $ran = $blockio->cluster_lock_storage('store', 1, undef, sub (@p) { "ran @p" }, 1, 2);
    is($ran, 'ran 1 2', "PVE's lock is not taken when the service locks per guest");
    ok(!(grep { $_ eq 'cluster_lock_storage' } stock_calls()), '... indeed');
    is(
        dies_with(sub {
            $blockio->cluster_lock_storage('s', 0, 5, sub { die "inner\n" });
        }),
        "inner\n", '... and an error comes through',
    );
    $ran = $blocktest->cluster_lock_storage('array', 1, undef, sub (@p) { "ran @p" }, 1);
    is($ran, 'ran 1', 'otherwise it is');
    is_deeply([stock_calls()], ['cluster_lock_storage'], '... indeed');

    answer(result => { existed => JSON::true });
    $blocktest->free_image('array', $array, 'vm-100-disk-0');
    cmp_ok(last_request()->{deadlineMs}, '<', 60_000, 'under that lock calls end before it does');
}

# configuration
is_deeply(
    $blockio->check_config('store', { path => '/srv/store/', content => 'images' }, 1, 1),
    { type => 'blockio', path => '/srv/store', content => 'images' },
    'the path is made canonical',
);
like(
    dies_with(sub { $blockio->check_config('store', {}, 1, 1) }), qr/'path' is missing/,
    'a directory needs a path'
);
is_deeply(
    $blocktest->check_config('array', { 'blocktest-server' => 'a' }, 1, 1),
    { type => 'blocktest', 'blocktest-server' => 'a' },
    'an array does not',
);

# attributes
is($blockio->get_volume_attribute($scfg, 'store', $disk, 'notes'), undef, 'a disk has no notes');
is($blockio->get_volume_notes($scfg, 'store', $disk), undef, '... asked in the old way');
like(
    dies_with(sub { $blockio->update_volume_attribute($scfg, 'store', $disk, 'protected', 1) }),
    qr/\Aattribute 'protected' is not supported for disk/,
    '... and cannot be protected',
);
is_deeply([stock_calls()], [], 'PVE has not been asked anything about disks');

done_testing();
