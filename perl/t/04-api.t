#!/usr/bin/perl
# SPDX-License-Identifier: AGPL-3.0-or-later

# Which version of the storage API the types say they implement.

use v5.36;

use FindBin;
use lib map { /\A(.+)\z/ } map { "$FindBin::Bin/$_" } qw(lib helper ../lib);

use Test::More;

use Blockio::Test;

my sub outcome($running) {
    return in_child(sub {
        local $ENV{PVE_BLOCKIO_MANIFEST} = fixture_dir() . '/manifest.json';
        require PVE::Storage;
        PVE::Storage::run_as_api_version($running);
        my $class = 'PVE::Storage::Custom::BlockioPlugin';
        my @warnings = warnings_of(sub { PVE::Storage::load_plugin($class) });
        my $registered = PVE::Storage::Plugin->private()->{plugins}->{blockio};
        return {
            warnings => \@warnings,
            registered => $registered ? 1 : 0,
            api => $registered ? $class->api() : undef,
        };
    });
}

for my $running (11 .. 15) {
    my $got = outcome($running);
    is($got->{api}, $running, "API $running is answered with $running");
    is_deeply($got->{warnings}, [], '... without a warning');
}

for my $running (9, 10) {
    my $got = outcome($running);
    is($got->{registered}, 0, "API $running is too old");
    is(scalar($got->{warnings}->@*), 1, '... which is one warning');
    like(
        $got->{warnings}->[0],
        qr/needs storage API 11, this node has $running: upgrade libpve-storage-perl\n\z/,
        '... that says what to do',
    );
}

my $newer = outcome(16);
is($newer->{api}, 15, 'a later API is answered with the last one that was tried');
is_deeply($newer->{warnings}, ["an upgrade is recommended\n"], '... and PVE says so');

# a vendor's plugin of the same type, whichever of the two PVE comes to first
my $beside = in_child(sub {
    local $ENV{PVE_BLOCKIO_MANIFEST} = fixture_dir() . '/manifest.json';
    require PVE::Storage;
    no strict 'refs'; ## no critic (ProhibitNoStrict)
    @Vendor::Plugin::ISA = ('PVE::Storage::Plugin');
    *{'Vendor::Plugin::type'} = sub { 'blockio' };
    Vendor::Plugin->register();
    my @warnings = warnings_of(
        sub { PVE::Storage::load_plugin('PVE::Storage::Custom::BlockioPlugin') }
    );
    return {
        warnings => \@warnings,
        class => PVE::Storage::Plugin->private()->{plugins}->{blockio},
    };
});
is($beside->{class}, 'Vendor::Plugin', 'a type that somebody else has stays theirs');
is(scalar($beside->{warnings}->@*), 1, '... which is one warning');
like(
    $beside->{warnings}->[0],
    qr/'blockio' is the one of Vendor::Plugin already: remove the package [^\n]+ or pve-blockio\n\z/,
    '... that says what to do',
);

# every version appends arguments to some methods
my ($blockio) = load_types();
my $service = start_service({
    map {
        $_ => sub { undef }
    } qw(activate_volume deactivate_volume volume_resize volume_snapshot activate_storage)
});
my $scfg = blockio_scfg();
my $disk = '100/vm-100-disk-0.raw';
for my $case (
    ['activate_volume', 'store', $scfg, $disk, undef, {}],
    ['activate_volume', 'store', $scfg, $disk, undef, {}, { 'guest-is-windows' => 1 }, 'new'],
    ['deactivate_volume', 'store', $scfg, $disk],
    ['deactivate_volume', 'store', $scfg, $disk, undef, {}, 'new'],
    ['volume_resize', $scfg, 'store', $disk, 4096, 0],
    ['volume_resize', $scfg, 'store', $disk, 4096, 0, undef, 'new'],
    ['volume_snapshot', $scfg, 'store', $disk, 's1', 'new'],
    ['activate_storage', 'store', $scfg],
    ['activate_storage', 'store', $scfg, {}, 'new'],
) {
    my ($method, @arguments) = $case->@*;
    is(
        dies_with(sub { $blockio->$method(@arguments) }),
        'lived', "$method with " . scalar(@arguments) . ' arguments',
    );
}
ok($blockio->can($_), "method $_ is there") for qw(
    api type plugindata properties options check_config on_add_hook on_update_hook on_delete_hook
    on_update_hook_full get_identity get_formats check_connection activate_storage status
    cluster_lock_storage parse_volname get_subdir path filesystem_path find_free_diskname
    alloc_image free_image clone_image create_base rename_volume list_images list_volumes
    activate_volume deactivate_volume map_volume unmap_volume qemu_blockdev_options
    volume_qemu_snapshot_method volume_size_info volume_resize volume_snapshot
    volume_snapshot_rollback volume_snapshot_delete volume_rollback_is_possible
    volume_snapshot_info rename_snapshot volume_snapshot_needs_fsfreeze storage_can_replicate
    volume_has_feature get_volume_attribute update_volume_attribute volume_export
    volume_export_formats volume_import volume_import_formats get_import_metadata
);

done_testing();
