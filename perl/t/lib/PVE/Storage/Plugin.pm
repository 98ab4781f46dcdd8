# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage::Plugin;

# Stand-in for tests: a base class that knows a few file names, and otherwise records that it was
# called. What a method returns says that it was this one.

use v5.36;

use base qw(PVE::SectionConfig);

our @SHARED_STORAGE = ('nfs');

# [method, argument...] of every call that came down to this class
our @CALLS;

my $private = {
    propertyList => {
        map { $_ => { type => 'string', optional => 1 } }
            qw(type storage nodes content disable shared format preallocation content-dirs),
        qw(prune-backups max-protected-backups),
    },
};

sub private($class) {
    return $private;
}

sub parse_volname($class, $volname) {
    die "stock: unable to parse '$volname'\n"
        if $volname !~ m{\A(iso|vztmpl|backup|snippets|import)/([^/]+)\z};
    my ($vtype, $name) = ($1, $2);
    my ($vmid) = $name =~ /\Avzdump-[a-z]+-([0-9]+)-/;
    my ($format) = $vtype eq 'import' ? $name =~ /\.([a-z0-9]+)\z/ : 'raw';
    return ($vtype, $name, $vmid, undef, undef, undef, $format);
}

my $SUBDIR = { images => 'images', iso => 'template/iso', backup => 'dump' };

sub get_subdir($class, $scfg, $vtype) {
    die "storage definition has no path\n" if !$scfg->{path};
    my $subdir = $scfg->{'content-dirs'}->{$vtype} // $SUBDIR->{$vtype} // $vtype;
    return "$scfg->{path}/$subdir";
}

sub filesystem_path($class, $scfg, $volname, $snapname = undef) {
    die "stock: no snapshots\n" if defined($snapname);
    my ($vtype, $name, $vmid) = $class->parse_volname($volname);
    my $path = $class->get_subdir($scfg, $vtype) . "/$name";
    return wantarray ? ($path, $vmid, $vtype) : $path;
}

sub list_volumes($class, $storeid, $scfg, $vmid, $types) {
    push @CALLS, ['list_volumes', $types->@*];
    return [map { { volid => "$storeid:$_/file", content => $_ } } $types->@*];
}

sub cluster_lock_storage($class, $storeid, $shared, $timeout, $func, @param) {
    push @CALLS, ['cluster_lock_storage', $storeid];
    return $func->(@param);
}

sub volume_export_formats($class, @) {
    return ('stock+size');
}

sub volume_import_formats($class, @) {
    return ('stock+size');
}

for my $method (qw(
    activate_volume clone_image create_base free_image map_volume qemu_blockdev_options
    volume_export volume_has_feature volume_import volume_qemu_snapshot_method volume_resize
    volume_rollback_is_possible volume_size_info volume_snapshot volume_snapshot_delete
    volume_snapshot_info volume_snapshot_rollback
)) {
    no strict 'refs'; ## no critic (ProhibitNoStrict)
    *{$method} = sub ($class, @arguments) {
        push @CALLS, [$method, @arguments];
        return "stock $method";
    };
}

1;
