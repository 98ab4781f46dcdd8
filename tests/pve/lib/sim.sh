# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Only for types on a simulated array, which runs on this machine. The file of a type adds:
#   sim_start, sim_join NODE  the array, and a node of it
#   sim_objects, sim_kib, sim_plain, sim_nodes  what is there, see the first type's
#   sim_slow KIND             an allocation takes 5 s: `silent` makes the volume and says nothing, `delay` takes its time first
#   array_gone, array_back    nobody listens where the configuration says
#   wrong_key, right_key      what this node proves itself with
#   ARRAY, NO_KEY             what errors call the array, and say of a wrong key
#   SECRET_KEY                what wrong_key uses, which must be shown nowhere

SIM_PID=
SIM_URL=

sim_run() { # ARGUMENT...: of `pve-blockio sim`; its first URL is SIM_URL
    local i
    # it ends with the test, however that ends
    setpriv --pdeathsig TERM "$NODE_BIN" "$project/dist/pve-blockio.cjs" sim "$@" </dev/null >"$T/sim.url" 2>"$T/sim.log" &
    SIM_PID=$!
    disown "$SIM_PID" # no test waits for it
    for ((i = 0; i < 200; i++)); do
        [ ! -s "$T/sim.url" ] || break
        kill -0 "$SIM_PID" 2>/dev/null || break
        sleep 0.1
    done
    read -r SIM_URL <<<"$(tr ' ,' '\n\n' <"$T/sim.url")"
    SIM_URL=${SIM_URL%/}
    [ -n "$SIM_URL" ] || { fail 'the simulator starts' "$(cat "$T/sim.log")"; done_testing; exit 1; }
}

sim_stop() { # with its loop devices, without which its file system cannot be unmounted
    local i
    [ -z "$SIM_URL" ] || [ -z "${PVE_TEST_KEEP:-}" ] || sim_ask journal >"$T/sim.journal"
    [ -n "$SIM_PID" ] || return 0
    kill -TERM "$SIM_PID" 2>/dev/null
    for ((i = 0; i < 100; i++)); do kill -0 "$SIM_PID" 2>/dev/null || return 0; sleep 0.1; done
    kill -KILL "$SIM_PID" 2>/dev/null
}

sim_ask() { curl -sk --max-time 20 "${@:2}" "$SIM_URL/sim/$1"; } # REQUEST [CURL_OPTION...]
sim_sound() { is 'no rule of the array was broken' "$(sim_ask check)" '[]'; }
sim_hang() { kill -STOP "$SIM_PID"; }
sim_go_on() { kill -CONT "$SIM_PID"; }
sim_quick() { sim_ask faults --json '{"clear":true}' >>"$LOG"; }
sim_delay() { sim_ask faults --json "{\"inject\":[{\"kind\":\"$2\",\"on\":\"$1\",\"ms\":5000}]}"; } # REQUEST KIND

sim_find() { # VOLID: those in a list that would be called so
    local v
    while read -r v; do
        [ "$(sim_plain <<<"$v")" != "$1" ] || echo "$v"
    done
}
