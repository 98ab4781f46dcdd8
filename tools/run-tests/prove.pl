#!/usr/bin/perl
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# Runs Perl tests as prove does (same harness, same output), then prints the exact counts, which prove's own summary
# does not give: `skip: reason` lines and `N passed, N failed, N skipped`.
#
# usage: prove.pl [-T] DIRECTORY...

use v5.36;

use File::Find ();
use TAP::Harness;

my @switches = grep { $_ eq '-T' } @ARGV;
my @dirs = grep { $_ ne '-T' } @ARGV;

my @tests;
File::Find::find(
    { no_chdir => 1, wanted => sub { push @tests, $_ if /\.t\z/ } },
    grep { -d } @dirs
);

my %skipped; # reason => number of tests
# Most of them wait for services that do not answer.
my $harness = TAP::Harness->new({ lib => ['perl/lib'], switches => \@switches, jobs => 4 });

$harness->callback(
    made_parser => sub ($parser, @) {
        $parser->callback(
            test => sub ($test) {
                $skipped{ $test->explanation || 'no reason given' }++ if $test->has_skip;
            },
        );
        $parser->callback(
            plan => sub ($plan) {
                $skipped{ $plan->explanation || 'no reason given' }++ if $plan->has_skip;
            },
        );
    },
);

my $result = $harness->runtests(sort @tests);

my $skipped = 0;
$skipped += $_ for values %skipped;
say "skip: $_" for sort keys %skipped;

# A test program that died or broke its plan counts as one failure, even when each test it did reach had passed.
my $failed = $result->failed;
$failed = 1 if !$failed && !$result->all_passed;
my $passed = $result->passed - grep { defined } $result->skipped;
say "$passed passed, $failed failed, $skipped skipped";
exit($failed ? 1 : 0);
