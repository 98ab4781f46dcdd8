# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Only for SUBJECT=joviandss: the simulated array on this machine, whose LUNs are loop devices in the nodes.

JD_PID=
JD_PROGRAM=/usr/local/bin/pve-blockio-test-iscsi

sim_start() { # its files lie where the file system can share blocks
    local i urls
    mkdir -p "$STORE/sub/data"
    # it ends with the test, however that ends
    JOVIANDSS_PASSWORD=secret-of-jdss setpriv --pdeathsig TERM "$NODE_BIN" "$project/dist/pve-blockio.cjs" sim joviandss \
        --listen 127.0.0.1,127.0.0.2:0 --control --data "$STORE/sub/data" --pool Pool-0:100G \
        </dev/null >"$T/sim.url" 2>"$T/sim.log" &
    JD_PID=$!
    disown "$JD_PID" # no test waits for it
    for ((i = 0; i < 200; i++)); do
        [ ! -s "$T/sim.url" ] || break
        kill -0 "$JD_PID" 2>/dev/null || break
        sleep 0.1
    done
    read -r JD_URL <<<"$(tr ' ,' '\n\n' <"$T/sim.url")"
    JD_URL=${JD_URL%/}
    [ -n "$JD_URL" ] || { fail 'the simulator starts' "$(cat "$T/sim.log")"; done_testing; exit 1; }
    PLACE=(--pool_name Pool-0 --control_addresses 127.0.0.1,127.0.0.2 --control_port "${JD_URL##*:}"
        --user_password secret-of-jdss --ssl_cert_verify 0)
}

sim_join() { # NODE: what stands for its kernel's iSCSI asks the simulator
    on "$1" sh -c 'mkdir -p /etc/iscsi /usr/local/bin && echo "InitiatorName=iqn.1993-08.org.debian:01:$1" >/etc/iscsi/initiatorname.iscsi &&
        cat >"$2" && chmod 755 "$2"' - "$1" "$JD_PROGRAM" <<C
#!$NODE_BIN
process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
process.removeAllListeners("warning");
let body = "";
process.stdin.on("data", (part) => { body += part; }).on("end", async () => {
    const url = "$JD_URL/sim/initiators/" + encodeURIComponent("iqn.1993-08.org.debian:01:$1") + "/" + process.argv[2];
    try {
        const answer = await fetch(url, { method: "POST", body });
        process.stdout.write(await answer.text());
    } catch (error) {
        process.stdout.write(JSON.stringify({ code: "unreachable", message: String(error.cause ?? error) }));
    }
});
C
    loops_join "$1" '/run/pve-blockio/dev/*/*'
}

sim_stop() { # with its loop devices, without which its file system cannot be unmounted
    local i
    [ -z "${JD_URL:-}" ] || [ -z "${PVE_TEST_KEEP:-}" ] || jd_ask journal >"$T/sim.journal"
    [ -n "$JD_PID" ] || return 0
    kill -TERM "$JD_PID" 2>/dev/null
    for ((i = 0; i < 100; i++)); do kill -0 "$JD_PID" 2>/dev/null || return 0; sleep 0.1; done
    kill -KILL "$JD_PID" 2>/dev/null
}

jd_ask() { curl -sk --max-time 20 "${@:2}" "$JD_URL/sim/$1"; } # REQUEST [CURL_OPTION...]

sim_objects() { # what there is in the pool, in words
    jd_ask state | jq -r '.pools[] | (.volumes[] | "volume \(.name)"), (.snapshots[] | "snapshot \(.volume)@\(.name)"),
        (.targets[] | select((.luns | length) == 0) | "target \(.name)")' | sort
}

sim_kib() { # VOLID: what its file takes
    local object=v_${1#*:}
    case $object in *.*) object="vh_$(sed 's/^v_//; s/[^A-Za-z0-9_-]/_/g' <<<"$object")_" ;; esac
    du -k "$STORE/sub/data/joviandss-$(jd_ask state |
        jq --arg name "$object" '.pools[].volumes[] | select(.name == $name or (.name | startswith($name) and ($name | endswith("_")))) | .id').raw" |
        cut -f1
}

sim_sound() { is 'no rule of the array was broken' "$(jd_ask check)" '[]'; }

# Volume IDs as they would be on a directory storage.
sim_plain() { sed -E 's!(sub:)((vm|base)-([0-9]+)-[A-Za-z0-9_-]+)(\.raw)?!\1\4/\2.raw!g'; }
