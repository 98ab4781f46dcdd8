# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage::Custom::Blockio::Properties;

use v5.36;

use PVE::SectionConfig;

use PVE::Storage::Custom::Blockio::Manifest;

# Who declares what, decided once for a set of registered plugins; see below.
my $decision;
my $state = { asking => 0 };

# Plugins may keep their properties to themselves, where PVE knows of that.
my sub exposes($plugindata, $name) {
    return 1 if !PVE::SectionConfig->can('has_isolated_properties');
    return 1 if !$plugindata->{'isolate-properties'};
    my $exposed = $plugindata->{'expose-properties'};
    return ref($exposed) eq 'HASH' ? $exposed->{$name} : $exposed;
}

my sub decide($base, $private) {
    my $plugins = $private->{plugins};
    my %taken = map { $_ => 1 } keys $private->{propertyList}->%*;
    my @ours;
    for my $type (sort keys $plugins->%*) {
        if ($plugins->{$type}->isa($base)) {
            push @ours, $type;
            next;
        }
        # Those that PVE has not come to yet. One that dies here takes PVE down without us.
        local $state->{asking} = 1;
        my $properties = eval { $plugins->{$type}->properties() } // {};
        for my $name (keys $properties->%*) {
            $taken{$name} = 1 if exposes($private->{plugindata}->{$type}, $name);
        }
    }
    my $owner = {};
    for my $type (@ours) {
        my $own = PVE::Storage::Custom::Blockio::Manifest::entry($type)->{properties};
        $owner->{$_} //= $type for grep { !$taken{$_} } keys $own->%*;
    }
    return $owner;
}

sub declared($base, $type) {
    # A plugin that we ask and that asks us in turn gets the precedence.
    return {} if $state->{asking};

    my $private = $base->private();
    my $plugins = $private->{plugins};
    my $set = join(' ', map { "$_=$plugins->{$_}" } sort keys $plugins->%*);
    if (!$decision || $decision->{set} ne $set) {
        $decision = { set => $set, owner => decide($base, $private) };
    }

    my $owner = $decision->{owner};
    my $own = PVE::Storage::Custom::Blockio::Manifest::entry($type)->{properties};
    my @names = grep { ($owner->{$_} // '') eq $type } keys $own->%*;
    return { map { $_ => { $own->{$_}->%* } } @names };
}

sub accepted($base, $type) {
    my $known = $base->private()->{propertyList};
    my $own = PVE::Storage::Custom::Blockio::Manifest::entry($type)->{options};
    my $options = {};
    for my $name (sort keys $own->%*) {
        if ($known->{$name}) {
            $options->{$name} = { $own->{$name}->%* };
        } elsif (!$own->{$name}->{optional}) {
            warn "storage type '$type': this version of PVE has no property '$name'\n";
        }
    }
    return $options;
}

1;

__END__

=head1 NAME

PVE::Storage::Custom::Blockio::Properties - storage.cfg properties without collisions

=head1 DESCRIPTION

All storage types share one list of properties. PVE asks each registered plugin for its own in an
unpredictable order and gives up, with every process on the node, at the first name declared twice
and at the first option that nobody declared. So a property of ours is declared only when neither
PVE nor another plugin has it; in that case ours is only listed as an option, with their schema.

The decision is made once, when PVE first asks one of our types, for all of our types, and holds as
long as the set of registered plugins is the same. That makes the answer independent of the order:
other plugins may have been asked before us or will be asked after us, may ask us while we ask them,
and two types of ours may share a property.

=head1 FUNCTIONS

=over

=item declared($base, $type)

What C<properties()> of the type returns. C<$base> is our base class.

=item accepted($base, $type)

What C<options()> of the type returns: its options without those that nobody declared.

=back

=cut
