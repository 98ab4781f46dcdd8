# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage::Custom::Blockio::Base;

use v5.36;

use JSON ();

# PVE::Storage::DirPlugin is used as well, but not loaded from here: it needs PVE::Storage, which
# loads both it and us, in this order.
use PVE::Cluster;
use PVE::Storage::Plugin;

use PVE::Storage::Custom::Blockio::Client;
use PVE::Storage::Custom::Blockio::Manifest;
use PVE::Storage::Custom::Blockio::Properties;
use PVE::Storage::Custom::Blockio::Stream;
use PVE::Storage::Custom::Blockio::Value
    qw(clean_number clean_path clean_text clean_word kib_to_bytes one_line);
use PVE::Storage::Custom::Blockio::Volname;

use base qw(PVE::Storage::Plugin);

# Every method of PVE's storage plugin API, in the order of its documentation. Those not found here
# do what is right in PVE's base class: deactivate_storage (PVE never calls it), prune_backups
# (works on list_volumes) and new_backup_provider (not a feature of these types).
#
# Signatures end in `@`, and what some versions of PVE do not pass has a default: PVE appends
# arguments to its methods every now and then.

# Helpers
#

my sub entry($class) {
    return PVE::Storage::Custom::Blockio::Manifest::entry($class->type());
}

# Names that PVE's own directory code takes care of, as on a directory storage.
my sub delegated($class, $volname) {
    return PVE::Storage::Custom::Blockio::Volname::delegated(entry($class)->{grammar}, $volname);
}

# A parsed name of one of our images, nothing for any other. Does not die, so that no loop over
# names needs an eval, which would swallow what a signal handler throws.
my sub image($class, $volname) {
    return if delegated($class, $volname);
    return PVE::Storage::Custom::Blockio::Volname::parse(entry($class)->{grammar}, $volname);
}

my sub image_or_die($class, $volname) {
    return image($class, $volname)
        // die "unable to parse " . $class->type() . " volume name '" . one_line($volname) . "'\n";
}

my sub flag($value) {
    return $value ? JSON::true : JSON::false;
}

# A storage.cfg section as the service gets it.
my sub section($class, $scfg) {
    my $secret = entry($class)->{plugindata}->{'sensitive-properties'};
    my $section = { map { $_ => $scfg->{$_} } grep { !$secret->{$_} } keys $scfg->%* };
    for my $set (grep { ref($section->{$_}) eq 'HASH' } qw(content nodes)) {
        $section->{$set} = { map { $_ => JSON::true } keys $section->{$set}->%* };
    }
    return $section;
}

my sub guest_number($vmid) {
    my ($number) = ($vmid // '') =~ /\A([0-9]+)\z/ or die "no valid VMID given\n";
    return 0 + $number;
}

my sub has_secrets($class) {
    return scalar(keys entry($class)->{plugindata}->{'sensitive-properties'}->%*);
}

# Result, or undef and an error with code and message.
my sub try_call($class, $storeid, $scfg, $method, $args, $seconds = undef) {
    my $under_lock = $scfg->{shared} && entry($class)->{locking} eq 'storage';
    my $deadline =
        PVE::Storage::Custom::Blockio::Client::deadline_ms($method, $under_lock, $seconds);
    return PVE::Storage::Custom::Blockio::Client::request(
        $method, $storeid, section($class, $scfg), $args, $deadline,
    );
}

my sub error_text($storeid, $method, $args, $error) {
    my $object = defined($args->{volname}) ? " '" . one_line($args->{volname}) . "'" : '';
    return "$storeid: $method$object: $error->{message} ($error->{code})\n";
}

my sub call($class, $storeid, $scfg, $method, $args, $seconds = undef) {
    my ($result, $error) = try_call($class, $storeid, $scfg, $method, $args, $seconds);
    die error_text($storeid, $method, $args, $error) if $error;
    return $result;
}

my sub refuse_invalid($what) {
    die "pve-blockio service sent an invalid $what (internal)\n";
}

my sub fields($result, $what) {
    refuse_invalid($what) if ref($result) ne 'HASH';
    return $result;
}

# A volume name from the service, untainted, with what it says.
my sub clean_volname($class, $volname) {
    refuse_invalid('volume name') if !defined($volname) || ref($volname);
    my $volume = image($class, $volname) // refuse_invalid('volume name');
    my ($clean) = $volname =~ /\A(.+)\z/;
    return ($clean, $volume);
}

# The name of a volume that was made, for a guest if it has one.
my sub made_volname($class, $result, $vmid) {
    my ($volname, $volume) = clean_volname($class, fields($result, 'result')->{volname});
    refuse_invalid("owner of volume '$volname'") if ($volume->{vmid} // 0) != ($vmid // 0);
    return ($volname, $volume);
}

# Identity and configuration
#

# What the versions changed for us: 11 sensitive-properties; 12 get_formats, qemu_blockdev_options,
# volume_qemu_snapshot_method; 13 on_update_hook_full, hints; 14 get_identity; 15 snapshot name in
# volume_resize. Dying here makes PVE skip the type with a warning.
sub api($class, @) {
    my $range = entry($class)->{api};
    return $range->{max} if !PVE::Storage->can('APIVER');

    my $running = PVE::Storage::APIVER();
    die "storage type '"
        . $class->type()
        . "' needs storage API $range->{min}, this node has $running: upgrade libpve-storage-perl\n"
        if $running < $range->{min};
    return $running < $range->{max} ? $running : $range->{max};
}

# The vendor's plugin may have the type already. PVE prints this as the reason why ours is not loaded.
sub register($class, @) {
    my $type = $class->type();
    my $other = $class->private()->{plugins}->{$type};
    die "storage type '$type' is the one of $other already: "
        . "remove the package that brings that, or pve-blockio\n"
        if defined($other);
    $class->SUPER::register();
    push @PVE::Storage::Plugin::SHARED_STORAGE, $class->type() if entry($class)->{shared};
    return;
}

sub plugindata($class, @) {
    return entry($class)->{plugindata};
}

sub properties($class, @) {
    return PVE::Storage::Custom::Blockio::Properties::declared(__PACKAGE__, $class->type());
}

sub options($class, @) {
    return PVE::Storage::Custom::Blockio::Properties::accepted(__PACKAGE__, $class->type());
}

sub check_config($class, $storeid, $config, $create = 0, $skip = 0, @) {
    return PVE::Storage::DirPlugin::check_config($class, $storeid, $config, $create, $skip)
        if defined(entry($class)->{base});
    return $class->SUPER::check_config($storeid, $config, $create, $skip);
}

sub on_add_hook($class, $storeid, $scfg, %sensitive) {
    my $args = has_secrets($class) ? { sensitive => \%sensitive } : {};
    call($class, $storeid, $scfg, 'on_add_hook', $args);
    return;
}

my sub update($class, $storeid, $scfg, $update, $delete, $sensitive) {
    my $args = { update => section($class, $update), delete => [($delete // [])->@*] };
    $args->{sensitive} = { ($sensitive // {})->%* } if has_secrets($class);
    call($class, $storeid, $scfg, 'on_update_hook', $args);
    # What an old section had in clear is stored elsewhere from now on.
    delete $scfg->@{ grep { defined($sensitive->{$_}) } keys(($sensitive // {})->%*) };
    return;
}

# Before API 13: gets the changed properties only, and what is deleted is not known.
sub on_update_hook($class, $storeid, $update, %sensitive) {
    my $scfg = PVE::Storage::storage_config(PVE::Storage::config(), $storeid);
    return update($class, $storeid, $scfg, $update, undef, \%sensitive);
}

sub on_update_hook_full($class, $storeid, $scfg, $update, $delete = undef, $sensitive = undef, @) {
    return update($class, $storeid, $scfg, $update, $delete, $sensitive);
}

# A storage can be removed from the configuration while the service is down: what it holds for that
# storage ends with it. A refusal of the service does stop the removal.
sub on_delete_hook($class, $storeid, $scfg, @) {
    my (undef, $error) = try_call($class, $storeid, $scfg, 'on_delete_hook', {});
    return if !$error;
    my $text = error_text($storeid, 'on_delete_hook', {}, $error);
    die $text if $error->{code} ne 'unreachable';
    warn $text;
    return;
}

sub get_identity($class, $scfg, $storeid, @) {
    return clean_text(call($class, $storeid, $scfg, 'get_identity', {}), 'identity');
}

sub get_formats($class, $scfg, $storeid = undef, @) {
    my ($valid, $default) = entry($class)->{plugindata}->{format}->@*;
    my $wanted = $scfg->{format} // '';
    return { default => $valid->{$wanted} ? $wanted : $default, valid => { $valid->%* } };
}

# State of the storage
#

sub check_connection($class, $storeid, $scfg, @) {
    return call($class, $storeid, $scfg, 'check_connection', {}) ? 1 : 0;
}

sub activate_storage($class, $storeid, $scfg, $cache = undef, @) {
    call($class, $storeid, $scfg, 'activate_storage', {});
    return;
}

sub status($class, $storeid, $scfg, $cache = undef, @) {
    my $status = fields(call($class, $storeid, $scfg, 'status', {}), 'status');
    return if !$status->{active};
    return ((map { clean_number($status->{$_}, "$_ size") } qw(total avail used)), 1);
}

# With 'guest' the service makes names unique and locks per guest. PVE's own lock would let the
# whole cluster wait for one call, ten seconds at most.
sub cluster_lock_storage($class, $storeid, $shared, $timeout, $func, @param) {
    return $class->SUPER::cluster_lock_storage($storeid, $shared, $timeout, $func, @param)
        if entry($class)->{locking} ne 'guest';
    my $result = $func->(@param);
    return $result;
}

# Names and paths
#

sub parse_volname($class, $volname, @) {
    if (delegated($class, $volname)) {
        die "unable to parse volume name '" . one_line($volname) . "'\n"
            if $volname =~ m{[[:cntrl:]]|/\.{1,2}(?:/|\z)};
        return $class->SUPER::parse_volname($volname);
    }
    return image_or_die($class, $volname)
        ->@{qw(vtype name vmid basename basevmid isBase format)};
}

sub get_subdir($class, $scfg, $vtype, @) {
    return $class->SUPER::get_subdir($scfg, $vtype);
}

my sub local_path($class, $scfg, $volname, $storeid, $snapname) {
    my $volume = image_or_die($class, $volname);
    my $value_of = sub ($key) {
        return $storeid // die "path of '$volname' depends on the storage ID\n"
            if $key eq 'storeid';
        my ($kind, $name) = split(/:/, $key, 2);
        return $class->get_subdir($scfg, $name) if $kind eq 'dir';
        return $scfg->{$name} // die "storage definition has no '$name'\n";
    };
    my $path = PVE::Storage::Custom::Blockio::Volname::path(
        entry($class)->{grammar}, $volume, $snapname, $value_of,
    );
    if (!defined($path)) {
        my $args = { volname => $volname, snap => $snapname };
        my $result = call($class, $value_of->('storeid'), $scfg, 'path', $args);
        $path = clean_path(fields($result, 'result')->{path}, 'device path');
    }
    return ($path, $volume->{vmid}, $volume->{vtype});
}

# Without I/O wherever the name tells the path: PVE asks for paths of volumes that are not active
# or do not exist yet.
sub path($class, $scfg, $volname, $storeid = undef, $snapname = undef, @) {
    return $class->SUPER::filesystem_path($scfg, $volname, $snapname)
        if delegated($class, $volname);
    my ($path, $vmid, $vtype) = local_path($class, $scfg, $volname, $storeid, $snapname);
    return wantarray ? ($path, $vmid, $vtype) : $path;
}

sub filesystem_path($class, $scfg, $volname, $snapname = undef, @) {
    return $class->path($scfg, $volname, undef, $snapname);
}

# PVE asks for cloud-init drives in format qcow2 on any storage that has a path, and goes on with
# the name that it gets back.
my sub usable_format($formats, $fmt, $name) {
    ($fmt) = ($fmt || $formats->{default}) =~ /\A(\w+)\z/ or die "invalid format\n";
    return ($fmt, $name) if $formats->{valid}->{$fmt};
    return ('raw', "$1.raw")
        if $formats->{valid}->{raw} && ($name // '') =~ /\A(vm-[0-9]+-cloudinit)\.\Q$fmt\E\z/;
    die "format '$fmt' is not supported, use one of: "
        . join(', ', sort keys $formats->{valid}->%*) . "\n";
}

sub find_free_diskname($class, $storeid, $scfg, $vmid, $fmt = undef, $add_fmt_suffix = 0, @) {
    ($fmt) = usable_format($class->get_formats($scfg, $storeid), $fmt, undef);
    my $args = { vmid => guest_number($vmid), format => $fmt };
    my $result = call($class, $storeid, $scfg, 'find_free_diskname', $args);
    my $name = clean_word(fields($result, 'result')->{name}, 'disk name');
    $name =~ s/\.\Q$fmt\E\z//;
    return $name if !$add_fmt_suffix;
    return "$name.$fmt";
}

# Allocation
#

sub alloc_image($class, $storeid, $scfg, $vmid, $fmt, $name, $size_kib, @) {
    ($fmt, $name) = usable_format($class->get_formats($scfg, $storeid), $fmt, $name);
    $name = undef if defined($name) && $name eq '';
    my $args = { vmid => guest_number($vmid), format => $fmt, name => $name };
    $args->{size} = kib_to_bytes($size_kib);
    my $result = call($class, $storeid, $scfg, 'alloc_image', $args);
    my ($volname, $volume) = made_volname($class, $result, $vmid);
    refuse_invalid("name: '$volume->{name}' instead of '$name'")
        if defined($name)
        && !entry($class)->{arrayNames}
        && $volume->{name} ne $name
        && $volume->{name} ne "$name.$fmt";
    return $volname;
}

sub free_image($class, $storeid, $scfg, $volname, $isBase = undef, $format = undef, @) {
    return $class->SUPER::free_image($storeid, $scfg, $volname, $isBase, $format)
        if delegated($class, $volname);
    my $result = call($class, $storeid, $scfg, 'free_image', { volname => $volname });
    warn "$storeid: volume '$volname' did not exist\n" if !fields($result, 'result')->{existed};
    return;
}

sub clone_image($class, $scfg, $storeid, $volname, $vmid, $snap = undef, @) {
    return $class->SUPER::clone_image($scfg, $storeid, $volname, $vmid, $snap)
        if delegated($class, $volname);
    die "clone_image works on base images and snapshots only, '$volname' is neither\n"
        if !image_or_die($class, $volname)->{isBase} && !defined($snap);
    my $args = { volname => $volname, vmid => guest_number($vmid), snap => $snap };
    my $result = call($class, $storeid, $scfg, 'clone_image', $args);
    my ($new_volname) = made_volname($class, $result, $vmid);
    return $new_volname;
}

sub create_base($class, $storeid, $scfg, $volname, @) {
    return $class->SUPER::create_base($storeid, $scfg, $volname) if delegated($class, $volname);
    my $volume = image_or_die($class, $volname);
    die "'$volname' is a base image already\n" if $volume->{isBase};
    my $result = call($class, $storeid, $scfg, 'create_base', { volname => $volname });
    my ($new_volname) = made_volname($class, $result, $volume->{vmid});
    return $new_volname;
}

# Listing
#

# Volumes of all types, each with its type as `content`.
my sub listed($class, $storeid, $scfg, $vmid, $vollist) {
    my $wanted = $vollist ? { map { $_ => 1 } $vollist->@* } : undef;
    my $args = {
        vmid => !$wanted && defined($vmid) ? guest_number($vmid) : undef,
        vollist => $wanted ? [map { /\A\Q$storeid\E:(.+)\z/ ? $1 : () } $vollist->@*] : undef,
    };
    my $found = call($class, $storeid, $scfg, 'list_images', $args);
    refuse_invalid('list of volumes') if ref($found) ne 'ARRAY';

    my $res = [];
    for my $item ($found->@*) {
        my ($volname, $volume) = clean_volname($class, fields($item, 'volume')->{volname});
        my $volid = "$storeid:$volname";
        next if $wanted ? !$wanted->{$volid} : defined($vmid) && ($volume->{vmid} // 0) != $vmid;

        my $info = {
            volid => $volid,
            format => $volume->{format},
            content => $volume->{vtype},
            size => clean_number($item->{size}, 'volume size'),
        };
        $info->{vmid} = $volume->{vmid} if defined($volume->{vmid});
        for my $key (grep { defined($item->{$_}) } qw(used ctime)) {
            $info->{$key} = clean_number($item->{$key}, $key);
        }
        if (defined($item->{parent})) {
            my ($parent) = clean_volname($class, $item->{parent});
            $info->{parent} = "$storeid:$parent";
        }
        push $res->@*, $info;
    }
    return $res;
}

# A linked clone by the name that also tells its base, where the type has such names.
my sub with_base($class, $storeid, $info) {
    my ($parent) = ($info->{parent} // '') =~ /\A\Q$storeid\E:(.+)\z/ or return $info;
    my ($volname) = $info->{volid} =~ /\A\Q$storeid\E:(.+)\z/ or return $info;
    my $volume = image($class, "$parent/$volname") or return $info;
    return
        defined($volume->{basename}) ? { $info->%*, volid => "$storeid:$parent/$volname" } : $info;
}

# With nothing but the storage PVE asks whether a base is in use, and looks at names only.
sub list_images($class, $storeid, $scfg, @asked) {
    my ($vmid, $vollist) = @asked;
    my @images =
        grep { delete($_->{content}) eq 'images' }
        listed($class, $storeid, $scfg, $vmid, $vollist)->@*;
    return \@images if @asked;
    return [map { with_base($class, $storeid, $_) } @images];
}

# Which contents our own volumes have; anything else is PVE's directory code's business.
my sub own_contents($class) {
    my $own = { images => 1, rootdir => 1 };
    $own->{ $_->{vtype} } = 1 for entry($class)->{grammar}->{rules}->@*;
    return $own;
}

sub list_volumes($class, $storeid, $scfg, $vmid, $content_types, @) {
    my $asked = { map { $_ => 1 } $content_types->@* };
    my $own = own_contents($class);
    my $res = [];
    if (grep { $own->{$_} } $content_types->@*) {
        my $guests = PVE::Cluster::get_vmlist()->{ids};
        for my $info (listed($class, $storeid, $scfg, $vmid, undef)->@*) {
            my $guest_type = ($guests->{ $info->{vmid} // '' } // {})->{type} // '';
            $info->{content} = 'rootdir' if $guest_type eq 'lxc';
            push $res->@*, $info if $asked->{ $info->{content} };
        }
    }
    my @others = grep { !$own->{$_} } $content_types->@*;
    push $res->@*, $class->SUPER::list_volumes($storeid, $scfg, $vmid, \@others)->@* if @others;
    return $res;
}

# Activation
#

sub activate_volume(
    $class, $storeid, $scfg, $volname, $snapname = undef, $cache = undef, $hints = undef, @
) {
    return $class->SUPER::activate_volume($storeid, $scfg, $volname, $snapname, $cache)
        if delegated($class, $volname);
    my $args = { volname => $volname, snap => $snapname };
    $args->{hints} = { map { $_ => flag($hints->{$_}) } keys $hints->%* } if $hints;
    call($class, $storeid, $scfg, 'activate_volume', $args);
    return;
}

# Where nothing is set up on the node, nothing needs to be taken back, and nobody to be asked.
my sub stays_reachable($class, $volname) {
    return 1 if delegated($class, $volname);
    image_or_die($class, $volname);
    return !(entry($class)->{needsDeactivation} // 1);
}

sub deactivate_volume($class, $storeid, $scfg, $volname, $snapname = undef, $cache = undef, @) {
    return if stays_reachable($class, $volname);
    my $args = { volname => $volname, snap => $snapname };
    call($class, $storeid, $scfg, 'deactivate_volume', $args);
    return;
}

sub map_volume($class, $storeid, $scfg, $volname, $snapname = undef, $hints = undef, @) {
    return $class->SUPER::map_volume($storeid, $scfg, $volname, $snapname)
        if delegated($class, $volname);
    my $args = { volname => $volname, snap => $snapname };
    my $result = call($class, $storeid, $scfg, 'map_volume', $args);
    return clean_path(fields($result, 'result')->{path}, 'device path');
}

sub unmap_volume($class, $storeid, $scfg, $volname, $snapname = undef, @) {
    return 1 if stays_reachable($class, $volname);
    my $args = { volname => $volname, snap => $snapname };
    call($class, $storeid, $scfg, 'unmap_volume', $args);
    return 1;
}

# Size
#

sub volume_size_info($class, $scfg, $storeid, $volname, $timeout = undef, @) {
    return $class->SUPER::volume_size_info($scfg, $storeid, $volname, $timeout)
        if delegated($class, $volname);
    my $args = { volname => $volname };
    my $info = fields(call($class, $storeid, $scfg, 'volume_size_info', $args, $timeout), 'size');
    my $size = clean_number($info->{size}, 'volume size');
    return $size if !wantarray;

    my $format = image_or_die($class, $volname)->{format};
    my $used = clean_number($info->{used} // 0, 'used size');
    my $ctime = defined($info->{ctime}) ? clean_number($info->{ctime}, 'ctime') : undef;
    my ($parent) = defined($info->{parent}) ? clean_volname($class, $info->{parent}) : (undef);
    return ($size, $format, $used, $parent, $ctime);
}

sub volume_resize($class, $scfg, $storeid, $volname, $size, $running, $snapname = undef, @) {
    die "resizing a snapshot is not supported by storage type '" . $class->type() . "'\n"
        if defined($snapname);
    return $class->SUPER::volume_resize($scfg, $storeid, $volname, $size, $running)
        if delegated($class, $volname);
    my ($bytes) = $size =~ /\A([0-9]+)\z/ or die "invalid size '" . one_line($size) . "'\n";
    my $args = { volname => $volname, size => $bytes, running => flag($running), snap => undef };
    call($class, $storeid, $scfg, 'volume_resize', $args);
    return;
}

# Snapshots
#

# PVE's base class says no to snapshots of what is delegated.

sub volume_snapshot($class, $scfg, $storeid, $volname, $snap, @) {
    return $class->SUPER::volume_snapshot($scfg, $storeid, $volname, $snap)
        if delegated($class, $volname);
    my $args = { volname => $volname, snap => $snap };
    call($class, $storeid, $scfg, 'volume_snapshot', $args);
    return;
}

sub volume_snapshot_rollback($class, $scfg, $storeid, $volname, $snap, @) {
    return $class->SUPER::volume_snapshot_rollback($scfg, $storeid, $volname, $snap)
        if delegated($class, $volname);
    my $args = { volname => $volname, snap => $snap };
    call($class, $storeid, $scfg, 'volume_snapshot_rollback', $args);
    return;
}

sub volume_snapshot_delete($class, $scfg, $storeid, $volname, $snap, $running = undef, @) {
    return $class->SUPER::volume_snapshot_delete($scfg, $storeid, $volname, $snap, $running)
        if delegated($class, $volname);
    my $args = { volname => $volname, snap => $snap, running => flag($running) };
    call($class, $storeid, $scfg, 'volume_snapshot_delete', $args);
    return;
}

sub volume_rollback_is_possible($class, $scfg, $storeid, $volname, $snap, $blockers = undef, @) {
    return $class->SUPER::volume_rollback_is_possible(
        $scfg, $storeid, $volname, $snap, $blockers,
    ) if delegated($class, $volname);
    my $args = { volname => $volname, snap => $snap };
    my $answer =
        fields(call($class, $storeid, $scfg, 'volume_rollback_is_possible', $args), 'answer');
    return 1 if $answer->{possible};

    my @names = map { clean_word($_, 'snapshot name') } ($answer->{blockers} // [])->@*;
    push $blockers->@*, @names if $blockers;
    my $reason = one_line($answer->{reason} // 'newer snapshots: ' . join(', ', @names));
    die "$storeid: cannot roll '$volname' back to snapshot '$snap': $reason\n";
}

sub volume_snapshot_info($class, $scfg, $storeid, $volname, @) {
    return $class->SUPER::volume_snapshot_info($scfg, $storeid, $volname)
        if delegated($class, $volname);
    my $args = { volname => $volname };
    my $found =
        fields(call($class, $storeid, $scfg, 'volume_snapshot_info', $args), 'snapshot list');
    my $info = {};
    for my $key (sort keys $found->%*) {
        my $snapshot = fields($found->{$key}, 'snapshot');
        $info->{ clean_word($key, 'snapshot name') } = {
            id => clean_text($snapshot->{id}, 'snapshot ID'),
            timestamp => clean_number($snapshot->{timestamp}, 'snapshot time'),
        };
    }
    return $info;
}

# Part of PVE's qcow2 volume chains.
sub rename_snapshot($class, $scfg, $storeid, $volname, $source_snap, $target_snap, @) {
    die "renaming a snapshot is not supported by storage type '" . $class->type() . "'\n";
}

sub volume_qemu_snapshot_method($class, $storeid, $scfg, $volname, @) {
    return $class->SUPER::volume_qemu_snapshot_method($storeid, $scfg, $volname)
        if delegated($class, $volname);
    return entry($class)->{snapshotMethod};
}

sub volume_snapshot_needs_fsfreeze($class, @) {
    return entry($class)->{needsFsfreeze} ? 1 : 0;
}

# Features
#

# PVE replicates between ZFS pools only, whatever a storage says.
sub storage_can_replicate($class, $scfg, $storeid, $format, @) {
    return 0;
}

# What a storage was found capable of, for a few seconds; the GUI polls the features.
my $capable_until = {};

my sub is_capable($class, $storeid, $scfg, $capability) {
    my $key = "$storeid $capability";
    return 1 if ($capable_until->{$key} // 0) > time();
    my ($result, $error) = try_call($class, $storeid, $scfg, 'capabilities', {});
    return 0 if $error || ref($result) ne 'HASH' || !$result->{$capability};
    $capable_until->{$key} = time() + 5;
    return 1;
}

# A backup mounts the snapshots of a container's volumes, and PVE mounts those of directories only
# for its own types. Told that there are none, it suspends the container instead.
my sub is_for_backup() {
    for (my $depth = 1; my $package = caller($depth); $depth++) {
        return 1 if $package eq 'PVE::VZDump::LXC';
    }
    return 0;
}

# Must not die: what cannot be answered is not there.
sub volume_has_feature(
    $class, $scfg, $feature, $storeid, $volname,
    $snapname = undef, $running = undef, $opts = undef, @
) {
    return $class->SUPER::volume_has_feature(
        $scfg, $feature, $storeid, $volname, $snapname, $running, $opts,
    ) if delegated($class, $volname);

    my $entry = entry($class);
    my $volume = image($class, $volname) or return;
    return
        if !PVE::Storage::Custom::Blockio::Volname::has_feature(
            $entry->{features}, $feature, $volume, $snapname,
        );
    return if $feature eq 'snapshot' && $volume->{format} eq 'subvol' && is_for_backup();
    if ($feature eq 'clone' && $opts && $opts->{valid_target_formats}) {
        my $made = $entry->{cloneFormat} // $volume->{format};
        return if !grep { $_ eq $made } $opts->{valid_target_formats}->@*;
    }
    my $capability = $entry->{featureRequires}->{$feature};
    return if defined($capability) && !is_capable($class, $storeid, $scfg, $capability);
    return 1;
}

# Block devices of QEMU
#

sub qemu_blockdev_options($class, $scfg, $storeid, $volname, $machine = undef, $opts = undef, @) {
    return $class->SUPER::qemu_blockdev_options($scfg, $storeid, $volname, $machine, $opts)
        if delegated($class, $volname);
    my ($path) = $class->path($scfg, $volname, $storeid, ($opts // {})->{'snapshot-name'});
    return { driver => entry($class)->{blockdev}->{driver}, filename => "$path" };
}

# Attributes: only what is delegated has any, namely backups
#

sub get_volume_attribute($class, $scfg, $storeid, $volname, $attribute, @) {
    return if !delegated($class, $volname);
    return PVE::Storage::DirPlugin::get_volume_attribute(
        $class, $scfg, $storeid, $volname, $attribute,
    );
}

sub update_volume_attribute($class, $scfg, $storeid, $volname, $attribute, $value, @) {
    die "attribute '$attribute' is not supported for disk '$volname'\n"
        if !delegated($class, $volname);
    return PVE::Storage::DirPlugin::update_volume_attribute(
        $class, $scfg, $storeid, $volname, $attribute, $value,
    );
}

sub get_volume_notes($class, $scfg, $storeid, $volname, $timeout = undef, @) {
    return $class->get_volume_attribute($scfg, $storeid, $volname, 'notes');
}

sub update_volume_notes($class, $scfg, $storeid, $volname, $notes, $timeout = undef, @) {
    return $class->update_volume_attribute($scfg, $storeid, $volname, 'notes', $notes);
}

sub get_import_metadata($class, $scfg, $volname, $storeid, @) {
    die "storage type '" . $class->type() . "' has no content of type 'import'\n"
        if !delegated($class, $volname) || !PVE::Storage::DirPlugin->can('get_import_metadata');
    return PVE::Storage::DirPlugin::get_import_metadata($class, $scfg, $volname, $storeid);
}

# Renaming
#

# PVE hands over either a guest, for a free name of it, or a name as well.
sub rename_volume($class, $scfg, $storeid, $volname, $target_vmid, $target_name = undef, @) {
    my $vmid = $target_vmid || image_or_die($class, $volname)->{vmid};
    $target_name = undef if defined($target_name) && $target_name eq '';
    my $args = { volname => $volname, vmid => guest_number($vmid), name => $target_name };
    my $result = call($class, $storeid, $scfg, 'rename_volume', $args);
    my ($new_volname) = made_volname($class, $result, $vmid);
    return "$storeid:$new_volname";
}

# Export and import
#

my sub has_stream($class, $direction, $volname, $format) {
    my $volume = image_or_die($class, $volname);
    my $formats = entry($class)->{"${direction}Formats"}->{ $volume->{format} } // [];
    return grep { $_ eq $format } $formats->@*;
}

my sub stream_job($class, $scfg, $storeid, $volname) {
    return { storeid => $storeid, scfg => section($class, $scfg), volname => $volname };
}

sub volume_export(
    $class, $scfg, $storeid, $fh, $volname, $format,
    $snapshot = undef, $base_snapshot = undef, $with_snapshots = undef, @
) {
    return $class->SUPER::volume_export(
        $scfg, $storeid, $fh, $volname, $format, $snapshot, $base_snapshot, $with_snapshots,
    ) if delegated($class, $volname);

    die "cannot export '$volname' in format '$format'\n"
        if !has_stream($class, 'export', $volname, $format);
    die "cannot export '$volname' together with its snapshots or as a difference\n"
        if $with_snapshots || defined($base_snapshot);
    my $job = stream_job($class, $scfg, $storeid, $volname);
    PVE::Storage::Custom::Blockio::Stream::export_volume($job, $fh, $snapshot);
    return;
}

sub volume_export_formats(
    $class, $scfg, $storeid, $volname,
    $snapshot = undef, $base_snapshot = undef, $with_snapshots = undef, @
) {
    return $class->SUPER::volume_export_formats(
        $scfg, $storeid, $volname, $snapshot, $base_snapshot, $with_snapshots,
    ) if delegated($class, $volname);
    return () if $with_snapshots || defined($base_snapshot);

    return (entry($class)->{exportFormats}->{ image_or_die($class, $volname)->{format} } // [])->@*;
}

sub volume_import(
    $class, $scfg, $storeid, $fh, $volname, $format,
    $snapshot = undef, $base_snapshot = undef, $with_snapshots = undef, $allow_rename = undef, @
) {
    return $class->SUPER::volume_import(
        $scfg, $storeid, $fh, $volname, $format,
        $snapshot, $base_snapshot, $with_snapshots, $allow_rename,
    ) if delegated($class, $volname);

    die "cannot import '$volname' in format '$format'\n"
        if !has_stream($class, 'import', $volname, $format);
    die "cannot import '$volname' together with its snapshots or as a difference\n"
        if $with_snapshots || defined($base_snapshot);
    my $job = stream_job($class, $scfg, $storeid, $volname);
    my $volid =
        PVE::Storage::Custom::Blockio::Stream::import_volume($job, $fh, $format, $allow_rename);
    my ($imported) = $volid =~ /\A\Q$storeid\E:(.+)\z/ or refuse_invalid('volume ID');
    my $vmid = image_or_die($class, $volname)->{vmid};
    my ($new_volname) = made_volname($class, { volname => $imported }, $vmid);
    return "$storeid:$new_volname";
}

sub volume_import_formats(
    $class, $scfg, $storeid, $volname,
    $snapshot = undef, $base_snapshot = undef, $with_snapshots = undef, @
) {
    return $class->SUPER::volume_import_formats(
        $scfg, $storeid, $volname, $snapshot, $base_snapshot, $with_snapshots,
    ) if delegated($class, $volname);
    return () if $with_snapshots || defined($base_snapshot);
    my $format = image_or_die($class, $volname)->{format};
    return (entry($class)->{importFormats}->{$format} // [])->@*;
}

1;

__END__

=head1 NAME

PVE::Storage::Custom::Blockio::Base - the storage types of pve-blockio

=head1 SYNOPSIS

    package PVE::Storage::Custom::ExamplePlugin;

    use v5.36;

    use base qw(PVE::Storage::Custom::Blockio::Base);

    sub type {
        return 'example';
    }

    1;

=head1 DESCRIPTION

Base class of all storage types of pve-blockio, for storage API 11 to 15 of Proxmox VE. A type is a
class as above and an entry in the manifest.

Each method does one of three things:

=over

=item Answer from the manifest

Class data, names, paths, features, formats, block device options: no input, no output. See
L<PVE::Storage::Custom::Blockio::Manifest>.

=item Call the service

One call of the same name over a Unix socket, see L<PVE::Storage::Custom::Blockio::Client>. Results
are checked and untainted here. Errors are one line: storage, method, volume, message, code.

=item Leave it to PVE's directory code

For types with a directory as their base: ISO images, container templates, backups, snippets and
files to import are handled as on a directory storage, and the service does not hear of them.

=back

The method names, their arguments and results are those of L<PVE::Storage::Plugin>.

=cut
