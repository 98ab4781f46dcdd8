#!/usr/bin/perl
# SPDX-License-Identifier: AGPL-3.0-or-later

# Volumes that belong to no guest: disk images to start from and ISO images, on a type whose array
# holds them.

use v5.36;

use FindBin;
use lib map { /\A(.+)\z/ } map { "$FindBin::Bin/$_" } qw(lib helper ../lib);

use Test::More;

use Blockio::Test;

my (undef, $class) = load_types();
my $scfg = blocktest_scfg();
my ($iso, $image, $disk) = ('debian-12.iso', 'img-debian-12.raw', 'vm-100-disk-0');
my $listed = [
    { volname => $iso, vtype => 'iso', format => 'raw', size => '4096', vmid => 0 },
    {
        volname => $image, vtype => 'images', format => 'raw', size => '2048', vmid => 0,
        ctime => 7
    },
    {
        volname => $disk, vtype => 'images', format => 'raw', size => '2048', vmid => 100,
        parent => $image
    },
];
my $service = start_service({
    list_images => sub ($request) { return $listed },
    free_image => sub ($request) { return { existed => \1 } },
    clone_image => sub ($request) { return { volname => $disk } },
});

is_deeply(
    [$class->parse_volname($iso)],
    ['iso', $iso, undef, undef, undef, 1, 'raw'],
    'an ISO image belongs to no guest'
);
is_deeply(
    [$class->path($scfg, $iso, 'array')],
    ["/run/pve-blockio/dev/array/$iso", undef, 'iso'],
    'its path'
);

# Lists, and what is warned of while they are made.
my sub listing($method, @arguments) {
    my $found;
    my @warnings = warnings_of(sub { $found = $class->$method('array', $scfg, @arguments) });
    is_deeply(\@warnings, [], "$method without a warning");
    return $found;
}

my $as_image = { volid => "array:$image", format => 'raw', size => 2048, ctime => 7 };
my $as_disk = {
    volid => "array:$disk", format => 'raw', size => 2048, vmid => 100,
    parent => "array:$image"
};
my $as_iso = { volid => "array:$iso", format => 'raw', size => 4096 };
is_deeply(listing('list_images'), [$as_image, $as_disk], 'ISO images are no disks');
is_deeply(listing('list_images', 100), [$as_disk], 'a guest has its own');
is_deeply(
    listing('list_images', undef, ["array:$iso", "array:$image"]), [$as_image],
    'nor are they when they are named'
);

my sub with_content($content, $entry) {
    return { $entry->%*, content => $content };
}
my $all = [
    with_content('iso', $as_iso), with_content('images', $as_image),
    with_content('images', $as_disk)
];
for my $case (
    ['ISO images', ['iso'], [$all->[0]]],
    ['disks', ['images'], [$all->@[1, 2]]],
    ['all', [qw(rootdir images iso)], $all],
) {
    my ($what, $contents, $expected) = $case->@*;
    my $before = scalar(requests($service));
    is_deeply(listing('list_volumes', undef, $contents), $expected, "content of type: $what");
    is(scalar(requests($service)) - $before, 1, '... asked for at once');
}
is_deeply(listing('list_volumes', 100, ['iso']), [], 'no guest has an ISO image');

# features, formats
for my $volname ($iso, $image) {
    for my $direction (qw(export import)) {
        my $method = "volume_${direction}_formats";
        is_deeply([$class->$method($scfg, 'array', $volname)], ['raw+size'], "$method of $volname");
    }
    ok($class->volume_has_feature($scfg, 'copy', 'array', $volname), "$volname can be copied");
    for my $feature (qw(snapshot rename template)) {
        ok(
            !$class->volume_has_feature($scfg, $feature, 'array', $volname),
            "$volname is immutable: no $feature"
        );
    }
}

is($class->free_image('array', $scfg, $iso, 1, 'raw'), undef, 'an ISO image is freed');
is($class->clone_image($scfg, 'array', $image, 100), $disk, 'a disk is cloned from an image');
like(
    dies_with(sub { $class->clone_image($scfg, 'array', $image, 101) }),
    qr/invalid owner of volume/, '... of the guest that asked for it'
);

# import: the child says the name, here a script that says any
my $script = scratch_dir() . '/cli';
my sub imported_as($volid) {
    open(my $fh, '>', $script) or die "script: $!\n";
    print {$fh} "#!/bin/sh\necho '$volid'\n";
    close($fh) or die "script: $!\n";
    chmod(0755, $script);
    local $ENV{PVE_BLOCKIO_CLI} = $script;
    open(my $stream, '<', '/dev/null') or die "stream: $!\n";
    my $result;
    my @warnings = warnings_of(sub {
        $result = eval {
            $class->volume_import(
                $scfg, 'array', $stream, $iso, 'raw+size', undef, undef, 0,
                1
            );
        } // $@;
    });
    is_deeply(\@warnings, [], 'import without a warning');
    return $result;
}
is(imported_as("array:$iso"), "array:$iso", 'an import says its name');
is(imported_as('array:debian-12-2.iso'), 'array:debian-12-2.iso', '... which may be another one');
like(imported_as("array:$disk"), qr/invalid owner/, '... but not that of a guest');

done_testing();
