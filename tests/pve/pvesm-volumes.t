#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: a storage can be added, changed, disabled and removed; volumes are allocated with the exact name and size asked
# for, listed, resolved to paths and freed; bad names are refused; parallel allocation on two nodes never collides.
. "$(dirname "$0")/lib/env.sh"
make_store
blockio_bind
up pve1 pve2
blockio_install pve1 pve2

# --- the storage itself
must 'add' add_subject --shared 1
ok 'add a stock directory storage' add_plain
fails 'adding the same ID again is refused' 'already defined' add_subject
if [ -n "$CAN_FILES" ]; then
    fails 'a relative path is refused' 'path' on1 pvesm add "$TYPE" other --path relative/path --content images
elif [ "$SUBJECT" = joviandss ]; then
    fails 'the targets of another storage are refused' 'also that of storage' on1 pvesm add "$TYPE" other "${PLACE[@]}" --content images
    fails 'what is not there is refused' 'absent' \
        on1 pvesm add "$TYPE" other "${PLACE[@]}" --target_prefix iqn.2026-01.other: --pool_name absent --content images
    unlike 'the password is not in the configuration' "$(on1 cat /etc/pve/storage.cfg)" 'secret-of-jdss'
    like 'but in a file' "$(on1 cat /etc/pve/priv/storage/joviandss/sub.pw)" '^user_password secret-of-jdss$'
    is 'which the failed attempts have not left' "$(on1 ls /etc/pve/priv/storage/joviandss)" sub.pw
elif [ "$SUBJECT" = drbd ]; then
    fails 'a group that is not there is refused' 'absent' on1 pvesm add "$TYPE" other "${PLACE[@]}" --resourcegroup absent --content images
    unlike 'the token is not in the configuration' "$(on1 cat /etc/pve/storage.cfg)" 'secret-of-linstor'
    is 'but in a file, which the failed attempt has not left' "$(on1 ls /etc/pve/priv/storage/drbd)" sub.pw
else
    fails 'a directory is refused' 'unexpected property' on1 pvesm add "$TYPE" other "${PLACE[@]}" --path "$STORE/sub"
    fails 'what is not there is refused' 'absent' on1 pvesm add "$TYPE" other --template absent --content images
fi
fails 'a property the type does not have is refused' 'unexpected property|unknown option|not defined' \
    on1 pvesm add "$TYPE" other "${PLACE[@]}" --content images --vgname abc
ok 'status' on1 pvesm status --storage sub
read -r _ type state total used avail _ <<<"$(tail -n 1 <<<"$OUT")"
is 'status: type and state' "$type $state" "$TYPE active"
true_that 'status: total is that of the file system' "$total" -gt 0
true_that 'status: used and available fit into total' $((used + avail)) -le "$total"
ok 'status on the other node' on2 pvesm status --storage sub
like 'active there too' "$OUT" "sub +$TYPE +active"

if [ -n "$CAN_FILES" ]; then
    fails 'a fixed property cannot change' 'fixed|unknown option' on1 pvesm set sub --path "$STORE/plain"
else
    skip 'a fixed property cannot change' 'it has none'
fi
ok 'disable' on1 pvesm set sub --disable 1
like 'shown as disabled' "$(on1 pvesm status 2>&1)" "sub +$TYPE +disabled"
fails 'no allocation on a disabled storage' 'disabled' on1 pvesm alloc sub 100 '' 1M
ok 'enable' on1 pvesm set sub --delete disable
ok 'restrict to one node' on1 pvesm set sub --nodes pve1
fails 'not available on the other node' 'not available' on2 pvesm list sub
ok 'lift the restriction' on1 pvesm set sub --delete nodes
ok 'change the content types' on1 pvesm set sub --content images,rootdir
ok 'change them back' on1 pvesm set sub --content "$SUB_CONTENT"
section() { on1 sed -n "/^$TYPE: sub/,/^$/p" /etc/pve/storage.cfg | tr ', \t' '\n' | sort; } # hash order varies
before=$(section)
ok 'change another storage' on1 pvesm set plain --content images,iso
is 'our section is untouched by it' "$(section)" "$before"

# --- volumes
ok 'alloc with a name of its own choice' on1 pvesm alloc sub 100 '' 1G --format "$FMT"
first=$(volid "sub:100/vm-100-disk-0.$FMT")
like 'says which' "$OUT" "successfully created '$first'"
ok 'alloc by name, size in KiB' on1 pvesm alloc sub 100 vm-100-disk-7.raw 1234
named=$(volid sub:100/vm-100-disk-7.raw)
is 'the size is exact' "$(size_of "$named")" "$(rounded $((1234 * 1024)))"
fails 'the same name again is refused' 'exist' on1 pvesm alloc sub 100 vm-100-disk-7.raw 1234
is 'and the volume is untouched' "$(size_of "$named")" "$(rounded $((1234 * 1024)))"
ok 'alloc for another guest' on1 pvesm alloc sub 101 '' 10M
ok 'a name of another kind' on1 pvesm alloc sub 100 vm-100-state-s1.raw 1M
more=(vm-100-disk-1.vmdk.exe)
[ -z "$BARE" ] || more=() # there it is a name like another
for bad in '../vm-100-disk-1.raw' 'vm-100-disk 1.raw' '/etc/vm-100-disk-1.raw' "${more[@]}"; do
    fails "alloc of '$bad' is refused" . on1 pvesm alloc sub 100 "$bad" 1M
done
is 'all are listed, in numbers' "$(plain "$(listed sub)" | tr ' ' '\n' | sort | paste -sd' ')" \
    "sub:100/vm-100-disk-0.$FMT sub:100/vm-100-disk-7.raw sub:100/vm-100-state-s1.raw sub:101/vm-101-disk-0.raw"
is 'list of one guest' "$(plain "$(listed sub --vmid 101)")" sub:101/vm-101-disk-0.raw
is 'list seen from the other node' "$(on2 pvesm list sub | awk 'NR > 1' | wc -l)" 4
is 'size in bytes' "$(size_of "$first")" $((1 << 30))
ok 'path' on1 pvesm path "$named"
path=$OUT
if [ -n "$CAN_FILES" ]; then
    true_that 'path names a regular file or block device' -f "$path" -o -b "$path"
    is 'path without the volume' "$(on1 pvesm path sub:100/vm-100-disk-9.raw)" "${path%7.raw}9.raw"
    true_that 'a new volume is sparse' "$(du -k "$(path_of "$first")" | cut -f1)" -lt 1024
    true_that 'a new volume is not for everybody' "$(stat -c %a "$(path_of "$first")" | tail -c 2)" = 0
else
    true_that 'there is no device of a volume that is not active' ! -e "$path"
    ok 'it is a block device while it is active' with_volume pve1 "$named" test -b {}
    true_that 'and not afterwards' ! -e "$path"
    if [ "$SUBJECT" = storpool ]; then
        is 'path by the name alone' "$(on1 pvesm path sub:vm-100-disk-7)" "$path"
        fails 'the name alone, without the volume' 'not exist|absent|no volume' on1 pvesm path sub:vm-100-disk-9
    else
        is 'path without the volume' "$(on1 pvesm path sub:vm-100-disk-9)" "${path%/*}/vm-100-disk-9"
    fi
fi
fails 'path of nonsense is refused' . on1 pvesm path 'sub:100/../../etc/passwd'

ok 'free' on1 pvesm free "$first"
unlike 'gone from the list' "$(listed sub)" "$first"
is 'gone from the storage' "$(left_over | grep -c 'vm-100-disk-0\|pve-disk=0.*pve-vm=100')" 0
ok 'freeing what is gone succeeds' on1 pvesm free "$first"
for v in $(listed sub); do ok "free $v" on1 pvesm free "$v"; done
nothing_left

# --- many at once, from both nodes
for i in 1 2 3 4 5 6; do
    on pve$((1 + i % 2)) pvesm alloc sub 200 '' 1M >>"$T/parallel" 2>&1 &
    on pve$((1 + i % 2)) pvesm alloc sub 20$i '' 1M >>"$T/parallel" 2>&1 &
done
wait
is 'parallel allocation: 12 volumes announced' "$(grep -c 'successfully created' "$T/parallel")" 12
is 'parallel allocation: 12 different names' "$(sed -n "s/.*created '\(.*\)'/\1/p" "$T/parallel" | sort -u | wc -l)" 12
is 'parallel allocation: 12 volumes listed' "$(listed sub | wc -w)" 12
for v in $(listed sub); do on1 pvesm free "$v" >>"$LOG" 2>&1; done
nothing_left 'nothing is left of them'

ok 'remove' on1 pvesm remove sub
unlike 'gone from the configuration' "$(on1 cat /etc/pve/storage.cfg)" ': sub$'
fails 'gone for commands' 'does not exist' on1 pvesm list sub
finish
