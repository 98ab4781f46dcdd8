# shellcheck shell=bash disable=SC2154 # variables are shared with lab-san
# SPDX-License-Identifier: AGPL-3.0-or-later
# lab-san: volumes are sparse files. The targets serve them as they are: a loop device would be one more disk that the
# node can see. All names of a volume follow from its own.

file_of() { # NAME
    [ -e "$volumes/$1" ] || fail "no such volume: $1"
    printf '%s/%s' "$volumes" "$1"
}

digest() { printf '%s' "$1" | md5sum | cut -c1-32; }
uuid() { digest "$1" | sed -E 's/(.{8})(.{4})(.{4})(.{4})/\1-\2-\3-\4-/'; }
wwid() { printf '36001405%s\n' "$(digest "$1" | cut -c1-25)"; }

volume() { # NAME SIZE
    [[ $1 =~ ^[A-Za-z0-9_-][A-Za-z0-9_.-]*$ ]] || fail "bad volume name: $1"
    [ ! -e "$volumes/$1" ] || fail "volume exists: $1"
    mkdir -p "$volumes"
    truncate -s "$2" "$volumes/$1"
}

resize() { # NAME SIZE
    local file
    file=$(file_of "$1")
    truncate -s "$2" "$file"
    iscsi_resized "$1" "$file"
    nvme_resized "$file"
}
