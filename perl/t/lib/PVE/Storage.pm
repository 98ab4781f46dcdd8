# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage;

# Stand-in for tests: the plugin loader, with the version of the API to be chosen, and the
# configuration.

use v5.36;

use PVE::Storage::DirPlugin;
use PVE::Storage::Plugin;

my $api_version = 15;
our $config = { ids => {} };

sub APIVER {
    return $api_version;
}

sub run_as_api_version($version) {
    $api_version = $version;
    return;
}

sub config {
    return $config;
}

sub storage_config($cfg, $storeid, $noerr = 0) {
    return $cfg->{ids}->{$storeid} // die "storage '$storeid' does not exist\n";
}

# As PVE does with each file in its directory of third-party plugins.
sub load_plugin($class) {
    my $file = ($class =~ s{::}{/}gr) . '.pm';
    my $loaded = eval {
        require $file;
        my $version = $class->api();
        die "version $version is newer than $api_version\n" if $version > $api_version;
        die "version $version is too old\n" if $version < 9;
        $class->register();
        warn "an upgrade is recommended\n" if $version != $api_version;
        1;
    };
    warn "Error loading storage plugin \"$class\": $@" if !$loaded;
    return $loaded;
}

PVE::Storage::DirPlugin->register();

1;
