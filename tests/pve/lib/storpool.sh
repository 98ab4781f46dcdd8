# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Only for SUBJECT=storpool: the simulated cluster on this machine, and each node as a client of it.

SP_DEVICES=/dev/storpool-byid
ARRAY=StorPool NO_KEY=token SECRET_KEY=t0ken-of-another
declare -A SP_CLIENT=([pve1]=11 [pve2]=12)

sim_start() { # its files lie where the file system can share blocks
    local node
    if [ -e "$SP_DEVICES" ] && [ -n "$(ls "$SP_DEVICES")" ]; then
        skip_all "$SP_DEVICES is not empty: this machine is a StorPool client itself"
    fi
    mkdir -p "$STORE/sub/data" "$SP_DEVICES"
    for node in "${!SP_CLIENT[@]}"; do mkdir -p "$STORE/devices/$node/storpool-byid"; done
    sim_run storpool --token secret --control --data "$STORE/sub/data" --devices "$STORE/devices" --template nvme:100G \
        --client 11:pve1 --client 12:pve2
    mount --bind "$STORE/devices/pve1/storpool-byid" "$SP_DEVICES" # what the test itself sees
}

sim_join() { # NODE
    local address=${SIM_URL#*://}
    # the nodes are one cluster: its name is in the tags
    on "$1" sh -c 'cat >/etc/storpool.conf && mount --bind "$1" "$2" &&
        printf "totem {\n  cluster_name: test\n}\n" >/etc/pve/corosync.conf' - "$STORE/devices/$1/storpool-byid" "$SP_DEVICES" <<C
SP_API_HTTP_HOST=${address%:*}
SP_API_HTTP_PORT=${address##*:}
SP_AUTH_TOKEN=secret
[$1]
SP_OURID=${SP_CLIENT[$1]}
C
    loops_join "$1" '/dev/storpool-byid/*'
}

array_setting() { on1 sed -i "s/^$1=.*/$1=$2/" /etc/storpool.conf && service_stop pve1 && service_start pve1; } # NAME VALUE
array_gone() { array_setting SP_API_HTTP_PORT 1; }
array_back() { array_setting SP_API_HTTP_PORT "${SIM_URL##*:}"; }
wrong_key() { array_setting SP_AUTH_TOKEN "$SECRET_KEY"; }
right_key() { array_setting SP_AUTH_TOKEN secret; }
sim_slow() { sim_delay VolumeCreate "$1"; }

sim_objects() { # what there is in the cluster, in words
    sim_ask state | jq -r '.objects[] | select(.deleted | not) |
        [.kind, .globalId, (.tags | to_entries | map(select(.key != "pve-blockio-request") | "\(.key)=\(.value)") | .[])] | join(" ")' | sort
}

sim_nodes() { sim_ask state | jq -r '.attachments[].client' | sort -u | sed 's/^1/pve/' | paste -sd' '; } # that have anything attached

sim_kib() { # VOLID: what its file takes
    local gid=${1##*-sp-}
    du -k "$STORE/sub/data/storpool-$(sim_ask state | jq --arg gid "${gid%.raw}" '.objects[] | select(.globalId == $gid) | .id').raw" |
        cut -f1
}

# Volume IDs as they would be without the global ids.
sim_plain() { sed -E 's/snap-([0-9]+)-state-/vm-\1-state-/g; s/-sp-[a-z0-9]+\.[a-z0-9]+\.[a-z0-9]+\.raw/.raw/g; s!:((vm|base)-([0-9]+)-)!:\3/\1!g'; }
