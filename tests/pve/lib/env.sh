# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# What every test file starts with: settings, a private scratch directory, two nodes on demand, and the end of it all.
# See README.md for the environment variables.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
project=$(cd "$here/../.." && pwd)
. "$here/lib/tap.sh"

[ -n "${PVE_REF:-}" ] || skip_all 'PVE_REF not set'
[ -n "${PVE_ENV:-}" ] || skip_all 'PVE_ENV not set'
[ "$(id -u)" = 0 ] || skip_all 'needs root'

# All mounts of a test live in its own mount name space, so none outlives it, however it ends.
if [ -z "${PVE_TEST_PRIVATE:-}" ]; then
    PVE_TEST_PRIVATE=1 exec unshare --mount --propagation private bash "$0" "$@"
fi

T=$(mktemp -d "${PVE_TEST_DIR:-/tmp}/pve-blockio-XXXXXX") || exit 1
LOG=$T/log
STORE=$T/store
export PVE_STATE=$T/state
export PVE_BIND=$STORE
unset PVE_PLUGIN
: >"$LOG"
mkdir -p "$STORE/sub" "$STORE/plain"
chmod 755 "$T" # the root of an unprivileged container has to get in

on() { # NODE COMMAND...
    local node=$1
    shift
    timeout -k 5 "${LIMIT:-120}" $PVE_ENV -n "$node" "$@"
}
on1() { on pve1 "$@"; }
on2() { on pve2 "$@"; }

up() { # NODE...
    local n
    for n; do
        run $PVE_ENV up "$n" && run complete "$n" || { fail "node $n comes up" "$OUT"; finish; exit 1; }
    done
}

complete() { # NODE: what a source checkout lacks against the packages
    on "$1" sh -c 'set -e
        f=/usr/sbin/pvesr # without its execute bit
        if [ -e $f ] && [ ! -x $f ]; then cp -L $f $f.tmp; chmod 755 $f.tmp; mv $f.tmp $f; fi
        # only its rate limit is not there
        command -v cstream >/dev/null || { printf "#!/bin/sh\nexec cat\n" >/usr/bin/cstream; chmod 755 /usr/bin/cstream; }'
}

at_exit() {
    local rc=$?
    trap - EXIT
    $PVE_ENV wipe >>"$LOG" 2>&1
    [ -z "$SIM" ] || sim_stop
    umount "$STORE/sub" 2>/dev/null
    if [ -n "${PVE_TEST_KEEP:-}" ]; then
        printf '# kept: %s\n' "$T"
    else
        rm -rf --one-file-system "$T"
    fi
    exit "$rc"
}
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

finish() { # the last assertions and the plan
    [ -z "$SIM" ] || sim_sound
    if [ -n "$OURS" ]; then
        is 'no Perl warning in any output' "$(grep -E "$NOISE" "$LOG" | sort | uniq -c | sort -rn | head -n 10)" ''
    fi
    done_testing
    [ "$FAILED" = 0 ]
}

. "$here/lib/subject.sh"
. "$here/lib/volume.sh"
