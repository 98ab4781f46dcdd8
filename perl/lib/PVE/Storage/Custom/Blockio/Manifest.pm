# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage::Custom::Blockio::Manifest;

use v5.36;

use JSON ();

use PVE::Storage::Custom::Blockio::Volname;

use constant DEFAULT_FILE => '/usr/lib/pve-blockio/manifest.json';

my $KNOWN_SCHEMA_TYPE = { map { $_ => 1 } qw(string integer number boolean array) };
my $KNOWN_DRIVER = { file => 1, 'host_device' => 1 };
my $KNOWN_SNAPSHOT_METHOD = { map { $_ => 1 } qw(storage qemu mixed) };

# The file is read once per process; what went wrong is remembered as well, for the next type.
my ($document, $problem);
my $entries = {};

# JSON knows booleans, PVE's schemas and the code that reads them want 1 and 0.
my sub plain($value) {
    return [map { __SUB__->($_) } $value->@*] if ref($value) eq 'ARRAY';
    return { map { $_ => __SUB__->($value->{$_}) } keys $value->%* } if ref($value) eq 'HASH';
    return $value ? 1 : 0 if ref($value);
    return $value;
}

my sub file() {
    my ($override) = ($ENV{PVE_BLOCKIO_MANIFEST} // '') =~ m{\A(/[A-Za-z0-9_./:+\@~=,-]+)\z};
    return $override // DEFAULT_FILE;
}

my sub read_document($file) {
    open(my $fh, '<:raw', $file) or die "$!\n";
    my $bytes = do { local $/ = undef; <$fh> };
    close($fh) or die "$!\n";
    # Installed by root. Untainted before it is decoded: a pattern made from tainted text would
    # taint every name it matches.
    my ($text) = $bytes =~ /\A(.*)\z/s;

    my $data = eval { plain(JSON->new->utf8->max_depth(32)->decode($text)) };
    die "not valid JSON\n" if ref($data) ne 'HASH';
    die "version is not 1\n" if ($data->{version} // '') ne '1';
    die "'api' has no 'min' and 'max'\n"
        if ref($data->{api}) ne 'HASH'
        || grep { ($data->{api}->{$_} // '') !~ /\A[0-9]{1,4}\z/ } qw(min max);
    die "'types' is not an object\n" if ref($data->{types}) ne 'HASH';
    return $data;
}

my sub expect_hash($value, $what) {
    die "$what is not an object\n" if ref($value) ne 'HASH';
    return $value;
}

my sub check_plugindata($data) {
    for my $key (qw(content format)) {
        die "plugindata: '$key' is not a list of two\n"
            if ref($data->{$key}) ne 'ARRAY' || scalar($data->{$key}->@*) != 2;
    }
    my ($content, $default_content) = $data->{content}->@*;
    expect_hash($content, 'plugindata: content');
    for my $ct (keys expect_hash($default_content, 'plugindata: default content')->%*) {
        die "plugindata: default content '$ct' is not allowed\n" if !$content->{$ct};
    }
    my ($formats, $default_format) = $data->{format}->@*;
    expect_hash($formats, 'plugindata: format');
    die "plugindata: default format is not allowed\n"
        if !defined($default_format) || ref($default_format) || !$formats->{$default_format};
    expect_hash($data->{'sensitive-properties'}, 'plugindata: sensitive-properties');
    # would switch the schema of the whole storage.cfg to another form
    die "plugindata: properties must not be isolated\n" if $data->{'isolate-properties'};
    return;
}

my sub check_property($name, $schema) {
    die "property '$name': bad name\n" if $name !~ /\A[a-z][a-z0-9_-]*\z/;
    expect_hash($schema, "property '$name'");
    die "property '$name': unknown type\n" if !$KNOWN_SCHEMA_TYPE->{ $schema->{type} // '' };
    expect_hash($schema->{items}, "property '$name': items") if $schema->{type} eq 'array';
    die "property '$name': enum is not a list\n"
        if exists($schema->{enum}) && ref($schema->{enum}) ne 'ARRAY';
    for my $key (qw(description format pattern default minimum maximum minLength maxLength)) {
        die "property '$name': bad '$key'\n"
            if exists($schema->{$key}) && (!defined($schema->{$key}) || ref($schema->{$key}));
    }
    die "property '$name': bad 'pattern'\n"
        if defined($schema->{pattern}) && !eval { qr/$schema->{pattern}/ };
    return;
}

# A sensitive property never reaches the check for required ones: PVE takes it out before.
my sub check_options($entry) {
    my $options = $entry->{options};
    for my $name (keys $options->%*) {
        die "option '$name': reserved\n" if $name =~ /\A(?:type|storage|digest|delete)\z/;
        my $flags = expect_hash($options->{$name}, "option '$name'");
        my ($unknown) = grep { !/\A(?:optional|fixed)\z/ } sort keys $flags->%*;
        die "option '$name': unknown flag '$unknown'\n" if defined($unknown);
        # PVE tests some flags by their presence
        delete $flags->{$_} for grep { !$flags->{$_} } keys $flags->%*;
    }
    for my $name (keys $entry->{plugindata}->{'sensitive-properties'}->%*) {
        die "sensitive property '$name' must be an optional option\n"
            if !$options->{$name} || !$options->{$name}->{optional};
    }
    return;
}

my sub check_features($entry) {
    for my $feature (keys $entry->{features}->%*) {
        my $matrix = expect_hash($entry->{features}->{$feature}, "feature '$feature'");
        for my $key (keys $matrix->%*) {
            die "feature '$feature': '$key' is not a list\n" if ref($matrix->{$key}) ne 'ARRAY';
        }
    }
    for my $needed (values $entry->{featureRequires}->%*) {
        die "featureRequires: bad capability name\n" if ($needed // '') !~ /\A[A-Za-z]+\z/;
    }
    return;
}

my sub check_streams($entry) {
    for my $key (qw(exportFormats importFormats)) {
        for my $list (values $entry->{$key}->%*) {
            die "'$key' holds something else than lists\n" if ref($list) ne 'ARRAY';
            for my $format ($list->@*) {
                die "stream format '$format' has no implementation\n"
                    if ($entry->{streams}->{$format} // '') ne 'service';
            }
        }
    }
    return;
}

my @OBJECTS = qw(
    plugindata properties options volnames features featureRequires
    exportFormats importFormats streams blockdev
);

my sub check_entry($entry) {
    expect_hash($entry->{$_}, "'$_'") for @OBJECTS;
    check_plugindata($entry->{plugindata});
    check_property($_, $entry->{properties}->{$_}) for keys $entry->{properties}->%*;
    check_options($entry);
    check_features($entry);
    check_streams($entry);
    die "unknown base '$entry->{base}'\n" if ($entry->{base} // 'directory') ne 'directory';
    die "unknown locking\n" if ($entry->{locking} // '') !~ /\A(?:guest|storage)\z/;
    die "unknown blockdev driver\n" if !$KNOWN_DRIVER->{ $entry->{blockdev}->{driver} // '' };
    die "unknown snapshotMethod\n" if !$KNOWN_SNAPSHOT_METHOD->{ $entry->{snapshotMethod} // '' };
    return;
}

sub entry($type) {
    return $entries->{$type} if $entries->{$type};

    my $file = file();
    if (!$document && !$problem) {
        $document = eval { read_document($file) };
        $problem = $@ if !$document;
    }
    my $entry = eval {
        die $problem if $problem;
        my $found = expect_hash($document->{types}->{$type}, "type '$type'");
        check_entry($found);
        $found->{grammar} = PVE::Storage::Custom::Blockio::Volname::compile($found);
        $found->{api} = $document->{api};
        $found;
    };
    return $entries->{$type} = $entry if $entry;

    my $reason = $@;
    chomp($reason);
    die "storage type '$type' is disabled on this node, manifest '$file': $reason."
        . " Repair package pve-blockio before any change to the storage configuration: PVE"
        . " would drop all storages of this type from it.\n";
}

1;

__END__

=head1 NAME

PVE::Storage::Custom::Blockio::Manifest - what the shim knows about a storage type

=head1 DESCRIPTION

The build of pve-blockio writes F<manifest.json> from the same sources as the service: class data,
properties, name grammar, path templates, feature matrix and stream formats of each type. It is read
once per process, when PVE loads its storage plugins, and is all that the shim needs to answer the
pure methods.

What PVE asks for while it sets up its configuration schema must not fail, as that takes down every
PVE process on the node. So each entry is checked here first, and a type whose entry is missing or
wrong does not register at all.

=head1 FUNCTIONS

=over

=item entry($type)

The checked entry of a type, with C<api> (C<min> and C<max>) and the compiled name C<grammar> added.
Dies with one line saying what is wrong and what it means. No input or output after the first call.

=back

=head1 ENVIRONMENT

C<PVE_BLOCKIO_MANIFEST> names another file, as an absolute path; for development and tests.

=cut
