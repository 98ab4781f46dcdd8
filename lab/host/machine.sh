# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# One VM: the folders that it sees, its start, its end.
#
# One of the folders, the control folder, is made for each run. In it are
#   written here:  argv, environment (items end with NUL), folder (to start in), mounts
#   by the VM:     stdout, stderr, ready (when the command starts), status (its exit status, once all is written: the VM's work is done)

VM='' READERS=()

machine_possible() { # MEMORY
    local available
    [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] ||
        cannot "images are made on Debian (or a relative of it) on amd64 only"
    available=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
    [ "$available" -ge "$(($1 + 256))" ] || cannot "a VM needs $(($1 + 256)) MiB of memory, $available MiB are free"
    room_for "${TMPDIR:-/tmp}" 1000 'a VM'
}

machine_begin() { # makes RUN, this run's own folder
    RUN=$(mktemp -d "${TMPDIR:-/tmp}/pve-blockio-lab.XXXXXX")
    trap machine_end EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mkdir "$RUN/control"
    touch "$RUN"/{console,emulator} "$RUN"/control/{stdout,stderr,mounts}
    SHARE_TAGS=(lab-control lab-guest)
    SHARE_FOLDERS=("$RUN/control" "$lab/guest")
    SHARE_READONLY=('' readonly)
}

machine_end() {
    machine_kill
    rm -rf "$RUN"
}

# There is nothing in the VM to be saved, and what starts User-mode Linux heeds no milder signal.
machine_kill() {
    [ -n "$VM" ] || return 0
    # Bash remembers a child that has ended until it is waited for: the number is still its own.
    kill -KILL "$VM" 2>/dev/null || :
    wait "$VM" 2>/dev/null || :
    VM=
}

machine_share() { # FOLDER FOLDER_IN_VM ro|rw|overlay
    [ -d "$1" ] || die "no such folder: $1"
    case $1 in *,* | *$'\t'* | *$'\n'*) die "a folder with a comma, tab or line break in its name cannot be shared: $1" ;; esac
    local tag=lab-${#SHARE_TAGS[@]}
    SHARE_TAGS+=("$tag")
    SHARE_FOLDERS+=("$1")
    if [ "$3" = rw ]; then SHARE_READONLY+=(''); else SHARE_READONLY+=(readonly); fi
    printf '%s\t%s\t%s\n' "$tag" "$3" "$2" >>"$RUN/control/mounts"
}

machine_folders() { # OUT
    local project node
    project=$(cd "$lab/.." && pwd -P)
    machine_share "$project" /project overlay
    case $PWD/ in
        "$project"/*) printf %s "/project${PWD#"$project"}" ;;
        *) printf %s /project ;;
    esac >"$RUN/control/folder"
    if [ -n "$1" ]; then
        mkdir -p "$1"
        machine_share "$(cd "$1" && pwd -P)" /out rw
    fi
    if [ "$IMAGE_RELEASE" = bookworm ]; then
        node=$(PATH=$project/.tools/bin:$PATH command -v node) || cannot "no Node on this machine to lend to the VM"
        machine_share "$(dirname "$(readlink -f "$node")")" /opt/node ro
    fi
}

machine_environment() { # NAME[=VALUE]...
    local item
    for item in "LAB_SLOWNESS=$SLOWNESS" "$@"; do
        case $item in
            *=*) printf '%s\0' "$item" ;;
            *) [ -z "${!item+set}" ] || printf '%s=%s\0' "$item" "${!item}" ;;
        esac
    done >"$RUN/control/environment"
}

machine_show_output() { # passes on what the command writes, while it runs
    local show=(setpriv --pdeathsig KILL tail -q -c +1 -s 0.1 --pid="$VM" -f)
    "${show[@]}" "$RUN/control/stdout" &
    READERS+=($!)
    "${show[@]}" "$RUN/control/stderr" >&2 &
    READERS+=($!)
}

machine_wait() { # TIMEOUT: returns the command's exit status
    local started ready='' problem=''
    started=$(now)
    while kill -0 "$VM" 2>/dev/null; do
        if [ -e "$RUN/control/status" ]; then
            break
        elif [ -n "$ready" ]; then
            over "$ready" "$1" && problem="the command took longer than $1 s" && break
        elif [ -e "$RUN/control/ready" ]; then
            ready=$(now)
            note "the VM took $(since "$started") s to start"
        else
            over "$started" "$LAB_BOOT_TIMEOUT" &&
                problem="the VM was not ready after $LAB_BOOT_TIMEOUT s (LAB_BOOT_TIMEOUT)" && break
        fi
        sleep 0.1
    done
    machine_kill
    wait "${READERS[@]}" 2>/dev/null || :
    if [ -z "$problem" ] && [ -e "$RUN/control/status" ]; then
        note "the command took $(since "$ready") s"
        return "$(cat "$RUN/control/status")"
    fi
    machine_last_words
    log "error: ${problem:-"the VM ended before the command did"}"
    [ -z "$ready" ] || [ -z "$problem" ] || return "$EXIT_TIMEOUT"
    return "$EXIT_LAB"
}

over() { [ "$2" -gt 0 ] && awk -v t="$(since "$1")" -v limit="$2" 'BEGIN { exit t < limit }'; } # START LIMIT

machine_last_words() {
    local file
    for file in emulator console; do
        [ -s "$RUN/$file" ] || continue
        log "the end of $file:"
        tail -n 40 "$RUN/$file" | tr -d '\r\033' | sed 's/^/    /' >&2
    done
}
