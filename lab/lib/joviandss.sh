# shellcheck shell=bash disable=SC2154 # lib and project are test.sh's
# SPDX-License-Identifier: AGPL-3.0-or-later
# A simulated JovianDSS whose targets are real ones: its API and its portals are the array's addresses on both fabrics.

JOVIAN=/run/lab/joviandss
JOVIAN_LOG=${LOG%.log}.joviandss.log
JOVIAN_DATA=/var/lib/lab-joviandss

jovian_start() { # [OPTION...]: more options of `pve-blockio sim joviandss`
    local a b
    a=$(lab-san address a) b=$(lab-san address b)
    lab-san fabric a up || return
    modprobe -a target_core_mod target_core_user iscsi_target_mod || return
    mkdir -p "$JOVIAN" "$JOVIAN_DATA"
    LAB_DISK=$project/build/lab-disk LAB_DISK_LOG=${LOG%.log}.lab-disk.log JOVIANDSS_PASSWORD='quite a secret' \
        nsenter --net=/run/netns/storage "$project/bin/pve-blockio" sim joviandss --listen "$a,$b:8082" --pool Pool-0:4G \
        --vip "$a" --vip "$b" --data "$JOVIAN_DATA" --targets "$lib/targets.mjs" --certificate "$JOVIAN/certificate.pem" \
        --control "$@" </dev/null >"$JOVIAN_LOG" 2>&1 &
    echo $! >"$JOVIAN/pid"
    until_true 30 jovian GET check || { cat "$JOVIAN_LOG"; return 1; }
}

jovian_stop() {
    [ -e "$JOVIAN/pid" ] || return 0
    kill "$(cat "$JOVIAN/pid")" && until_true 30 ended "$JOVIAN/pid" && rm -r "$JOVIAN" "$JOVIAN_DATA"
}

# shellcheck disable=SC2016 # JavaScript's
jovian() { # VERB PATH [BODY]: a control request, at the address that answers; prints the answer
    local at
    at=$(lab-san address a)
    [ "$1" != GET ] || at+=" $(lab-san address b)"
    NODE_EXTRA_CA_CERTS=$JOVIAN/certificate.pem node -e '
        const [hosts, method, path, body] = process.argv.slice(1);
        const ask = (host) => fetch(`https://${host}:8082/sim/${path}`, { method, ...(body ? { body } : {}) });
        Promise.any(hosts.split(" ").map(ask)).then(async (reply) => {
            console.log(await reply.text());
            process.exitCode = reply.ok ? 0 : 1;
        }, (error) => {
            console.error(`joviandss: ${error.message}`);
            process.exitCode = 1;
        });' "$at" "$@"
}

jovian_empty() { # asserts that nothing is left on the array
    is 'nothing is left on the array' "$(jovian GET check) $(jovian GET state | jq -c '[.. | .volumes? // empty | length] | add')" '[] 0'
}

# The section of a storage on it; its password is 'quite a secret'.
jovian_section() {
    local addresses
    addresses="$(lab-san address a),$(lab-san address b)"
    printf '{"type":"joviandss","pool_name":"Pool-0","user_name":"admin","ssl_cert_verify":0,
        "control_addresses":"%s","control_port":8082,"data_addresses":"%s","multipath":1,"shared":1,
        "content":{"images":1,"rootdir":1},"log_file":"%s"}' "$addresses" "$addresses" "${LOG%.log}.jdss.log"
}
