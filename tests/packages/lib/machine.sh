# shellcheck shell=bash disable=SC2154 # of env.sh
# SPDX-License-Identifier: AGPL-3.0-or-later
# A tree whose systemd runs as the first process of namespaces of its own, with the kernel of this machine.

MACHINE= # process ID of its systemd, here
MACHINE_GROUP=

machine_start() { # boots $ROOT; /srv/test in it is this project's tests/packages, perl/t and lab/lib
    local parent
    MACHINE_GROUP=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)/pve-blockio-packages.$$
    mkdir "$MACHINE_GROUP" || return
    (
        echo "$BASHPID" >"$MACHINE_GROUP/cgroup.procs" || exit 1
        exec unshare --mount --pid --fork --kill-child --uts --ipc --cgroup \
            bash "$here/lib/enter.sh" "$ROOT" "$project"
    ) </dev/null >"$T/console" 2>&1 &
    parent=$!
    machine_found() { MACHINE=$(pgrep -P "$parent" -x systemd); }
    for _ in $(seq 100); do machine_found && break; sleep 0.1; done
    [ -n "$MACHINE" ] || { cat "$T/console"; return 1; }
    until_true 60 machine_up || { cat "$T/console"; return 1; }
}

machine_up() { [[ $(inside systemctl is-system-running) =~ ^(running|degraded)$ ]]; }

inside() { # COMMAND...
    timeout -k 5 "${LIMIT:-120}" nsenter -t "$MACHINE" --mount --pid --uts --ipc --cgroup -- \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

machine_stop() {
    [ -n "$MACHINE" ] || return 0
    kill -KILL "$MACHINE" 2>/dev/null
    wait 2>/dev/null
    MACHINE=
    for _ in $(seq 50); do
        find "$MACHINE_GROUP" -depth -type d -exec rmdir {} + 2>/dev/null
        [ -d "$MACHINE_GROUP" ] || break
        sleep 0.1
    done
}
