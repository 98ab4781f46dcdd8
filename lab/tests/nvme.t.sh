#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: NVMe/TCP over two fabrics makes one disk for each namespace; a fabric is cut and healed under I/O; a
# namespace grows.
# needs: nvme
# timeout: 240
. "$(dirname "$0")/../lib/test.sh"

must 'a subsystem with two namespaces on two fabrics' nvme_target n 2
must 'connect over both' nvme_connect n
ok 'two live controllers' until_true 20 controllers live 2
for number in 0 1; do
    ok "namespace $number: a disk" until_true 20 nvme_disk n-$number
    ok "namespace $number: its size" until_true 20 size_is "$(nvme_disk n-$number)" 64
done
is 'no more than one disk for each' "$(find /sys/class/nvme-subsystem/nvme-subsys*/ -maxdepth 1 -name 'nvme*n*' | grep -c .)" 2
four_paths() { [ "$(find /sys/class/nvme/nvme*/ -maxdepth 1 -name 'nvme*c*n*' | grep -c .)" = 4 ]; }
ok 'two paths to each' until_true 20 four_paths

must 'I/O on one' load_start "$(nvme_disk n-0)"
ok 'fabric b cut' fabric_cut b
ok 'its controller is lost' until_true 30 controllers live 1
ok 'I/O goes on over the other' load_goes_on
ok 'fabric b healed' fabric_heal b
ok 'the controller is back' until_true 60 controllers live 2
ok 'no I/O failed, all data is right' load_stop

ok 'the array grows a namespace' lab-san resize n-1 96M
ok 'its disk follows' until_true 20 size_is "$(nvme_disk n-1)" 96

ok 'disconnect' nvme_disconnect n
nothing_left 'nothing is left'
finish
