# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with run
# SPDX-License-Identifier: AGPL-3.0-or-later
# Settings, messages, and what is installed on demand.

readonly EXIT_CANNOT=77
readonly EXIT_TIMEOUT=124
readonly EXIT_LAB=125

: "${LAB_ENGINE:=auto}"
: "${LAB_RELEASE:=trixie}"
: "${LAB_ACCEL:=auto}"
: "${LAB_MIRROR:=http://deb.debian.org/debian}"
: "${LAB_BOOT_TIMEOUT:=180}"

VERBOSE=
MESSAGES=2 # where messages go; a build redirects standard error

log() { printf 'lab: %s\n' "$*" >&"$MESSAGES"; }
note() { [ -z "$VERBOSE" ] || log "$@"; }
die() { log "error: $*"; exit "$EXIT_LAB"; }

# The machine lacks something; nothing is wrong with the project.
cannot() { log "cannot run here: $*"; exit "$EXIT_CANNOT"; }

now() { local up; read -r up _ </proc/uptime; printf %s "$up"; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; } # START: seconds, START as printed by now

missing_of() { # COMMAND...: those that are not there
    local command
    for command; do command -v "$command" >/dev/null || printf '%s ' "$command"; done
}

# tools/setup.sh installs as root and names the packages to everybody else.
require() { # PART COMMAND...: the commands that that part of tools/setup.sh brings
    local part=$1 missing
    shift
    [ -n "$(missing_of "$@")" ] || return 0
    "$lab/../tools/setup.sh" "$part" >&"$MESSAGES" 2>&1 </dev/null || cannot "tools/setup.sh $part failed"
    missing=$(missing_of "$@")
    [ -z "$missing" ] || cannot "these commands are missing: ${missing% }; as root, tools/setup.sh $part installs them"
}

room_for() { # DIRECTORY MIB WHAT
    local free
    free=$(df --output=avail -BM "$1" | tail -n 1 | tr -d ' M')
    [ "$free" -ge "$2" ] || cannot "$3 needs $2 MiB in $1, $free MiB are free"
}
