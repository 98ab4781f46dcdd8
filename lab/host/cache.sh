# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Folders that are built once and kept between runs. Each is named after a digest of all that goes into it, so that a
# change leads to a new one and nothing is built twice.

CACHE=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/pve-blockio-lab
KEPT_DAYS=30 # without use

digest_of_input() { sha256sum | cut -c 1-12; }

# One build at a time; who has waited for another's finds the folder done.
cached() { # FOLDER FILL: makes FOLDER out of what FILL WORK puts into WORK/result
    if [ -e "$1/complete" ]; then
        touch "$1/complete"
        return
    fi
    mkdir -p "$(dirname "$1")"
    local lock
    exec {lock}>"$CACHE/lock"
    flock -w 1800 "$lock" || die "another build has held $CACHE/lock for half an hour"
    [ -e "$1/complete" ] || cache_build "$1" "$2"
    exec {lock}>&-
}

cache_build() { # FOLDER FILL
    local start status=0
    start=$(now)
    cache_expire
    room_for "$CACHE" 3000 'building an image'
    BUILD=$(mktemp -d "$CACHE/build.XXXXXX")
    trap 'rm -rf "$BUILD"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    chmod 755 "$BUILD"
    mkdir "$BUILD/result"
    # Only the messages of log are for the user.
    (
        exec 3>&"$MESSAGES" >"$BUILD/log" 2>&1
        MESSAGES=3
        "$2" "$BUILD"
    ) || status=$?
    [ "$status" != "$EXIT_CANNOT" ] || exit "$status"
    if [ "$status" != 0 ]; then
        tail -n 25 "$BUILD/log" >&2
        die "the build failed (above: the end of its log)"
    fi
    touch "$BUILD/result/complete"
    mv "$BUILD/result" "$1"
    rm -rf "$BUILD"
    trap - EXIT INT TERM HUP
    log "built in $(since "$start") s: $1"
}

# Leftovers of builds that were killed (we have the lock), and what no checkout has used for long.
cache_expire() {
    local folder
    rm -rf "$CACHE"/build.*
    for folder in "$CACHE"/*/*/; do
        [ -d "$folder" ] || continue
        [ -z "$(find "$folder/complete" -mtime "-$KEPT_DAYS" 2>/dev/null)" ] || continue
        rm -rf "$folder"
        log "removed, as not used for $KEPT_DAYS days: $folder"
    done
}

# A mirror that does not answer is the machine's matter, all later errors are ours.
reachable() { # MIRROR RELEASE WORK
    /usr/lib/apt/apt-helper -o Acquire::Retries=2 -o Acquire::http::Timeout=20 download-file \
        "$1/dists/$2/InRelease" "$3/InRelease" || cannot "the Debian mirror $1 does not answer (LAB_MIRROR)"
}
