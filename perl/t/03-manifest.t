#!/usr/bin/perl
# SPDX-License-Identifier: AGPL-3.0-or-later

# A manifest that is missing or wrong disables its types and nothing else.

use v5.36;

use FindBin;
use lib map { /\A(.+)\z/ } map { "$FindBin::Bin/$_" } qw(lib helper ../lib);

use JSON ();
use Test::More;

use Blockio::Test;

# Loads both types as PVE does and tells what came of it.
my sub load_outcome() {
    return in_child(sub {
        require PVE::Storage;
        my @warnings;
        local $SIG{__WARN__} = sub ($text) { push @warnings, $text };
        for my $name (qw(Blockio Blocktest)) {
            PVE::Storage::load_plugin("PVE::Storage::Custom::${name}Plugin");
        }
        PVE::Storage::Plugin->init();
        return {
            types => [sort keys PVE::Storage::Plugin->private()->{plugins}->%*],
            warnings => \@warnings,
        };
    });
}

my sub blockio_disabled($title, $reason) {
    my $outcome = load_outcome();
    my @warnings = grep { /BlockioPlugin/ } $outcome->{warnings}->@*;
    is(scalar(@warnings), 1, "$title: one warning");
    my $shown = '';
    ($shown) = $warnings[0] =~ /\A[^\n]*"PVE::Storage::Custom::BlockioPlugin": ([^\n]*)\n\z/
        if @warnings;
    like($shown, $reason, '... of one line with the reason');
    like($shown, qr/would drop all storages/, '... and the consequence');
    ok(!(grep { $_ eq 'blockio' } $outcome->{types}->@*), '... and the type is not there');
    ok((grep { $_ eq 'dir' } $outcome->{types}->@*), '... but PVE is');
    return $outcome;
}

{
    local $ENV{PVE_BLOCKIO_MANIFEST} = taint(fixture_dir() . '/manifest.json');
    my $outcome = load_outcome();
    is_deeply($outcome->{warnings}, [], 'a good manifest loads without a warning');
    is_deeply($outcome->{types}, [qw(blockio blocktest dir)], '... and both types are there');
}

# the file
{
    local $ENV{PVE_BLOCKIO_MANIFEST} = '/nonexistent/manifest.json';
    my $outcome = blockio_disabled('missing file', qr/No such file/);
    is(scalar($outcome->{warnings}->@*), 2, '... and one warning for the other type');
}
{
    local $ENV{PVE_BLOCKIO_MANIFEST} = undef;
    blockio_disabled('not installed', qr{'/usr/lib/pve-blockio/manifest\.json': No such file})
        if !-e '/usr/lib/pve-blockio/manifest.json';
}
{
    local $ENV{PVE_BLOCKIO_MANIFEST} = fixture_dir();
    blockio_disabled('a directory', qr/Is a directory/);
}
for my $case (
    ['empty file', '', qr/not valid JSON/],
    ['cut off', '{"version": 1, "types": {', qr/not valid JSON/],
    ['not an object', '[1, 2]', qr/not valid JSON/],
    ['not UTF-8', "{\"version\": \"\xff\"}", qr/not valid JSON/],
    ['nested too deeply', '[' x 100 . ']' x 100, qr/not valid JSON/],
    ['other version', '{"version": 2}', qr/version is not 1/],
    ['no api', '{"version": 1, "types": {}}', qr/'api' has no/],
    [
        'bad api', '{"version": 1, "api": {"min": 11, "max": "x"}, "types": {}}',
        qr/'api' has no/
    ],
    ['no types', '{"version": 1, "api": {"min": 11, "max": 15}}', qr/'types' is not/],
    [
        'type missing',
        '{"version": 1, "api": {"min": 11, "max": 15}, "types": {}}',
        qr/type 'blockio' is not an object/,
    ],
) {
    my ($title, $text, $reason) = $case->@*;
    use_manifest($text);
    blockio_disabled($title, $reason);
}

# the entry of a type: each change makes it unsound
my sub options($entry) {
    return $entry->{options};
}
for my $case (
    ['no plugindata', sub ($e) { delete $e->{plugindata} }, qr/'plugindata' is not an object/],
    [
        'properties a list', sub ($e) { $e->{properties} = [] },
        qr/'properties' is not an object/
    ],
    ['options null', sub ($e) { $e->{options} = undef }, qr/'options' is not an object/],
    ['option not an object', sub ($e) { options($e)->{nodes} = 1 }, qr/option 'nodes'/],
    ['option with a typo', sub ($e) { options($e)->{nodes} = { optinal => 1 } }, qr/'optinal'/],
    ['option of PVE itself', sub ($e) { options($e)->{storage} = {} }, qr/'storage': reserved/],
    ['property not an object', sub ($e) { $e->{properties}->{x} = 1 }, qr/property 'x'/],
    ['property of no type', sub ($e) { $e->{properties}->{x} = {} }, qr/'x': unknown type/],
    [
        'property with a bad pattern',
        sub ($e) { $e->{properties}->{x} = { type => 'string', pattern => '(' } },
        qr/'x': bad 'pattern'/,
    ],
    [
        'property with a bad enum',
        sub ($e) { $e->{properties}->{x} = { type => 'string', enum => 'a' } },
        qr/'x': enum is not a list/,
    ],
    [
        'property with a bad name',
        sub ($e) { $e->{properties}->{'X Y'} = { type => 'string' } },
        qr/bad name/,
    ],
    [
        'content not a pair',
        sub ($e) { $e->{plugindata}->{content} = [{ images => 1 }] },
        qr/'content' is not a list of two/,
    ],
    [
        'default content not allowed',
        sub ($e) { $e->{plugindata}->{content}->[1]->{backups} = 1 },
        qr/default content 'backups'/,
    ],
    [
        'default format not allowed',
        sub ($e) { $e->{plugindata}->{format}->[1] = 'qcow2' },
        qr/default format/,
    ],
    [
        'secrets undeclared',
        sub ($e) { delete $e->{plugindata}->{'sensitive-properties'} },
        qr/sensitive-properties is not an object/,
    ],
    [
        'secret that is required',
        sub ($e) {
            $e->{plugindata}->{'sensitive-properties'} = { password => 1 };
            options($e)->{password} = {};
        },
        qr/sensitive property 'password' must be an optional option/,
    ],
    [
        'isolated properties',
        sub ($e) { $e->{plugindata}->{'isolate-properties'} = 1 },
        qr/must not be isolated/,
    ],
    ['no rules', sub ($e) { $e->{volnames}->{rules} = [] }, qr/no rules/],
    [
        'pattern that does not compile',
        sub ($e) { $e->{volnames}->{rules}->[0]->{pattern} = '^(?<vmid>' },
        qr/does not compile/,
    ],
    [
        'pattern that runs code',
        sub ($e) { $e->{volnames}->{rules}->[0]->{pattern} = '(?<vmid>1)(?<name>(?{ die }))' },
        qr/does not compile/,
    ],
    [
        'pattern without a name',
        sub ($e) { $e->{volnames}->{rules}->[0]->{pattern} = '^(?<vmid>.*)$' },
        qr/no group 'name'/,
    ],
    [
        'format without its group',
        sub ($e) { $e->{volnames}->{rules}->[0]->{format} = '{format}' },
        qr/no group 'format'/,
    ],
    ['delegate without a base', sub ($e) { $e->{base} = undef }, qr/'delegate' without a base/],
    ['unknown base', sub ($e) { $e->{base} = 'zfs' }, qr/unknown base 'zfs'/],
    ['unknown locking', sub ($e) { $e->{locking} = 'none' }, qr/unknown locking/],
    ['path missing', sub ($e) { $e->{path} = undef }, qr/'path' is not a string/],
    ['path of unknown parts', sub ($e) { $e->{path} = '/{x}' }, qr/placeholder '\{x\}'/],
    ['features a list', sub ($e) { $e->{features} = [] }, qr/'features' is not an object/],
    [
        'feature without formats',
        sub ($e) { $e->{features}->{copy} = { current => 'raw' } },
        qr/feature 'copy': 'current' is not a list/,
    ],
    [
        'stream nobody makes',
        sub ($e) { $e->{exportFormats}->{raw} = ['zfs'] },
        qr/stream format 'zfs' has no implementation/,
    ],
    [
        'unknown driver', sub ($e) { $e->{blockdev}->{driver} = 'nbd' },
        qr/unknown blockdev driver/
    ],
    ['unknown method', sub ($e) { $e->{snapshotMethod} = 'x' }, qr/unknown snapshotMethod/],
) {
    my ($title, $break, $reason) = $case->@*;
    my $manifest = manifest();
    $break->($manifest->{types}->{blockio});
    use_manifest($manifest);
    my $outcome = blockio_disabled($title, $reason);
    ok(
        (grep { $_ eq 'blocktest' } $outcome->{types}->@*),
        '... and the other type is not affected'
    );
}

# what JavaScript writes differently
{
    my $manifest = manifest();
    my $entry = $manifest->{types}->{blockio};
    $entry->{options}->{nodes} = { optional => JSON::true, fixed => JSON::false };
    $entry->{plugindata}->{content}->[0]->{images} = JSON::true;
    use_manifest($manifest);
    my $got = in_child(sub {
        require PVE::Storage;
        PVE::Storage::load_plugin('PVE::Storage::Custom::BlockioPlugin');
        PVE::Storage::Plugin->init();
        my $class = 'PVE::Storage::Custom::BlockioPlugin';
        return [
            ref($class->plugindata()->{content}->[0]->{images}),
            $class->options()->{nodes},
        ];
    });
    is($got->[0], '', 'booleans become numbers');
    is_deeply($got->[1], { optional => 1 }, '... and flags that are not set are absent');
}

# after loading nothing is read again
{
    my $file = use_manifest(manifest());
    my $got = in_child(sub {
        load_types();
        $ENV{PVE_BLOCKIO_MANIFEST} = $file;
        unlink($file);
        return [PVE::Storage::Custom::BlockioPlugin->parse_volname('100/vm-100-disk-0.raw')];
    });
    is($got->[2], '100', 'the file is not needed after loading');
}

done_testing();
