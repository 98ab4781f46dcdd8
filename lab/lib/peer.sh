# shellcheck shell=bash disable=SC2154 # lib and project are test.sh's
# SPDX-License-Identifier: AGPL-3.0-or-later
# The second machine of a file with the line `# machines: 2`, see lab-peer.

PEER=/out/peer

peer_start() { # once the array has its network
    lab-san cable array && until_true 180 test -e "$PEER/ready"
}

on_peer() { # COMMAND...: with the functions of these files and the storage's environment; prints what it prints
    local folder
    folder=$(mktemp -d "$PEER/XXXXXX")
    {
        echo "cd /project && export LOG=/out/log && . lab/lib/test.sh && export STOREID=${STOREID@Q} SCFG=${SCFG@Q} || exit"
        printf '%q ' "$@"
    } >"$folder/new"
    mv "$folder/new" "$folder/command"
    until [ -e "$folder/status" ]; do sleep 0.1; done
    cat "$folder/output"
    return "$(cat "$folder/status")"
}
