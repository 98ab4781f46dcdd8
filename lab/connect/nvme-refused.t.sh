#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: NVMe/TCP subsystems that are not there, portals that refuse, accept and never answer, or are beyond a network that
# says nothing: each ends within its time and leaves nothing.
#
# shellcheck disable=SC2034 # PORTALS is for nvme_attach
# needs: nvme
# timeout: 300
. "$(dirname "$0")/../lib/test.sh"

nvme_needed
must 'a subsystem' nvme_target n 1
must 'the connectors' connectors_start
no_controller() { [ -z "$(ls /sys/class/nvme)" ]; }

fails 'a subsystem that is not there' '^unreachable: .*status [0-9]+ of nvme connect' nvme_attach none-0
ok 'leaves no controller' no_controller
fails 'a namespace that is not there' '^unreachable: .*did not appear' nvme_attach n-7
ok 'leaves the subsystem, to be left by whoever gives it up' nvme_detach n-7
ok 'leaves no controller' no_controller

PORTALS=("$(lab-san address a):4499")
fails 'a portal that refuses' '^unreachable: .*no connection' nvme_attach n-0
PORTALS=("$(silent_portal a)")
seconds=$SECONDS
fails 'a portal that never answers' '^unreachable: .*no (answer|connection)' nvme_attach n-0 "$(scaled 60)"
true_that 'within its time' $((SECONDS - seconds)) -lt "$(scaled 60)"
ok 'leaves no controller' until_true 10 no_controller
seconds=$SECONDS
fails 'or within the time that is left' '^(timeout|unreachable): ' nvme_attach n-0 3
true_that 'which is short' $((SECONDS - seconds)) -lt "$(scaled 10)"
ok 'leaves no controller' until_true 10 no_controller
PORTALS=("$(lab-san address b):4420" "$(silent_portal b)")
ok 'a good one beside it is enough' nvme_attach n-0
ok 'one controller' controllers live 1

# --- the target goes while it is connected
must 'the network says nothing any more' fabric_mute b
ok 'the controller is lost' until_true 60 controllers live 0
seconds=$SECONDS
fails 'the volume is not given up while data may be kept for it' '^unreachable: .*no connection' nvme_detach n-0 "$(scaled 30)"
fails 'nor connected' '^unreachable: ' nvme_attach n-0 "$(scaled 60)"
true_that 'within their time' $((SECONDS - seconds)) -lt "$(scaled 60)"
ok 'the network is back' fabric_heal b
ok 'and the controller' until_true 60 controllers live 1
ok 'disconnected' nvme_detach n-0
ok 'leaves no controller' no_controller
PORTALS=()
connectors_stop
nothing_left 'nothing is left'
finish
