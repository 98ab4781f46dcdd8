#!/usr/bin/perl
# SPDX-License-Identifier: AGPL-3.0-or-later

# The manifest that the build has made, where there is one: the shim takes it, and its names are
# those of the shared vectors.

use v5.36;

use FindBin;
use lib map { /\A(.+)\z/ } map { "$FindBin::Bin/$_" } qw(lib helper ../lib);

use JSON ();
use Test::More;

use Blockio::Test;

my $top = untaint("$FindBin::Bin/../..");
my $manifest = "$top/dist/manifest.json";
plan(skip_all => 'dist/manifest.json is not built') if !-e $manifest;

require PVE::Storage;
$ENV{PVE_BLOCKIO_MANIFEST} = $manifest;
my $class = 'PVE::Storage::Custom::BlockioPlugin';
my $classes = {
    blockio => $class,
    drbd => 'PVE::Storage::Custom::LinstorPlugin',
    joviandss => 'PVE::Storage::Custom::JoviandssPlugin',
    storpool => 'PVE::Storage::Custom::StorpoolPlugin',
};
for my $type (sort keys $classes->%*) {
    my @warnings = warnings_of(sub { PVE::Storage::load_plugin($classes->{$type}) });
    is_deeply(\@warnings, [], "$type loads without a warning");
}
is(dies_with(sub { PVE::Storage::Plugin->init() }), 'lived', 'its properties do not collide');
ok($class->options()->{path}->{fixed}, 'the path of a storage is fixed');

open(my $fh, '<:raw', "$top/tests/vectors/volnames.json") or die "vectors: $!\n";
my $vectors = JSON->new->utf8->decode(do { local $/ = undef; <$fh> });
close($fh) or die "vectors: $!\n";

my @wrong;
for my $vector ($vectors->@*) {
    my $of = $classes->{ $vector->{type} } // die "no class for type '$vector->{type}'\n";
    my @got = eval { $of->parse_volname($vector->{volname}) };
    my @expected =
        $vector->{ok} ? $vector->{ok}->@{qw(vtype name vmid basename basevmid isBase format)} : ();
    $_->[5] = $_->[5] ? 1 : 0 for grep { $_->@* } \@got, \@expected;
    push @wrong, $vector->{volname} if !eq_array(\@got, \@expected);
    next if !@got || !defined($vector->{path});
    my $path = $of->path(blockio_scfg(), $vector->{volname}, 'store');
    push @wrong, "path of $vector->{volname}" if $path ne $vector->{path};
}
is_deeply(\@wrong, [], 'all shared vectors hold');

done_testing();
