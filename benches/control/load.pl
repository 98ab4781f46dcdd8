# SPDX-License-Identifier: AGPL-3.0-or-later
# What loading the shim adds to a process that has PVE's own modules already. Arguments: -I options.
use v5.36;

use Time::HiRes qw(time);

my @include = @ARGV;

sub median ($code) {
    my @times = sort { $a <=> $b } map {
        my $start = time();
        system($^X, @include, '-e', $code) == 0 or die "loading failed\n";
        time() - $start;
    } 1 .. 21;
    return $times[10] * 1000;
}

# The pieces that any PVE process has loaded by then.
my $pve = 'use PVE::Storage::Plugin; use PVE::Tools; use JSON; use Socket; use Time::HiRes;';
my $without = median($pve);
my $with = median(
    "$pve require PVE::Storage::Custom::BlockioPlugin; PVE::Storage::Custom::BlockioPlugin->plugindata();"
);
printf(
    "%-46s %9.1f ms (%.1f without, %.1f with)\n", 'loading the shim adds', $with - $without,
    $without, $with
);
