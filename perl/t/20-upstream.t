#!/usr/bin/perl
# SPDX-License-Identifier: AGPL-3.0-or-later

# The shim under PVE's own code: an installation, or checkouts below the directory that PVE_REF
# names. Skipped where neither loads.

use v5.36;

use FindBin;
use lib map { /\A(.+)\z/ } map { "$FindBin::Bin/$_" } qw(helper ../lib);

use File::Path qw(make_path);
use JSON ();
use Test::More;

use Blockio::Test;

BEGIN {
    my ($ref) = ($ENV{PVE_REF} // '') =~ m{\A(/.+)\z};
    if ($ref) {
        my @repositories =
            qw(pve-common pve-cluster pve-access-control pve-storage pve-guest-common);
        push @INC, grep { -d } map { "$ref/$_/src" } @repositories;
    }
    $ENV{PVE_BLOCKIO_MANIFEST} = fixture_dir() . '/manifest.json';
    $ENV{PATH} = '/usr/sbin:/usr/bin:/sbin:/bin';
    delete @ENV{qw(IFS CDPATH ENV BASH_ENV)};
}

my $class = 'PVE::Storage::Custom::BlockioPlugin';
my @warnings;
my $loaded = do {
    local $SIG{__WARN__} = sub ($text) { push @warnings, $text };
    eval {
        require PVE::Storage::Plugin;
        if (!-e '/usr/share/perl5/PVE/Storage/Custom/BlockioPlugin.pm') {
            # PVE's loader would not find it, and later is too late
            require PVE::Storage::Custom::BlockioPlugin;
            $class->register();
        }
        require PVE::Storage;
        1;
    };
};
if (!$loaded) {
    my ($reason) = $@ =~ /\A([^\n(]+)/;
    plan(skip_all => "PVE's code does not load here (PVE_REF): $reason");
}
diag('storage API ' . PVE::Storage::APIVER());
is_deeply(\@warnings, [], 'loads without a warning');
is(PVE::Storage::Plugin->lookup('blockio'), $class, 'the type is registered');
is($class->api(), PVE::Storage::APIVER(), 'and implements the API that runs');

my $path = scratch_dir() . '/store';
make_path(map { "$path/$_" } qw(images/100 template/iso dump snippets import));

my $text = <<"CFG";
blockio: store
\tpath $path/
\tcontent images,rootdir,iso,backup,snippets,import
\tnodes pve1
\tshared 0
\tprune-backups keep-last=1
\tcontent-dirs snippets=snippets
\tbwlimit default=100
\tpreallocation off
\tmax-protected-backups -1
CFG
my $cfg;
{
    local $SIG{__WARN__} = sub ($warning) { push @warnings, $warning };
    $cfg = PVE::Storage::Plugin->parse_config('storage.cfg', $text);
}
is_deeply(\@warnings, [], 'a section is parsed without a warning');
my $scfg = $cfg->{ids}->{store};
is($scfg->{path}, $path, 'the path is canonical');
my $written = PVE::Storage::Plugin->write_config('storage.cfg', $cfg);
like($written, qr/^blockio: store\n(?:\t\S+ .+\n)*\tpath \Q$path\E\n/m, 'and written again');
for my $bad ('relative', '/a b', '/a;b') {
    like(
        dies_with(sub { $class->check_config('store', { path => $bad }, 1) }),
        qr/path/, "path '$bad' is refused"
    );
}
delete $scfg->{nodes};

my $schema = PVE::Storage::Plugin->createSchema();
ok($schema->{properties}->{path}, 'the schema of the API can be made');
ok(PVE::Storage::Plugin->updateSchema()->{properties}->{content}, '... also the one for changes');

my $touch = sub ($name, $content = 'x' x 1024) {
    open(my $fh, '>', "$path/$name") or die "$name: $!\n";
    print {$fh} $content;
    close($fh) or die "$name: $!\n";
    return;
};
$touch->("template/iso/a.iso");
$touch->("snippets/s.yml");
my @backups = map { "vzdump-qemu-100-2026_08_0$_-00_00_00.vma.zst" } 1 .. 3;
$touch->("dump/$_") for @backups;

# names
for my $case (
    ['iso/a.iso', 'iso', 'a.iso'],
    ['vztmpl/debian-13_13.0-1_amd64.tar.zst', 'vztmpl', 'debian-13_13.0-1_amd64.tar.zst'],
    ["backup/$backups[0]", 'backup', $backups[0]],
    ['snippets/s.yml', 'snippets', 's.yml'],
    ['import/a.ova', 'import', 'a.ova'],
    ['100/vm-100-disk-0.raw', 'images', 'vm-100-disk-0.raw'],
) {
    my ($volname, @expected) = $case->@*;
    my @got = PVE::Storage::parse_volname($cfg, "store:$volname");
    is_deeply([@got[0, 1]], \@expected, "$volname is parsed");
}
for my $bad ('100/vm-100-disk-0.qcow2', 'iso/../a.iso', "iso/a.iso\n", 'snippets/..') {
    isnt(dies_with(sub { $class->parse_volname($bad) }), 'lived', 'a hostile name is refused');
}
is(
    scalar(PVE::Storage::path($cfg, 'store:100/vm-100-disk-0.raw')),
    "$path/images/100/vm-100-disk-0.raw",
    'path of a disk',
);
is(
    scalar(PVE::Storage::path($cfg, 'store:iso/a.iso')), "$path/template/iso/a.iso",
    '... of a file'
);
is(
    (PVE::Storage::path_to_volume_id($cfg, "$path/template/iso/a.iso"))[1],
    'store:iso/a.iso', 'a file is found by its path'
);

# files: no service
{
    local $ENV{PVE_BLOCKIO_SOCKET} = scratch_dir() . '/none.sock';
    my sub volids(@types) {
        return [sort map { $_->{volid} } $class->list_volumes('store', $scfg, undef, \@types)->@*];
    }
    is_deeply(volids('iso', 'snippets'), ['store:iso/a.iso', 'store:snippets/s.yml'], 'listed');
    is(PVE::Storage::volume_size_info($cfg, 'store:iso/a.iso'), 1024, 'size of a file')
        if -x '/usr/bin/qemu-img';
    my $volid = "store:backup/$backups[2]";
    is(
        dies_with(sub {
            PVE::Storage::update_volume_attribute($cfg, $volid, 'notes', "n\x{e4}");
        }),
        'lived',
        'notes of a backup are set'
    );
    is(PVE::Storage::get_volume_attribute($cfg, $volid, 'notes'), "n\x{e4}", '... and read');
    $class->update_volume_attribute($scfg, 'store', "backup/$backups[0]", 'protected', 1);
    is(
        $class->get_volume_attribute($scfg, 'store', "backup/$backups[0]", 'protected'),
        1, 'a backup is protected'
    );
    like(
        dies_with(sub { $class->free_image('store', $scfg, "backup/$backups[0]") }),
        qr/protected/, '... and not removed'
    );
    my $pruned = $class->prune_backups(
        $scfg, 'store', { 'keep-last' => 1 }, 100, 'qemu', 0, sub { },
    );
    is_deeply(
        { map { $_->{volid} => $_->{mark} } $pruned->@* },
        {
            "store:backup/$backups[0]" => 'protected',
            "store:backup/$backups[1]" => 'remove',
            "store:backup/$backups[2]" => 'keep',
        },
        'backups are pruned'
    );
    ok(!-e "$path/dump/$backups[1]", '... indeed');
    is(
        dies_with(sub { $class->free_image('store', $scfg, 'iso/a.iso', undef, 'raw') }),
        'lived', 'a file is removed'
    );
    ok(!-e "$path/template/iso/a.iso", '... indeed');
    is_deeply(
        [$class->volume_export_formats($scfg, 'store', 'snippets/s.yml')],
        ['raw+size'], 'a file can be exported'
    );
    my $size = sub ($fh) { read($fh, my $head, 8); return unpack('Q<', $head) };
    if (-x '/usr/bin/qemu-img') {
        open(my $fh, '+>', scratch_dir() . '/stream') or die "stream: $!\n";
        $class->volume_export($scfg, 'store', $fh, 'snippets/s.yml', 'raw+size');
        seek($fh, 0, 0);
        is($size->($fh), 1024, '... with its size in front');
    }
    like(
        dies_with(sub { PVE::Storage::activate_storage($cfg, 'store') }),
        qr/\Aconnection check for storage 'store' failed - store: check_connection: .*systemctl/,
        'without the service the storage is offline, and what to do is said',
    );
}

# disks: the service
my $disk = '100/vm-100-disk-0.raw';
my $service = start_service({
    (
        map {
            $_ => sub { undef }
        } qw(activate_storage activate_volume deactivate_volume)
    ),
    check_connection => sub { JSON::true },
    status => sub {
        return { total => '3072', avail => '2048', used => '1024', active => JSON::true };
    },
    alloc_image => sub ($request) {
        return {
            volname => "$request->{args}->{vmid}/"
                . ($request->{args}->{name} // 'vm-100-disk-0.raw')
        };
    },
    free_image => sub { return { existed => JSON::true } },
    list_images => sub {
        return [{ volname => $disk, format => 'raw', size => '4096', vmid => 100 }];
    },
    volume_size_info => sub { return { size => '4096', format => 'raw', used => '0' } },
    volume_resize => sub { undef },
    volume_snapshot => sub { die "refused: not today\n" },
    capabilities => sub { return { reflink => JSON::true } },
    rename_volume => sub { return { volname => '101/vm-101-disk-0.raw' } },
});
my sub last_args() {
    my @all = grep { $_->{method} } requests($service);
    return $all[-1]->{args};
}
is(
    PVE::Storage::vdisk_alloc($cfg, 'store', 100, 'raw', undef, 1000.5),
    "store:$disk", 'a disk is made'
);
is(last_args()->{size}, '1024512', '... of the right size');
is(
    PVE::Storage::vdisk_alloc($cfg, 'store', 100, 'qcow2', 'vm-100-cloudinit.qcow2', 4096),
    'store:100/vm-100-cloudinit.raw', 'a cloud-init drive is made'
);
is(dies_with(sub { PVE::Storage::vdisk_free($cfg, "store:$disk") }), 'lived', 'a disk is freed');
is_deeply(
    [PVE::Storage::volume_size_info($cfg, "store:$disk", 5)],
    [4096, 'raw', 0, undef, undef],
    'its size is known',
);
is(dies_with(sub { PVE::Storage::volume_resize($cfg, "store:$disk", 5000, 0) }), 'lived', 'resize');
is(last_args()->{size}, '5120', '... to whole KiB');
is(
    dies_with(sub { PVE::Storage::volume_snapshot($cfg, "store:$disk", 's1') }),
    "store: volume_snapshot '$disk': not today (refused)\n",
    'an error comes through as it is',
);
is(PVE::Storage::volume_has_feature($cfg, 'snapshot', "store:$disk"), 1, 'it can be snapshotted');
is(PVE::Storage::rename_volume($cfg, "store:$disk", 101), 'store:101/vm-101-disk-0.raw', 'rename');
is_deeply(
    [map { $_->{volid} } PVE::Storage::vdisk_list($cfg, 'store')->{store}->@*],
    ["store:$disk"], 'it is listed'
);
is_deeply(
    [map { $_->{volid} } PVE::Storage::volume_list($cfg, 'store', undef, 'images')->@*],
    ["store:$disk"], '... with the content'
);
my $info = PVE::Storage::storage_info({ ids => { store => $scfg } });
is_deeply([$info->{store}->@{qw(total avail used active)}], [3072, 2048, 1024, 1], 'status');
is(dies_with(sub { PVE::Storage::activate_volumes($cfg, ["store:$disk"]) }), 'lived', 'activate');
is(
    dies_with(
        sub { PVE::Storage::deactivate_volumes($cfg, ["store:$disk", 'store:snippets/s.yml']) }
    ),
    'lived',
    'deactivate, also what never was active'
);
if (PVE::Storage->can('qemu_blockdev_options')) {
    is_deeply(
        PVE::Storage::qemu_blockdev_options($cfg, "store:$disk", '9.2+pve1', {}),
        { driver => 'file', filename => "$path/images/$disk" },
        'QEMU opens it',
    );
}
done_testing();
