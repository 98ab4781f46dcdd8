# SPDX-License-Identifier: AGPL-3.0-or-later
# Runs code with the plugin class of a storage, as Proxmox VE has it; what the code returns is printed.
#
# usage: perl -Iperl/lib -Iperl/t/lib plugin.pl CODE [ARGUMENT...]
use v5.36;

use JSON ();
use Module::Load ();

my $code = shift(@ARGV) // die "usage: plugin.pl CODE [ARGUMENT...]\n";
my $storeid = $ENV{STOREID};
my $scfg = JSON::decode_json($ENV{SCFG});
my $class = 'PVE::Storage::Custom::' . ucfirst($scfg->{type}) . 'Plugin';
Module::Load::load($class);

my @result = eval $code; ## no critic (ProhibitStringyEval)
die $@ if $@;
say for grep { defined } @result;
