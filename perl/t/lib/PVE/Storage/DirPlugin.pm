# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage::DirPlugin;

# Stand-in for tests.

use v5.36;

use base qw(PVE::Storage::Plugin);

sub type($class) {
    return 'dir';
}

sub plugindata($class) {
    return { content => [{ images => 1 }, { images => 1 }], format => [{ raw => 1 }, 'raw'] };
}

sub properties($class) {
    return {
        map { $_ => { type => 'string' } }
            qw(path mkdir create-base-path create-subdirs is_mountpoint bwlimit password)
    };
}

sub options($class) {
    return { path => { fixed => 1 } };
}

sub check_config($class, @arguments) {
    my $config = PVE::SectionConfig::check_config($class, @arguments);
    $config->{path} =~ s{/+\z}{} if defined($config->{path});
    return $config;
}

for my $method (qw(get_import_metadata get_volume_attribute update_volume_attribute)) {
    no strict 'refs'; ## no critic (ProhibitNoStrict)
    *{$method} = sub ($class, @arguments) {
        push @PVE::Storage::Plugin::CALLS, ["dir $method", @arguments];
        return "stock $method";
    };
}

1;
