# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Only for SUBJECT=storpool: the simulated cluster on this machine, and each node as a client of it.

SP_DEVICES=/dev/storpool-byid
SP_PID=
declare -A SP_CLIENT=([pve1]=11 [pve2]=12)

sim_start() { # its files lie where the file system can share blocks
    local node i
    if [ -e "$SP_DEVICES" ] && [ -n "$(ls "$SP_DEVICES")" ]; then
        skip_all "$SP_DEVICES is not empty: this machine is a StorPool client itself"
    fi
    mkdir -p "$STORE/sub/data" "$SP_DEVICES"
    for node in "${!SP_CLIENT[@]}"; do mkdir -p "$STORE/devices/$node/storpool-byid"; done
    # it ends with the test, however that ends
    setpriv --pdeathsig TERM "$NODE_BIN" "$project/dist/pve-blockio.cjs" sim storpool --token secret --control \
        --data "$STORE/sub/data" --devices "$STORE/devices" --template nvme:100G \
        --client 11:pve1 --client 12:pve2 </dev/null >"$T/sim.url" 2>"$T/sim.log" &
    SP_PID=$!
    disown "$SP_PID" # no test waits for it
    for ((i = 0; i < 200; i++)); do
        [ ! -s "$T/sim.url" ] || break
        kill -0 "$SP_PID" 2>/dev/null || break
        sleep 0.1
    done
    SP_URL=$(cat "$T/sim.url")
    [ -n "$SP_URL" ] || { fail 'the simulator starts' "$(cat "$T/sim.log")"; done_testing; exit 1; }
    mount --bind "$STORE/devices/pve1/storpool-byid" "$SP_DEVICES" # what the test itself sees
}

sim_join() { # NODE
    local address=${SP_URL#*://}
    address=${address%/}
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

sim_stop() { # with its loop devices, without which its file system cannot be unmounted
    local i
    [ -z "${SP_URL:-}" ] || [ -z "${PVE_TEST_KEEP:-}" ] || sp_ask journal >"$T/sim.journal"
    umount "$SP_DEVICES" 2>/dev/null # the empty directory stays: to remove it would unmount what other tests have there
    [ -n "$SP_PID" ] || return 0
    kill -TERM "$SP_PID" 2>/dev/null
    for ((i = 0; i < 100; i++)); do kill -0 "$SP_PID" 2>/dev/null || return 0; sleep 0.1; done
    kill -KILL "$SP_PID" 2>/dev/null
}

sp_ask() { curl -s --max-time 20 "${@:2}" "${SP_URL%/}/sim/$1"; } # REQUEST [CURL_OPTION...]

sim_objects() { # what there is in the cluster, in words
    sp_ask state | jq -r '.objects[] | select(.deleted | not) |
        [.kind, .globalId, (.tags | to_entries | map(select(.key != "pve-blockio-request") | "\(.key)=\(.value)") | .[])] | join(" ")' | sort
}

sp_holders() { sp_ask state | jq -r '.attachments[].client' | sort -u | paste -sd' '; } # clients that have anything attached

sim_kib() { # VOLID: what its file takes
    local gid=${1##*-sp-}
    du -k "$STORE/sub/data/storpool-$(sp_ask state | jq --arg gid "${gid%.raw}" '.objects[] | select(.globalId == $gid) | .id').raw" |
        cut -f1
}

sim_sound() { is 'no rule of the cluster was broken' "$(sp_ask check)" '[]'; }

# Volume IDs as they would be without the global ids.
sim_plain() { sed -E 's/snap-([0-9]+)-state-/vm-\1-state-/g; s/-sp-[a-z0-9]+\.[a-z0-9]+\.[a-z0-9]+\.raw/.raw/g; s!:((vm|base)-([0-9]+)-)!:\3/\1!g'; }
