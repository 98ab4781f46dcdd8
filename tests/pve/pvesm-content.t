#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: ISO images, templates, snippets, import files and backups live in the storage as in a stock directory storage:
# uploaded, listed, described, protected, pruned, removed; a backup's notes and protection lie where PVE looks for them.
. "$(dirname "$0")/lib/env.sh"
[ -n "$CAN_FILES" ] || skip_all "$SUBJECT keeps volumes only"
one_node

api() { on1 pvesh "$@"; }
content=nodes/pve1/storage/sub/content

# --- upload, as the web server hands it over
on1 sh -c 'head -c 3000000 /dev/urandom >/var/tmp/pveupload-0123456789abcdef0123456789abcdef'
sum=$(on1 sha256sum /var/tmp/pveupload-0123456789abcdef0123456789abcdef | cut -c1-64)
ok 'upload an ISO image' api create nodes/pve1/storage/sub/upload --content iso --filename up.iso \
    --tmpfilename /var/tmp/pveupload-0123456789abcdef0123456789abcdef
is 'its content arrived' "$(digest "$(path_of sub:iso/up.iso)")" "$sum"
is 'its size is listed' "$(size_of sub:iso/up.iso)" 3000000

# --- copied in by hand, to the path PVE names
put() { # VOLUME FILE
    local path
    path=$(path_of "sub:$1") && mkdir -p "${path%/*}" && cp "$2" "$path"
}
echo '#cloud-config' >"$T/user.yaml"
mkdir "$T/empty" && tar -C "$T/empty" -czf "$T/tpl.tar.gz" .
qemu-img create -q -f qcow2 "$T/disk.qcow2" 20M 2>/dev/null || on1 qemu-img create -q -f qcow2 "$T/disk.qcow2" 20M
ok 'copy a template' put vztmpl/tpl.tar.gz "$T/tpl.tar.gz"
ok 'copy a snippet' put snippets/user.yaml "$T/user.yaml"
ok 'copy an import image' put import/disk.qcow2 "$T/disk.qcow2"
for c in iso:iso/up.iso vztmpl:vztmpl/tpl.tar.gz snippets:snippets/user.yaml import:import/disk.qcow2; do
    is "list --content ${c%%:*}" "$(listed sub --content "${c%%:*}")" "sub:${c#*:}"
done
is 'guest disks are another content type' "$(listed sub --content images)" ''
ok 'volume information of an import image' api get $content/sub:import/disk.qcow2
like 'knows its format' "$OUT" '"format" *: *"qcow2"'
like 'knows its virtual size' "$OUT" '"size" *: *"?20971520'
fails 'a name outside the content directory' . on1 pvesm path 'sub:iso/../../x.iso'

# --- backups
make_backup() { # TIMESTAMP
    local path
    path=$(path_of "sub:backup/vzdump-lxc-100-$1.tar.gz")
    mkdir -p "${path%/*}" && cp "$T/tpl.tar.gz" "$path" && echo "log of $1" >"${path%.tar.gz}.log"
}
for day in 01 02 03 04; do make_backup "2024_01_$day-00_00_00"; done
backup=sub:backup/vzdump-lxc-100-2024_01_01-00_00_00.tar.gz
is 'four backups are listed' "$(listed sub --content backup | wc -w)" 4
is 'of guest 100' "$(listed sub --content backup --vmid 100 | wc -w)" 4
is 'not of guest 101' "$(listed sub --content backup --vmid 101)" ''
ok 'set notes' api set $content/$backup --notes 'first line
second line'
ok 'read them back' api get $content/$backup
like 'as they were' "$OUT" 'first line.nsecond line'
is 'where PVE keeps them' "$(cat "$(path_of $backup).notes")" 'first line
second line'
ok 'protect' api set $content/$backup --protected 1
like 'shown as protected' "$(api get $content/$backup)" '"protected" *: *1'
run on1 pvesm free $backup # its exit code is 0: the error is that of a task
like 'removing a protected backup is refused' "$OUT" 'cannot remove protected'
like 'and it is still there' "$(listed sub --content backup)" "$backup"
ok 'prune, dry run' on1 pvesm prune-backups sub --keep-last 1 --dry-run 1
is 'removes nothing' "$(listed sub --content backup | wc -w)" 4
ok 'prune' on1 pvesm prune-backups sub --keep-last 1
is 'keeps the newest and the protected one' "$(listed sub --content backup)" \
    "$backup sub:backup/vzdump-lxc-100-2024_01_04-00_00_00.tar.gz"
ok 'lift the protection' api set $content/$backup --protected 0
ok 'remove the backup' on1 pvesm free $backup
is 'its notes and log went with it' "$(find "$STORE/sub/dump" -name '*2024_01_01*')" ''

# --- the end
for v in $(listed sub); do ok "remove $v" on1 pvesm free "$v"; done
is 'no file is left' "$(find "$STORE/sub" -type f ! -path '*/lost+found/*' | sort)" ''
finish
