#!/usr/bin/perl
# SPDX-License-Identifier: AGPL-3.0-or-later

# No property of ours is declared twice or listed without being declared, whatever else is loaded
# and in whatever order PVE asks: either would take down every PVE process on the node.

use v5.36;

use FindBin;
use lib map { /\A(.+)\z/ } map { "$FindBin::Bin/$_" } qw(lib helper ../lib);

use Test::More;

use Blockio::Test;

# Defines and registers a foreign plugin.
my sub foreign($type, $properties, %more) {
    my $class = 'Foreign::' . ucfirst($type);
    no strict 'refs'; ## no critic (ProhibitNoStrict)
    @{"${class}::ISA"} = ('PVE::Storage::Plugin');
    *{"${class}::type"} = sub { $type };
    *{"${class}::plugindata"} = sub { $more{plugindata} // {} };
    *{"${class}::properties"} = $properties;
    *{"${class}::options"} = sub { $more{options} // {} };
    $class->register();
    return;
}

my sub permutations(@items) {
    return ([]) if !@items;
    return map {
        my $i = $_;
        my @rest = @items[grep { $_ != $i } 0 .. $#items];
        map { [$items[$i], $_->@*] } __SUB__->(@rest)
    } 0 .. $#items;
}

# In a process of its own: what init() makes of it, asked in the given order.
my sub outcome($order, $prepare, $change = sub ($manifest) { }) {
    my $manifest = manifest();
    $change->($manifest);
    use_manifest($manifest);
    return in_child(sub {
        require PVE::Storage;
        $prepare->();
        PVE::Storage::load_plugin("PVE::Storage::Custom::${_}Plugin") for qw(Blockio Blocktest);
        my @warnings = warnings_of(sub { PVE::Storage::Plugin->init($order->@*) });
        my $private = PVE::Storage::Plugin->private();
        return {
            warnings => \@warnings,
            declared => $private->{propertyList},
            options => $private->{options},
        };
    });
}

my sub every_order($title, $types, $prepare, $check, $change = sub ($manifest) { }) {
    subtest $title => sub {
        for my $order (permutations($types->@*)) {
            my $got = eval { outcome($order, $prepare, $change) };
            is($@, '', "order @$order: the node lives") or next;
            is_deeply($got->{warnings}, [], '... without a warning');
            $check->($got);
        }
    };
    return;
}

my @types = qw(dir blockio blocktest);

every_order(
    'nobody else declares ours',
    \@types,
    sub { },
    sub ($got) {
        is(
            $got->{declared}->{controller}->{description},
            'A name that other vendors use as well.', 'ours is declared'
        );
        ok($got->{options}->{blocktest}->{controller}, '... and an option');
        ok($got->{options}->{blockio}->{path}->{fixed}, "an option of PVE's is there");
    },
);

every_order(
    'another plugin declares one of ours',
    [@types, 'vendor'],
    sub {
        foreign(
            'vendor',
            sub { { controller => { type => 'string', description => 'theirs' } } }
        );
    },
    sub ($got) {
        is($got->{declared}->{controller}->{description}, 'theirs', 'theirs is declared');
        ok($got->{options}->{blocktest}->{controller}, '... and an option of ours');
    },
);

every_order(
    'PVE itself declares one of ours',
    \@types,
    sub {
        PVE::Storage::Plugin->private()->{propertyList}->{controller} =
            { type => 'string', description => 'core' };
    },
    sub ($got) {
        is($got->{declared}->{controller}->{description}, 'core', "PVE's is declared");
    },
);

every_order(
    'two types of ours share a property',
    \@types,
    sub { },
    sub ($got) {
        is(
            $got->{declared}->{controller}->{description}, 'of blockio',
            'one of them declares it'
        );
        ok($got->{options}->{$_}->{controller}, "... and $_ has it") for qw(blockio blocktest);
    },
    sub ($manifest) {
        my $entry = $manifest->{types}->{blockio};
        $entry->{properties}->{controller} = { type => 'string', description => 'of blockio' };
        $entry->{options}->{controller} = { optional => 1 };
    },
);

every_order(
    'a plugin that declares only what is not there yet',
    [@types, 'vendor'],
    sub {
        foreign(
            'vendor',
            sub {
                my $known = PVE::Storage::Plugin->private()->{propertyList};
                return $known->{controller} ? {} : { controller => { type => 'string' } };
            },
            options => { controller => { optional => 1 } },
        );
    },
    sub ($got) { ok($got->{options}->{blocktest}->{controller}, 'it is an option of ours') },
);

for my $answer ({}, { controller => { type => 'string' } }) {
    my $busy = 0;
    every_order(
        'a plugin that asks all others, and while it does so says '
            . (%$answer ? 'everything' : 'nothing'),
        [@types, 'vendor'],
        sub {
            foreign(
                'vendor',
                sub {
                    return $answer if $busy;
                    $busy = 1;
                    my $plugins = PVE::Storage::Plugin->private()->{plugins};
                    my $taken = 0;
                    for my $class (grep { $_ ne 'Foreign::Vendor' } values $plugins->%*) {
                        $taken ||= $class->properties()->{controller};
                    }
                    $busy = 0;
                    return $taken ? {} : { controller => { type => 'string' } };
                },
                options => { controller => { optional => 1 } },
            );
        },
        sub ($got) { ok($got->{options}->{blocktest}->{controller}, 'it is an option of ours') }
        ,
    );
}

every_order(
    'a plugin that asks all others whenever it is asked',
    [@types, 'vendor'],
    sub {
        my $depth = 0;
        foreign(
            'vendor',
            sub {
                die "endless\n" if ++$depth > 100;
                my $plugins = PVE::Storage::Plugin->private()->{plugins};
                my @others = grep { $_ ne 'Foreign::Vendor' } values $plugins->%*;
                return {} if grep { $_->properties()->{controller} } @others;
                return { controller => { type => 'string' } };
            },
            options => { controller => { optional => 1 } },
        );
    },
    sub ($got) { ok($got->{options}->{blocktest}->{controller}, 'it is an option of ours') },
);

every_order(
    'a plugin that keeps its properties to itself, on a PVE that knows of that',
    \@types,
    sub {
        no warnings 'once'; ## no critic (ProhibitNoWarnings)
        *PVE::SectionConfig::has_isolated_properties = sub { 1 };
        # not in the order: the original collects it elsewhere
        foreign(
            'vendor',
            sub { { controller => { type => 'string' } } },
            plugindata => { 'isolate-properties' => 1 },
        );
    },
    sub ($got) {
        is(
            $got->{declared}->{controller}->{description},
            'A name that other vendors use as well.', 'ours is declared'
        );
    },
);

every_order(
    'an option that this version of PVE does not know',
    \@types,
    sub { },
    sub ($got) { ok(!$got->{options}->{blockio}->{'of-tomorrow'}, 'it is left out') },
    sub ($manifest) {
        $manifest->{types}->{blockio}->{options}->{'of-tomorrow'} = { optional => 1 };
    },
);

{
    my $got = outcome(
        \@types,
        sub { },
        sub ($manifest) { $manifest->{types}->{blockio}->{options}->{'of-tomorrow'} = {} },
    );
    is_deeply(
        $got->{warnings},
        ["storage type 'blockio': this version of PVE has no property 'of-tomorrow'\n"],
        'a required one that is not there is a warning, not a death',
    );
}

# asking outside of init
{
    my ($blockio, $blocktest) = load_types();
    my $first = $blocktest->properties();
    $first->{controller}->{description} = 'changed';
    is(
        $blocktest->properties()->{controller}->{description},
        'A name that other vendors use as well.', 'each caller gets its own copy'
    );
    ok($blocktest->properties()->{'blocktest-server'}, 'the answer is the same after init');
    is_deeply($blockio->properties(), {}, 'the other type has none of its own');
    ok(
        (grep { $_ eq 'blocktest' } @PVE::Storage::Plugin::SHARED_STORAGE),
        'a type of shared storage is in the list of those'
    );
    ok(!(grep { $_ eq 'blockio' } @PVE::Storage::Plugin::SHARED_STORAGE), '... another is not');
}

done_testing();
