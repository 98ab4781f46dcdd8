# shellcheck shell=bash disable=SC2154 # lib and project are test.sh's
# SPDX-License-Identifier: AGPL-3.0-or-later
# The project's connectors: volumes of the array as local paths.

CONNECTORS=/run/lab/connectors.sock
CONNECTORS_LOG=${LOG%.log}.connectors.log
CONNECTORS_PID=/run/lab/connectors.pid
CHAP='' # JSON of the credentials
PORTALS=() # instead of both

connectors_start() {
    mkdir -p "${CONNECTORS%/*}"
    rm -f "$CONNECTORS"
    PVE_BLOCKIO_ADDON=$project/dist/blockio.node node "$lib/connectors.mjs" "$CONNECTORS" </dev/null >>"$CONNECTORS_LOG" 2>&1 &
    echo $! >"$CONNECTORS_PID"
    until_true 20 test -S "$CONNECTORS"
}

connectors_stop() {
    [ -e "$CONNECTORS_PID" ] || return 0
    kill "$(cat "$CONNECTORS_PID")" && rm "$CONNECTORS_PID"
}

link_of() { echo "/run/pve-blockio/dev/lab/$1"; } # VOLUME

iscsi_of() { # VOLUME [LUN] [TARGET]: the connection; TARGET-N is LUN N of TARGET
    local lun=${2:-${1##*-}} target=${3:-${1%-*}} portals
    [ ${#PORTALS[@]} -gt 0 ] && portals=("${PORTALS[@]}") || portals=("$(portal a)" "$(portal b)")
    printf '{"kind":"iscsi","iqn":"%s","lun":%d,"wwid":"%s","portals":["%s"%s]%s}' "$(iqn_of "$target")" "$lun" \
        "$(lab-san wwid "$1")" "${portals[0]}" "$(printf ',"%s"' "${portals[@]:1}" | sed 's/^,""$//')" "${CHAP:+,\"chap\":$CHAP}"
}

nvme_of() { # VOLUME: the connection; SUBSYSTEM-N is a namespace of SUBSYSTEM
    local portals=("${PORTALS[@]}") quoted
    [ ${#portals[@]} -gt 0 ] || portals=("$(lab-san address a):4420" "$(lab-san address b):4420")
    printf -v quoted ',"%s"' "${portals[@]}"
    printf '{"kind":"nvme-tcp","nqn":"%s","nguid":"uuid.%s","portals":[%s]}' "$(nqn_of "${1%-*}")" \
        "$(lab-san uuid "$1")" "${quoted#,}"
}

connector() { # VERB CONNECTION LINK [LIMIT] [SIZE]
    perl "$lib/ask-connectors.pl" "$CONNECTORS" \
        "{\"verb\":\"$1\",\"connection\":$2,\"link\":\"$3\",\"limit\":${4:-60}${5:+,\"size\":\"$5\"}}"
}

attach() { connector attach "$(iscsi_of "$1")" "$(link_of "$1")" "${2:-60}"; } # VOLUME [LIMIT]
detach() { connector detach "$(iscsi_of "$1")" "$(link_of "$1")" "${2:-60}"; } # VOLUME [LIMIT]
grown() { connector refresh "$(iscsi_of "$1")" "$(link_of "$1")" 60 $(($2 << 20)); } # VOLUME MIB
nvme_attach() { connector attach "$(nvme_of "$1")" "$(link_of "$1")" "${2:-60}"; } # VOLUME [LIMIT]
nvme_detach() { connector detach "$(nvme_of "$1")" "$(link_of "$1")" "${2:-60}"; } # VOLUME [LIMIT]
nvme_grown() { connector refresh "$(nvme_of "$1")" "$(link_of "$1")" 60 $(($2 << 20)); } # VOLUME MIB
