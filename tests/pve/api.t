#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: the functions of PVE::Storage, called in one process as PVE's own code does, give right and untainted answers;
# the same with `perl -T`, as in the API daemon, pct and vzdump.
. "$(dirname "$0")/lib/env.sh"
one_node

tar -C "$here" -c api-volumes.pl api-snapshots.pl -C "$here/lib" Api.pm |
    on1 sh -c 'mkdir -p /root/pve-test && tar -x --no-same-owner -C /root/pve-test'
settings=()
for v in SUBJECT FMT OURS CAN_VM_SNAP CAN_RAW_SNAP CAN_LINKED CAN_CHAIN CAN_NAMES CAN_FILES CAN_ROLLBACK_ANY BARE; do settings+=("$v=${!v}"); done

for script in api-volumes api-snapshots; do
    for mode in '' ' -T'; do
        # shellcheck disable=SC2086
        relay "perl$mode $script: " on1 perl $mode "/root/pve-test/$script.pl" "${settings[@]}"
        nothing_left "perl$mode $script: nothing is left"
    done
done
finish
