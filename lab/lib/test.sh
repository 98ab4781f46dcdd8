# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# What every test file starts with. It runs as root in a VM of the lab and has the functions of the files below.

lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$lib/../.." && pwd)
export UV_USE_IO_URING=0 # User-mode Linux breaks when a process that uses it starts another one
LOG=${LOG:-/tmp/commands.log} # what each assertion ran and got

. "$project/tests/pve/lib/tap.sh"
. "$lib/wait.sh"
. "$lib/san.sh"
. "$lib/initiator.sh"
. "$lib/multipath.sh"
. "$lib/nvme.sh"
. "$lib/load.sh"
. "$lib/project.sh"
. "$lib/connectors.sh"
. "$lib/joviandss.sh"
. "$lib/volumes.sh"
. "$lib/peer.sh"

finish() { # the last line of each file
    service_stop
    connectors_stop
    jovian_stop
    done_testing
    [ "$FAILED" = 0 ]
}

nothing_left() { # NAME: on the node, that is; the array may still export what it likes
    ok "$1" until_true 15 nothing_is_left
}

nothing_is_left() {
    udevadm settle
    timeout "$(scaled 20)" lab-state --left
}
