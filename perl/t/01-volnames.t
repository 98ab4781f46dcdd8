#!/usr/bin/perl
# SPDX-License-Identifier: AGPL-3.0-or-later

use v5.36;

use FindBin;
use lib map { /\A(.+)\z/ } map { "$FindBin::Bin/$_" } qw(lib helper ../lib);

use JSON ();
use Scalar::Util qw(tainted);
use Test::More;

use Blockio::Test;

my ($blockio, $blocktest) = load_types();
my $scfg = blockio_scfg();

my sub printable($name) {
    return $name =~ s/([^ -~])/sprintf('\\x{%x}', ord($1))/ger;
}

my $vectors = do {
    my $file = untaint("$FindBin::Bin/../../tests/vectors/volnames.json");
    open(my $fh, '<:raw', $file) or BAIL_OUT("$file: $!");
    JSON->new->utf8->decode(do { local $/ = undef; <$fh> });
};
cmp_ok(scalar($vectors->@*), '>', 100, 'the shared vectors are there');
# Those of other types need the built manifest, see 11-built-manifest.t.
$vectors = [grep { $_->{type} eq 'blockio' } $vectors->@*];

for my $vector ($vectors->@*) {
    my $volname = taint($vector->{volname});
    my $title = "'" . printable($vector->{volname}) . "'";
    my @got = eval { $blockio->parse_volname($volname) };
    my $err = $@;
    if (!$vector->{ok}) {
        is(scalar(@got), 0, "$title is refused");
        like($err, qr/\Aunable to parse blockio volume name '[^\n]*'\n\z/, '... in one line');
        next;
    }
    my $expected = [$vector->{ok}->@{qw(vtype name vmid basename basevmid isBase format)}];
    $expected->[5] = $expected->[5] ? 1 : undef;
    is_deeply(\@got, $expected, "$title is parsed");
    ok(!(grep { tainted($_) } @got), '... and untainted');
    my $path = $blockio->path($scfg, $volname, 'store');
    is($path, $vector->{path}, '... and has its path');
    ok(!tainted($path), '... untainted');
}

# names with their base in them, for types of block devices
is_deeply(
    [$blocktest->parse_volname('base-100-disk-0/vm-101-disk-0')],
    ['images', 'vm-101-disk-0', '101', 'base-100-disk-0', '100', undef, 'raw'],
    'the base is part of the name of a linked clone',
);

# names of PVE's directory code
is_deeply(
    [$blockio->parse_volname('iso/debian.iso')],
    ['iso', 'debian.iso', undef, undef, undef, undef, 'raw'],
    'names of ISO images are left to PVE',
);
for my $name ("iso/a.iso\n", 'snippets/..', 'snippets/.', "snippets/a\tb", 'import/../100/a.raw') {
    like(
        dies_with(sub { $blockio->parse_volname($name) }),
        qr/\Aunable to parse volume name/,
        'PVE does not get to see ' . printable($name),
    );
}
like(
    dies_with(sub { $blocktest->parse_volname('iso/debian.iso') }),
    qr/unable to parse blocktest volume name/,
    'a type without a directory knows no ISO images',
);

done_testing();
