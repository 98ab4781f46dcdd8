# SPDX-License-Identifier: AGPL-3.0-or-later
package Api;

# What the scripts that call PVE::Storage in their own process share. They are run with and without taint mode, so every
# answer is also looked at for taint: callers put it into exec, unlink and mount as it is.

use strict;
use warnings;

use Exporter 'import';
use Scalar::Util qw(tainted);
use Test::More;

BEGIN {
    $ENV{PATH} = '/usr/sbin:/usr/bin:/sbin:/bin';
    delete @ENV{qw(IFS CDPATH ENV BASH_ENV)};
}

use PVE::RPCEnvironment;
use PVE::Storage;

our @EXPORT = qw($cfg %can asked clean dies mark marked plain);

# settings of the subject, as NAME=VALUE arguments
our %can = map { /^(\w+)=([\w-]*)$/ ? ($1 => $2) : die "bad argument '$_'\n" } @ARGV;
our $cfg = PVE::Storage::config();
PVE::RPCEnvironment->setup_default_cli_env();

sub asked { # how to ask for a volume, see volume.sh
    my ($volid) = @_;
    return $volid if $can{CAN_NAMES};
    my $asked = $volid =~ s!:\d+/!:!r;
    return $can{BARE} ? $asked =~ s/\.raw\z//r : $asked;
}

sub plain { # a volume ID without what the subject put into it, see volume.sh
    my ($volid) = @_;
    return $volid if $can{CAN_NAMES};
    my $plain = $volid =~ s/-sp-\w+\.\w+\.\w+(?=\.raw\z)//r =~ s!:((?:vm|base)-(\d+)-)!:$2/$1!r;
    return $can{BARE} && $plain !~ /\.\w+\z/ ? "$plain.raw" : $plain;
}

sub dies {
    my ($code, $regex, $name) = @_;
    my $lived = eval { $code->(); 1 };
    return fail("$name (lived)") if $lived;
    return like($@, $regex, $name);
}

sub clean { # every scalar in there, hash keys excepted: those are never tainted
    my ($value, $name) = @_;
    my @todo = ($value);
    my $bad = 0;
    while (@todo) {
        my $v = shift @todo;
        if (ref($v) eq 'HASH') { push @todo, values %$v }
        elsif (ref($v) eq 'ARRAY') { push @todo, @$v }
        elsif (tainted($v)) { diag("tainted: $v"); $bad++ }
    }
    return is($bad, 0, "$name: nothing tainted");
}

my sub qemu_io {
    my ($volid, $snap, $command) = @_;
    my $path = PVE::Storage::path($cfg, $volid, $snap);
    ($path) = $path =~ m!^(/.*)$! or die "path of $volid\n";
    my $format = $volid =~ /\.qcow2$/ ? 'qcow2' : 'raw';
    my $ro = $command =~ /^read/ ? '-r' : '-n';
    my $active = -e $path;
    PVE::Storage::activate_volumes($cfg, [$volid], $snap) if !$active;
    open(my $fh, '-|', 'qemu-io', $ro, '-f', $format, '-c', $command, $path) or die "qemu-io: $!\n";
    local $/ = undef;
    my $out = <$fh>;
    close($fh) or $out =~ /verification failed/ or die "qemu-io: $out\n";
    PVE::Storage::deactivate_volumes($cfg, [$volid], $snap) if !$active;
    return $out;
}

sub mark { # 64 KiB of one byte at 1 MiB
    my ($volid, $byte) = @_;
    return qemu_io($volid, undef, "write -P $byte 1M 64k");
}

sub marked {
    my ($volid, $byte, $snap) = @_;
    return qemu_io($volid, $snap, "read -P $byte 1M 64k") !~ /verification failed/;
}

1;
