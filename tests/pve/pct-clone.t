#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: containers are cloned in full and linked, made templates, their volumes moved to a stock storage and back and
# handed to another container, for raw images and for sub-volumes.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/ct.sh"
one_node

must 'create' make_ct 100 --rootfs sub:0.25 --mp0 sub:0.125,mp=/data
ok 'write' in_ct 100 'echo one >root/f && echo two >data/f && chown 100033 data/f'
contents() { in_ct "$1" 'cat root/f data/f && stat -c %u data/f' | paste -sd' '; } # VMID

# --- full clone, move
ok 'full clone' on1 pct clone 100 101 --full 1 --storage sub
is 'content and owners' "$(contents 101)" 'one two 100033'
ok 'write to the clone' in_ct 101 'echo other >root/f'
is 'the source is untouched' "$(contents 100)" 'one two 100033'
ok 'move a volume away, old one removed' on1 pct move-volume 101 mp0 plain --delete 1
like 'on the stock storage' "$(ct_disk 101 mp0)" '^plain:101/'
is 'content and owners' "$(contents 101)" 'other two 100033'
is 'the old one is gone' "$(listed sub --vmid 101 | wc -w)" 1
ok 'move it back, old one kept' on1 pct move-volume 101 mp0 sub
is 'content and owners' "$(contents 101)" 'other two 100033'
like 'the old one is unused' "$(on1 pct config 101)" '^unused0: plain:101/'
ok 'remove it' on1 pct set 101 --delete unused0
ok 'hand it to the other container' on1 pct move-volume 101 mp0 --target-vmid 100 --target-volume mp5
like 'named after its new owner' "$(plain "$(ct_disk 100 mp5)")" '^sub:100/vm-100-disk-'
is 'content' "$(file_in_ct 100 data/f)" two
is 'one volume is left to the old owner' "$(listed sub --vmid 101 | wc -w)" 1
ok 'destroy' on1 pct destroy 101
ok 'detach' on1 pct set 100 --delete mp5
ok 'remove' on1 pct set 100 --delete unused0

# --- template
ok 'template' on1 pct template 100
like 'its volumes are bases' "$(plain "$(ct_disk 100 rootfs)") $(plain "$(ct_disk 100 mp0)")" 'sub:100/base-100-disk-[0-9]+\.raw sub:100/base-100-disk-'
ok 'full clone of the template' on1 pct clone 100 102 --full 1
is 'content and owners' "$(contents 102)" 'one two 100033'
if [ -n "$CAN_CT_LINKED" ]; then
    ok 'linked clone' on1 pct clone 100 103
    is 'content and owners' "$(contents 103)" 'one two 100033'
    ok 'write to it' in_ct 103 'echo linked >root/f'
    ok 'another one' on1 pct clone 100 104
    is 'does not see that' "$(contents 104)" 'one two 100033'
    ok 'rescan' on1 pct rescan
    is 'finds nothing lost' "$(on1 pct config 103 | grep -c '^unused')" 0
    if [ -n "$CAN_CHAIN" ]; then
        fails 'the template is kept by its clones' 'in use by linked clones' on1 pct destroy 100
        is 'the clones are untouched' "$(contents 103)" 'linked two 100033'
        for id in 103 104 100; do ok "destroy $id" on1 pct destroy "$id"; done
    else
        ok 'the template may go' on1 pct destroy 100
        is 'the clones do not need it' "$(contents 103)" 'linked two 100033'
        for id in 103 104; do ok "destroy $id" on1 pct destroy "$id"; done
    fi
else
    fails 'a linked clone is refused' 'not available|not support' on1 pct clone 100 103
    ok 'destroy the template' on1 pct destroy 100
fi
ok 'destroy' on1 pct destroy 102
nothing_left 'nothing is left of raw images'

# --- sub-volumes
if [ -z "$CAN_SUBVOL" ]; then
    skip 'clones of sub-volumes' "$SUBJECT has none"
    finish
    exit
fi
must 'create on sub-volumes' make_ct 110 --rootfs sub:0 --mp0 sub:0,mp=/data
ok 'write' in_ct 110 'echo one >root/f && echo two >data/f && chown 100033 data/f'
ok 'full clone' on1 pct clone 110 111 --full 1 --storage sub
is 'content and owners' "$(contents 111)" 'one two 100033'
ok 'move a sub-volume away' on1 pct move-volume 111 mp0 plain --delete 1
ok 'and back' on1 pct move-volume 111 mp0 sub --delete 1
is 'content and owners' "$(contents 111)" 'one two 100033'
like 'still a sub-volume' "$(ct_disk 111 mp0)" '^sub:111/subvol-111-disk-[0-9]+\.subvol'
if [ "$SUBJECT" = blockio ]; then
    ok 'hand it to the other container' on1 pct move-volume 111 mp0 --target-vmid 110 --target-volume mp3
    like 'named after its new owner' "$(ct_disk 110 mp3)" '^sub:110/subvol-110-disk-[0-9]+\.subvol'
fi
for id in 110 111; do ok "destroy $id" on1 pct destroy "$id"; done
nothing_left 'nothing is left of sub-volumes'
is 'nothing is left on the stock storage' "$(listed plain --content rootdir)" ''
finish
