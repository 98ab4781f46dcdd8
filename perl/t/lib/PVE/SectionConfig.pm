# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::SectionConfig;

# Stand-in for tests: registration of types and the merge of their properties, with the same deaths
# as the original.

use v5.36;

sub private($class) {
    die "abstract\n";
}

sub type($class) {
    die "abstract\n";
}

sub plugindata($class) {
    return {};
}

sub properties($class) {
    return {};
}

sub options($class) {
    return {};
}

sub register($class) {
    my $private = $class->private();
    my $type = $class->type();
    die "type '$type' is registered already\n" if $private->{plugins}->{$type};
    $private->{plugindata}->{$type} = $class->plugindata();
    $private->{plugins}->{$type} = $class;
    return;
}

# The original walks its plugins in hash order; tests choose the order.
sub init($class, @order) {
    my $private = $class->private();
    my $plugins = $private->{plugins};
    @order = sort keys $plugins->%* if !@order;
    for my $type (@order) {
        my $properties = $plugins->{$type}->properties();
        for my $name (keys $properties->%*) {
            die "duplicate property '$name'\n" if $private->{propertyList}->{$name};
            $private->{propertyList}->{$name} = { $properties->{$name}->%*, optional => 1 };
        }
    }
    for my $type (@order) {
        my $options = $plugins->{$type}->options();
        for my $name (keys $options->%*) {
            die "undefined property '$name'\n" if !$private->{propertyList}->{$name};
        }
        $private->{options}->{$type} = $options;
    }
    return;
}

sub lookup($class, $type) {
    return $class->private()->{plugins}->{$type} // die "unknown type '$type'\n";
}

sub check_config($class, $id, $config, $create = 0, $skip = 0) {
    my $options = $class->private()->{options}->{ $class->type() };
    for my $name (keys $config->%*) {
        die "unexpected property '$name'\n" if !$options->{$name};
        die "property '$name' is fixed\n" if !$create && $options->{$name}->{fixed};
    }
    for my $name ($create ? keys $options->%* : ()) {
        die "property '$name' is missing\n"
            if !$options->{$name}->{optional} && !defined($config->{$name});
    }
    return { type => $class->type(), $config->%* };
}

1;
