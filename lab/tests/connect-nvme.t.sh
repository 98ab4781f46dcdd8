#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: namespaces over NVMe/TCP on two portals: connected, one path lost under I/O, grown, disconnected; the last one leaves
# the subsystem.
# needs: nvme
# timeout: 400
. "$(dirname "$0")/../lib/test.sh"

must 'a subsystem with two namespaces' nvme_target n 2
modprobe nvme-tcp
must 'the connectors' connectors_start
nvme_attach() { connector attach "$(nvme_of "$1")" "$(link_of "$1")" "$(scaled 30)"; }
nvme_detach() { connector detach "$(nvme_of "$1")" "$(link_of "$1")" "$(scaled 30)"; }
ok 'connected' nvme_attach n-0
ok 'two controllers' until_true 20 controllers live 2
is 'its own disk' "$(readlink "$(link_of n-0)")" "$(nvme_disk n-0)"
ok 'the other one' nvme_attach n-1
must 'I/O' load_start "$(link_of n-0)"
ok 'fabric b cut' fabric_cut b
ok 'I/O goes on' load_goes_on
ok 'fabric b healed' fabric_heal b
ok 'two controllers again' until_true 90 controllers live 2
ok 'no I/O failed, all data is right' load_stop
ok 'the array grows it' lab-san resize n-1 96M
ok 'the node sees that' connector refresh "$(nvme_of n-1)" "$(link_of n-1)" 60 $((96 << 20))
ok 'its disk has the size' size_is "$(link_of n-1)" 96
exec 3<"$(link_of n-1)"
fails 'an open one stays' '^busy: .*open in process' nvme_detach n-1
exec 3<&-
ok 'one goes' nvme_detach n-0
ok 'the subsystem stays for the other' controllers live 2
ok 'which goes too' nvme_detach n-1
ok 'the subsystem is left' until_true 20 controllers live 0
connectors_stop
nothing_left 'nothing is left'
finish
