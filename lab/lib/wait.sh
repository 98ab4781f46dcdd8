# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Waiting for a condition. Under emulation everything takes longer: limits are multiplied by LAB_SLOWNESS.

scaled() { echo $(($1 * ${LAB_SLOWNESS:-1})); } # SECONDS

# Of the command's output, only that of the last try is printed.
until_true() { # SECONDS COMMAND...
    local output limit=$((SECONDS + $(scaled "$1")))
    shift
    until output=$("$@" 2>&1); do
        [ "$SECONDS" -lt "$limit" ] || { printf '%s\nstill not true: %s\n' "$output" "$*"; return 1; }
        sleep 0.2
    done
    [ -z "$output" ] || printf '%s\n' "$output"
}

stays_true() { # SECONDS COMMAND...: it does not fail once; for what must not happen
    local output limit=$((SECONDS + $1))
    shift
    while [ "$SECONDS" -lt "$limit" ]; do
        output=$("$@" 2>&1) || { printf '%s\nno longer true: %s\n' "$output" "$*"; return 1; }
        sleep 0.2
    done
}
