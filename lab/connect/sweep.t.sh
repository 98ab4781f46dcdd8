#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: sweep takes a map and its session away that a crash has left, and nothing that is in use, active or of somebody else;
# doctor finds a real node well, and log shows what the service told the journal.
# timeout: 600
#
# shellcheck disable=SC2016 # Perl's variables
. "$(dirname "$0")/../lib/test.sh"

CONFIG=/run/lab/storage.cfg
must 'a target of somebody else' target t 1
must 'which is logged in' eval 'discover t && login t'
must 'with a map' until_true 20 map_complete t-0
must 'an array' jovian_start
SCFG=$(jovian_section)
export SCFG
# The same as PVE has it in its configuration.
jq -r --arg id "$STOREID" '"\(.type): \($id)", (to_entries[] | select(.key != "type") |
    "\t\(.key) \(.value | if type == "object" then keys | join(",") else . end)")' <<<"$SCFG" >"$CONFIG"
export SERVICE_OUTPUT=journal
must 'the service' service_start
ok 'the storage is added' call 'on_add_hook($storeid, $scfg, user_password => $ARGV[0])' 'quite a secret'
ok 'and activated' call 'activate_storage($storeid, $scfg, {})'

cli() { "$PVE_BLOCKIO_CLI" "$@"; }
unwell() { # what doctor finds wrong that a node without PVE can have right
    cli doctor "$STOREID" --config "$CONFIG" --json | jq -r '.findings[] | select(.level != "ok") |
        select(.check | IN("plugin", "versions", "lvm") | not) | "\(.check): \(.text)"'
}
sweep() { "$PVE_BLOCKIO_CLI" sweep --config "$CONFIG" "$@"; } # [--yes]
left() { sweep --json | jq -r '.[] | "\(.kind) \(.keep // "-")"' | sort | paste -sd,; }
# The guests' targets of the storage that this node is logged in to.
own_sessions() { cat /sys/class/iscsi_session/*/targetname | grep -c ':vm-[0-9]*-0$'; }
has_map() { [ -e "/dev/mapper/$1" ]; } # WWID
no_map() { ! has_map "$1"; }           # WWID

for guest in 100 101 102; do is "a volume of guest $guest" "$(alloc $guest 64)" "vm-$guest-disk-0"; done
for guest in 100 101 102; do ok "it is active" activate "vm-$guest-disk-0"; done
map100=$(basename "$(readlink "$(path_of vm-100-disk-0)")")
map101=$(basename "$(readlink "$(path_of vm-101-disk-0)")")
is 'nothing is left over' "$(sweep)" 'nothing is left over'
is 'sessions at both portals, for each guest' "$(own_sessions)" 6

is 'doctor finds nothing wrong but what this lab has so on purpose' "$(unwell)" \
    "multipathd: find_multipaths is 'no': every disk of the node becomes a map, its own too"
fabric_cut b
like 'and sees a portal that is down' "$(unwell)" '(^|\n)portals: no connection to portal'
fabric_heal b
logged_in() { ! grep -vx LOGGED_IN /sys/class/iscsi_session/*/state; }
ok 'all sessions are back' until_true 60 logged_in
for guest in 100 101 102; do ok "both paths of guest $guest are back" until_true 60 has_paths "vm-$guest-disk-0" 2; done
ok 'and those of somebody else' until_true 60 map_complete t-0
fails 'a call that fails' 'absent|does not exist' plugin '$class->volume_size_info($scfg, $storeid, $ARGV[0], 5)' vm-100-disk-7
logged() { cli log "$STOREID" | grep -E 'INFO +volume_size_info failed .*vm-100-disk-7.*\(absent\)'; }
ok 'is in the log' until_true 20 logged
is 'with its priority in the journal' "$(journalctl --unit=pve-blockio --output=json | jq -r 'select(.MESSAGE | test("\"failed\"")) | .PRIORITY' | sort -u)" 6

# As a crash before the link was set leaves it. Guest 101's disk is open, guest 102's is active.
# shellcheck disable=SC2217 # it is to have it open only
sleep 600 <"/dev/mapper/$map101" &
holder=$!
rm "$(path_of vm-100-disk-0)" "$(path_of vm-101-disk-0)"
lists() { left | grep -E "$1"; } # udev can have a look at a disk, too
ok 'both are listed, one as in use' until_true 20 lists '^disk -,disk it is in use \(.*sleep.*\)$'
ok 'the list changes nothing' has_map "$map100"
like 'one is removed' "$(sweep --yes)" ' removed'
ok 'its map is gone' no_map "$map100"
is 'and its sessions' "$(own_sessions)" 4
ok 'what is in use stays' has_map "$map101"
ok 'what is active stays' until_true 20 has_paths vm-102-disk-0 2
ok 'and what is of somebody else' until_true 20 map_complete t-0
is 'with its sessions' "$(sessions t)" 2
ok 'the rest is in use' until_true 20 lists '^disk it is in use \('
kill "$holder"
wait "$holder" 2>/dev/null
ok 'it is unused now' until_true 10 eval '[ "$(left)" = "disk -" ]'
like 'and removed' "$(sweep --yes)" ' removed'
ok 'its map is gone' no_map "$map101"
is 'nothing is left over' "$(sweep)" 'nothing is left over'
ok 'what was removed is active again at once' activate vm-100-disk-0
ok 'with both paths' until_true 30 has_paths vm-100-disk-0 2
ok 'inactive' deactivate vm-100-disk-0

ok 'the foreign one is still there' map_complete t-0
for guest in 100 101 102; do
    deactivate "vm-$guest-disk-0" || :
    ok "the volume of guest $guest is freed" free "vm-$guest-disk-0"
done
is 'nothing is left over' "$(sweep)" 'nothing is left over'
ok 'the storage is deleted' call 'on_delete_hook($storeid, $scfg)'
ok 'the service ends' service_stop
jovian_stop
ok 'the foreign map goes by its own' flush t-0
ok 'and its sessions' eval 'remove_disks t-0 && logout t && forget t'
rm "$CONFIG"
nothing_left 'nothing is left'
finish
