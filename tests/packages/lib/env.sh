# shellcheck shell=bash disable=SC2034 # for the test files
# SPDX-License-Identifier: AGPL-3.0-or-later
# What every test file starts with: a scratch directory and mounts of its own, which end with it.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
project=$(cd "$here/../.." && pwd)
. "$project/tests/pve/lib/tap.sh"

[ "$(id -u)" = 0 ] || skip_all 'needs root'
if [ -z "${PACKAGES_PRIVATE:-}" ]; then
    PACKAGES_PRIVATE=1 exec unshare --mount --propagation private bash "$0" "$@"
fi

PACKAGES=${PACKAGES:-$project/build/deb}
VERSION=$(dpkg-parsechangelog -l "$project/debian/changelog" -S Version)
T=$(mktemp -d "${TMPDIR:-/tmp}/pve-blockio-packages.XXXXXX") || exit 1
chmod 755 "$T"
LOG=$T/log
: >"$LOG"

. "$here/lib/tree.sh"
. "$here/lib/machine.sh"
. "$here/lib/stand-ins.sh"

at_exit() {
    local rc=$?
    trap - EXIT
    machine_stop
    tree_unmount
    if [ -n "${PACKAGES_KEEP:-}" ]; then printf '# kept: %s\n' "$T"; else rm -rf --one-file-system "$T"; fi
    exit "$rc"
}
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

finish() {
    done_testing
    [ "$FAILED" = 0 ]
}

until_true() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

deb() { # PACKAGE: its file
    local file
    for file in "$PACKAGES/$1"_*.deb; do printf '%s\n' "$file"; done
}
