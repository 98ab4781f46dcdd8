# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Only for SUBJECT=joviandss: the simulated array on this machine, whose LUNs are loop devices in the nodes.

ARRAY=JovianDSS NO_KEY=password SECRET_KEY=another-secret
JD_PROGRAM=/usr/local/bin/pve-blockio-test-iscsi

sim_start() { # its files lie where the file system can share blocks
    mkdir -p "$STORE/sub/data"
    JOVIANDSS_PASSWORD=secret-of-jdss sim_run joviandss --listen 127.0.0.1,127.0.0.2:0 --control \
        --data "$STORE/sub/data" --pool Pool-0:100G
    PLACE=(--pool_name Pool-0 --control_addresses 127.0.0.1,127.0.0.2 --control_port "${SIM_URL##*:}"
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
    const url = "$SIM_URL/sim/initiators/" + encodeURIComponent("iqn.1993-08.org.debian:01:$1") + "/" + process.argv[2];
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

array_gone() { on1 pvesm set sub --control_port 1; }
array_back() { on1 pvesm set sub --control_port "${SIM_URL##*:}"; }
wrong_key() { on1 pvesm set sub --user_password "$SECRET_KEY"; }
right_key() { on1 pvesm set sub --user_password secret-of-jdss; }
sim_slow() { sim_delay volumeCreate "$1"; }

sim_nodes() { sim_ask state | jq -r '.pools[].targets[].sessions[].initiator' | sed 's/.*://' | sort -u | paste -sd' '; } # that are logged in

sim_objects() { # what there is in the pool, in words
    sim_ask state | jq -r '.pools[] | (.volumes[] | "volume \(.name)"), (.snapshots[] | "snapshot \(.volume)@\(.name)"),
        (.targets[] | select((.luns | length) == 0) | "target \(.name)")' | sort
}

sim_kib() { # VOLID: what its file takes
    local object=v_${1#*:}
    case $object in *.*) object="vh_$(sed 's/^v_//; s/[^A-Za-z0-9_-]/_/g' <<<"$object")_" ;; esac
    du -k "$STORE/sub/data/joviandss-$(sim_ask state |
        jq --arg name "$object" '.pools[].volumes[] | select(.name == $name or (.name | startswith($name) and ($name | endswith("_")))) | .id').raw" |
        cut -f1
}

# Volume IDs as they would be on a directory storage.
sim_plain() { sed -E 's!(sub:)((vm|base)-([0-9]+)-[A-Za-z0-9_-]+)(\.raw)?!\1\4/\2.raw!g'; }
