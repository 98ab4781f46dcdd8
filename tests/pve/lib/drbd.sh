# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Only for SUBJECT=drbd: the simulated LINSTOR on this machine, and each node as a satellite of it. A third one has no PVE.

# The kind of its storage pool is SUBJECT_POOL (default FILE_THIN, which keeps sizes as they are asked for).

DRBD_DEVICES=/dev/drbd
ARRAY=LINSTOR NO_KEY=token SECRET_KEY=another-secret

sim_start() { # its files lie where the file system can share blocks
    local node urls
    if [ -e "$DRBD_DEVICES" ] && [ -n "$(ls "$DRBD_DEVICES")" ]; then
        skip_all "$DRBD_DEVICES is not empty: this machine has DRBD itself"
    fi
    mkdir -p "$STORE/sub/data" "$DRBD_DEVICES"
    for node in pve1 pve2; do mkdir -p "$STORE/devices/$node/drbd/by-res"; done
    sim_run linstor --listen 127.0.0.1:0 --tls-port 0 --certificate "$STORE/ca.pem" --token secret-of-linstor --control \
        --data "$STORE/sub/data" --devices "$STORE/devices" --storage-pool "ssd:${SUBJECT_POOL:-FILE_THIN}:100G" --group rg1:2
    urls=$(cat "$T/sim.url")
    LINSTOR_TLS=${urls##*[ $'\n']}
    chmod 644 "$STORE/ca.pem"
    PLACE=(--resourcegroup rg1 --controller "${LINSTOR_TLS%/}" --apica "$STORE/ca.pem" --apitoken secret-of-linstor)
    mount --bind "$STORE/devices/pve1/drbd" "$DRBD_DEVICES" # what the test itself sees
}

sim_join() { # NODE
    on "$1" mount --bind "$STORE/devices/$1/drbd" "$DRBD_DEVICES" && loops_join "$1" '/dev/drbd/by-res/*/0'
}

rounded() { echo $((($1 < 3 << 20 ? 3 << 20 : $1 + 4095) / 4096 * 4096)); } # BYTES

array_gone() { on1 pvesm set sub --controller https://127.0.0.1:1; }
array_back() { on1 pvesm set sub --controller "${LINSTOR_TLS%/}"; }
wrong_key() { on1 pvesm set sub --apitoken "$SECRET_KEY"; }
right_key() { on1 pvesm set sub --apitoken secret-of-linstor; }
sim_slow() { sim_delay spawn "$1"; }

linstor() { curl -s --max-time 20 -H 'Authorization: Bearer secret-of-linstor' "$SIM_URL/v1/$1"; } # PATH

sim_nodes() { linstor view/resources | jq -r '.[] | select(.state.in_use) | .node_name' | sort -u | paste -sd' '; } # that use anything

sim_objects() { # what there is in the cluster, in words
    sim_ask state | jq -r '.definitions[] | .name as $name | "definition \($name)", (.snapshots[] | "snapshot \($name)@\(.name)")' | sort
}

sim_kib() { # VOLID: what its data takes
    du -k "$STORE/sub/data/linstor-$(sim_ask state | jq -r --arg name "${1#*:}" \
        '[.definitions[] | select(.name == $name or .props["Aux/pve-blockio/name"] == $name) | .resources[].volumes[].data][0]').raw" |
        cut -f1
}

# Volume IDs as they would be on a directory storage.
sim_plain() { sed -E 's!(sub:)((vm|base)-([0-9]+)-[A-Za-z0-9_-]+)(\.raw)?!\1\4/\2.raw!g'; }
