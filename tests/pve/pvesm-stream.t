#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: `pvesm export` and `pvesm import` carry a volume between the subject and a stock directory storage in both
# directions, byte for byte in PVE's own stream formats; a cut-off stream is an error and leaves nothing behind.
. "$(dirname "$0")/lib/env.sh"
two_nodes

data=$T/store/data # the nodes see it
bytes=$(rounded $((32769 * 1024)))
random_file "$data" 32 $((bytes / 1024 - 32768)) # 32 MiB + 1 KiB, or what the subject makes of that
sum=$(digest "$data")
export_to() { on1 pvesm export "$1" "$2" "$3" "${@:4}"; } # VOLID FORMAT FILE
import_from() { on1 pvesm import "$1" "$2" "$3" "${@:4}"; }

# --- raw+size, stock -> subject -> stock
must 'a source on the stock storage' on1 pvesm alloc plain 100 vm-100-disk-0.raw $((bytes / 1024))
must 'with data' fill plain:100/vm-100-disk-0.raw "$data"
ok 'export from the stock storage' export_to plain:100/vm-100-disk-0.raw raw+size "$STORE/a"
is 'header is the size, little endian' "$(od -An -tu8 -N8 "$STORE/a" | tr -d ' ')" "$bytes"
ok 'import into the subject' import_from "$(asked sub:100/vm-100-disk-0.raw)" raw+size "$STORE/a"
like 'says what it made' "$(plain "$OUT")" "successfully imported 'sub:100/vm-100-disk-0.raw'"
disk=$(volid sub:100/vm-100-disk-0.raw)
is 'the size is exact' "$(size_of "$disk")" "$bytes"
is 'the content is the same' "$(digest_of "$disk")" "$sum"
ok 'export from the subject' export_to "$disk" raw+size "$STORE/b"
is 'both streams are identical' "$(digest "$STORE/b")" "$(digest "$STORE/a")"
ok 'import into the stock storage' import_from plain:100/vm-100-disk-1.raw raw+size "$STORE/b"
is 'the content came through' "$(digest "$(path_of plain:100/vm-100-disk-1.raw)")" "$sum"

# --- through a pipe to the other node, as migration does
pipe() { # SOURCE TARGET [IMPORT_OPTION...]
    # shellcheck disable=SC2259 # the pipe itself, which a command on a node would not get otherwise
    (set -o pipefail; on1 pvesm export "$1" raw+size - -with-snapshots 0 |
        on2 pvesm import "$2" raw+size - -with-snapshots 0 "${@:3}" </dev/stdin)
}
run_pipe() { OUT=$(pipe "$@" 2>&1); local rc=$?; printf '%s\n' "$OUT" >>"$LOG"; echo "$OUT"; return $rc; }
ok 'pipe to the other node' run_pipe "$disk" "$(asked sub:100/vm-100-disk-5.raw)"
is 'the content is the same there' "$(digest_of "$(volid sub:100/vm-100-disk-5.raw)")" "$sum"
fails 'onto an existing name: refused' 'exist' run_pipe "$disk" "$(asked sub:100/vm-100-disk-5.raw)"
ok 'onto an existing name with -allow-rename' run_pipe plain:100/vm-100-disk-0.raw "$(asked sub:100/vm-100-disk-5.raw)" -allow-rename 1
other=$(sed -n "s/.*successfully imported '\(.*\)'.*/\1/p" <<<"$OUT")
isnt 'another name was chosen' "$(plain "$other")" sub:100/vm-100-disk-5.raw
is 'its content is the same' "$(digest_of "$other")" "$sum"

# --- over a socket, as insecure and remote migration do
import_unix() {
    on2 pvesm import "$(asked sub:100/vm-100-disk-8.raw)" raw+size unix:///run/pve-import.sock -with-snapshots 0 &
    local pid=$! i
    for ((i = 0; i < 100; i++)); do on2 test -S /run/pve-import.sock && break; sleep 0.1; done
    on2 socat -u "OPEN:$STORE/a" UNIX-CONNECT:/run/pve-import.sock
    wait $pid
}
ok 'import from a unix socket' import_unix
is 'the content is the same' "$(digest_of "$(volid sub:100/vm-100-disk-8.raw)")" "$sum"

# --- refusals, and streams that are not what they say
fails 'a format the volume does not have' 'not available|cannot|not support|unsupported' \
    export_to "$disk" tar+size "$STORE/c"
fails 'export of an absent volume' . export_to "$(asked sub:100/vm-100-disk-99.raw)" raw+size "$STORE/c"
before=$(left_over)
head -c 1000000 "$STORE/a" >"$STORE/short"
: >"$STORE/empty"
fails 'an empty stream' . import_from "$(asked sub:100/vm-100-disk-9.raw)" raw+size "$STORE/empty"
if [ -n "$OURS" ]; then
    fails 'a stream that ends early' . import_from "$(asked sub:100/vm-100-disk-9.raw)" raw+size "$STORE/short"
    { cat "$STORE/a"; echo more; } >"$STORE/long"
    fails 'a stream that goes on after its end' . import_from "$(asked sub:100/vm-100-disk-9.raw)" raw+size "$STORE/long"
else
    skip 'a stream that ends early' 'stock types do not notice'
    skip 'a stream that goes on after its end' 'stock types do not notice'
fi
is 'failed imports left nothing' "$(left_over)" "$before"

# --- a snapshot as raw+size
if [ -n "$CAN_SNAP_EXPORT" ]; then
    ok 'snapshot' on1 perl -e 'use PVE::Storage; my $c = PVE::Storage::config();
        PVE::Storage::volume_snapshot($c, shift, "s1")' "$disk"
    write_mark "$disk" 0x77 >>"$LOG" 2>&1
    ok 'export of the snapshot' export_to "$disk" raw+size "$STORE/s" -snapshot s1
    # The volume has grown to whole blocks by being shared, see docs/blockio.md.
    content() { tail -c +9 "$1" | head -c "$bytes" | sha256sum; }
    is 'is the content of that time' "$(content "$STORE/s")" "$(content "$STORE/a")"
else
    skip 'export of a snapshot' "not a promise of $SUBJECT on $FS"
fi

# --- tar+size for sub-volumes
if [ -n "$CAN_SUBVOL" ]; then
must 'a sub-volume' on1 pvesm alloc sub 100 subvol-100-disk-3.subvol 0 --format subvol
tree=$(path_of sub:100/subvol-100-disk-3.subvol)
mkdir -p "$tree/d/deep" && echo hello >"$tree/d/deep/file" && ln -s deep/file "$tree/d/link" &&
    ln "$tree/d/deep/file" "$tree/hard" && truncate -s 5M "$tree/sparse" && chmod 4711 "$tree/hard" &&
    chown 100033:100033 "$tree/d" && mkfifo "$tree/fifo" && mknod "$tree/null" c 1 3 &&
    touch -d '2001-02-03 04:05:06.123456789' "$tree/d/deep/file" && touch "$tree/$(printf 'odd\377name')"
if command -v setfattr >/dev/null && command -v setfacl >/dev/null && command -v setcap >/dev/null; then
    setfattr -n user.test -v 'a value' "$tree/d" && cp /bin/true "$tree/cap" && setcap cap_net_raw+ep "$tree/cap" &&
        setfacl -m u:100033:rw "$tree/d/deep/file" && setfacl -d -m g:100033:rx "$tree/d/deep"
fi
picture() { (cd "$1" && find . -mindepth 1 -printf '%P %y %m %U:%G %s %l %n %T@\n' | sed 's/^\([^ ]* d [^ ]* [^ ]*\) [0-9]*/\1/' |
    sort && find . -type f -exec sha256sum {} + | sort &&
    find . ! -type l -print0 | sort -z | xargs -0 sh -c 'getfacl -n "$@"; getfattr -dm "^(user|security.capability)" "$@"' - 2>/dev/null); }
before=$(picture "$tree")
ok 'export a sub-volume' export_to sub:100/subvol-100-disk-3.subvol tar+size "$STORE/t"
ok 'import it into the stock storage' import_from plain:100/subvol-100-disk-3.subvol tar+size "$STORE/t"
is 'the tree is the same' "$(picture "$(path_of plain:100/subvol-100-disk-3.subvol)")" "$before"
ok 'and back from there' export_to plain:100/subvol-100-disk-3.subvol tar+size "$STORE/t2"
ok 'into the subject' import_from sub:100/subvol-100-disk-4.subvol tar+size "$STORE/t2"
is 'still the same' "$(picture "$(path_of sub:100/subvol-100-disk-4.subvol)")" "$before"
if [ -n "$OURS" ]; then
    left=$(left_over)
    size=$(stat -c %s "$STORE/t2")
    for cut in 8 5000 $((size / 2)); do
        head -c "$cut" "$STORE/t2" >"$STORE/t3"
        fails "a stream that ends after $cut bytes" . import_from sub:100/subvol-100-disk-6.subvol tar+size "$STORE/t3"
    done
    fails 'onto an existing name' 'exist' import_from sub:100/subvol-100-disk-4.subvol tar+size "$STORE/t2"
    is 'failed imports left nothing' "$(left_over)" "$left"
fi

else
    skip 'streams of sub-volumes' "$SUBJECT has none"
fi

# --- files of other content types
if [ -n "$CAN_FILES" ]; then
mkdir -p "$STORE/plain/template/iso" && cp "$data" "$STORE/plain/template/iso/x.iso"
ok 'export an ISO image from the stock storage' export_to plain:iso/x.iso raw+size "$STORE/i"
ok 'import it into the subject' import_from sub:iso/x.iso raw+size "$STORE/i"
is 'the content is the same' "$(digest "$(path_of sub:iso/x.iso)")" "$sum"
ok 'and export it again' export_to sub:iso/x.iso raw+size "$STORE/i2"
is 'both streams are identical' "$(digest "$STORE/i2")" "$(digest "$STORE/i")"
else
    skip 'streams of other content types' "$SUBJECT has none"
fi

for v in $(listed sub); do ok "free $v" on1 pvesm free "$v"; done
nothing_left
finish
