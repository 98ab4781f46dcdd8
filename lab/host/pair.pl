# SPDX-License-Identifier: AGPL-3.0-or-later
# Runs two commands whose machines have a cable between them; each gets `--cable FD` as its second and third word. Ends
# with the first one, with its status, and ends the second one.
#
# usage: pair.pl COMMAND ARGUMENT... --and COMMAND ARGUMENT...
use v5.36;

use List::Util qw(first);
use POSIX ();
use Socket qw(AF_UNIX PF_UNSPEC SOCK_DGRAM);

my $and = first { $ARGV[$_] eq '--and' } 0 .. $#ARGV
    or die "usage: pair.pl COMMAND... --and COMMAND...\n";
my @commands = ([@ARGV[0 .. $and - 1]], [@ARGV[$and + 1 .. $#ARGV]]);

local $^F = 255; # no descriptor is closed for a command
socketpair(my $here, my $there, AF_UNIX, SOCK_DGRAM, PF_UNSPEC) or die "pair.pl: no cable: $!\n";
my @ends = ($here, $there);

sub start ($number) {
    my $pid = fork() // die "pair.pl: cannot start a machine: $!\n";
    return $pid if $pid;
    close($ends[1 - $number]);
    my ($program, @arguments) = $commands[$number]->@*;
    exec($program, '--cable', fileno($ends[$number]), @arguments) or POSIX::_exit(127);
}

my @pids = map { start($_) } 0, 1;
close($_) for @ends;
$SIG{TERM} = $SIG{INT} = sub { kill(TERM => @pids) };
waitpid($pids[0], 0);
my $status = $?;
kill(TERM => $pids[1]);
waitpid($pids[1], 0);
exit($status >> 8 || ($status ? 125 : 0));
