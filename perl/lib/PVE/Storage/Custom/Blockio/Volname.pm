# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage::Custom::Blockio::Volname;

use v5.36;

# `\A(?:...)\z` around the pattern, as Perl's `$` would accept a line feed at the end, and /a, as
# JavaScript's classes are ASCII.
my sub anchored($pattern) {
    die "a name pattern is not a string\n" if !defined($pattern) || ref($pattern);
    my $re = eval { qr/\A(?:$pattern)\z/a } or die "a name pattern does not compile\n";
    return $re;
}

my sub check_template($template, $what) {
    die "'$what' is not a string\n" if !defined($template) || ref($template);
    for my $key ($template =~ /\{([^{}]*)\}/g) {
        die "'$what' has the unknown placeholder '{$key}'\n"
            if $key !~ /\A(?:dir:[a-z]+|scfg:[a-z0-9_-]+|storeid|snap)\z/
            && $key !~ /\A(?:vmid|name|format|basename|basevmid|gid)\z/;
    }
    return $template;
}

sub compile($entry) {
    my $volnames = $entry->{volnames};
    die "volnames: no rules\n" if ref($volnames->{rules}) ne 'ARRAY' || !$volnames->{rules}->@*;

    my @rules;
    for my $rule ($volnames->{rules}->@*) {
        die "volnames: a rule is not an object\n" if ref($rule) ne 'HASH';
        for my $key (qw(vtype format)) {
            die "volnames: a rule has no '$key'\n" if !length($rule->{$key} // '');
        }
        my $re = anchored($rule->{pattern});
        for my $group (qw(name), $rule->{format} eq '{format}' ? 'format' : ()) {
            die "volnames: a pattern has no group '$group'\n"
                if $rule->{pattern} !~ /\(\?<$group>/;
        }
        push @rules, {
            re => $re,
            vtype => $rule->{vtype},
            isBase => $rule->{isBase} ? 1 : undef,
            format => $rule->{format} eq '{format}' ? undef : $rule->{format},
        };
    }

    my $delegate;
    if (defined($volnames->{delegate})) {
        die "volnames: 'delegate' without a base\n" if !defined($entry->{base});
        # a prefix, so anchored at its start only
        $delegate = eval { qr/\A(?:$volnames->{delegate})/a } // die "volnames: bad 'delegate'\n";
    }

    return {
        rules => \@rules,
        delegate => $delegate,
        path => check_template($entry->{path}, 'path'),
        snapshotPath => defined($entry->{snapshotPath})
        ? check_template($entry->{snapshotPath}, 'snapshotPath')
        : undef,
    };
}

sub delegated($grammar, $volname) {
    return defined($grammar->{delegate}) && $volname =~ $grammar->{delegate};
}

sub parse($grammar, $volname) {
    for my $rule ($grammar->{rules}->@*) {
        next if $volname !~ $rule->{re};
        return {
            vtype => $rule->{vtype},
            name => $+{name},
            vmid => $+{vmid},
            gid => $+{gid},
            basename => $+{basename},
            basevmid => $+{basevmid},
            isBase => $rule->{isBase},
            format => $rule->{format} // $+{format},
        };
    }
    return;
}

sub path($grammar, $volume, $snapname, $value_of) {
    my $template = $grammar->{path};
    if (defined($snapname)) {
        ($snapname) = $snapname =~ /\A([A-Za-z0-9_][A-Za-z0-9_-]{0,99})\z/
            or die "invalid snapshot name\n";
        $template = $grammar->{snapshotPath} // return;
    }
    return if grep { exists($volume->{$_}) && !defined($volume->{$_}) } $template =~ /\{(\w+)\}/g;
    my $expand = sub ($key) {
        return $snapname // die "path of a volume asks for a snapshot\n" if $key eq 'snap';
        return $volume->{$key} // die "name has no '$key'\n" if exists($volume->{$key});
        return $value_of->($key);
    };
    return $template =~ s/\{([^{}]*)\}/$expand->($1)/ger;
}

sub has_feature($features, $feature, $volume, $snapname) {
    my $key = $snapname ? 'snap' : $volume->{isBase} ? 'base' : 'current';
    my $matrix = $features->{$feature} or return 0;
    return scalar(grep { $_ eq $volume->{format} } ($matrix->{$key} // [])->@*) ? 1 : 0;
}

1;

__END__

=head1 NAME

PVE::Storage::Custom::Blockio::Volname - volume names, paths and features from the manifest

=head1 DESCRIPTION

Pure functions of a manifest entry: no input, no output, no state. PVE calls them hundreds of times
in permission checks and listings, long before a volume is active.

The TypeScript side parses the same names by the same patterns; F<tests/vectors/volnames.json> holds
the names on which both are tried.

=head1 FUNCTIONS

=over

=item compile($entry)

The grammar of a manifest entry in the form that the other functions take. Dies when it is unsound.

=item delegated($grammar, $volname)

True for names that are the business of PVE's own directory code (ISO images, backups, ...).

=item parse($grammar, $volname)

A hash of C<vtype>, C<name>, C<vmid>, C<basename>, C<basevmid>, C<isBase> and C<format>, nothing when
the name is not one of ours.

=item path($grammar, $volume, $snapname, $value_of)

The local path of a parsed volume or of its snapshot, nothing when the name alone does not tell it. C<$value_of> is asked for the placeholders
C<dir:TYPE>, C<scfg:PROPERTY> and C<storeid>.

=item has_feature($features, $feature, $volume, $snapname)

True when the feature matrix has the format of the volume.

=back

=cut
