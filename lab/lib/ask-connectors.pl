# SPDX-License-Identifier: AGPL-3.0-or-later
# Asks lib/connectors.mjs; quick to start, since tests run many at once. Prints the result; an error goes to standard error.
#
# usage: perl ask-connectors.pl SOCKET JSON
use v5.36;

use IO::Socket::UNIX;
use JSON::PP;

my ($socket, $request) = @ARGV;
my $peer = IO::Socket::UNIX->new(Peer => $socket) or die "$socket: $!\n";
$peer->print("$request\n");
my $reply = decode_json(scalar(readline($peer)) // '{"error":"no answer"}');
die "$reply->{error}\n" if defined($reply->{error});
say $reply->{result} if length($reply->{result} // '');
