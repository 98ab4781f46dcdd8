#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: two nodes with a JovianDSS between them: a disk moves in use, and its target stays as long as either node needs
# it; 16 guests on both nodes at once; an array that answers nobody costs a status of 5 s and heals.
# machines: 2
# timeout: 1200
#
# shellcheck disable=SC2016 # Perl's variables
. "$(dirname "$0")/../lib/test.sh"

must 'an array' jovian_start
SCFG=$(jovian_section)
export SCFG
must 'another node' peer_start
prepare() { service_start && call 'on_add_hook($storeid, $scfg, user_password => $ARGV[0])' 'quite a secret' &&
    call 'activate_storage($storeid, $scfg, {})'; }
ok 'the storage here' prepare
ok 'and there' on_peer eval "$(declare -f prepare); prepare"
disk=vm-100-disk-0

# --- live migration
is 'a volume' "$(alloc 100 64)" $disk
ok 'active here' activate $disk
must 'a guest' load_start "$(path_of $disk)"
ok 'active there also' on_peer activate $disk
ok 'two paths there' on_peer until_true 30 has_paths $disk 2
ok 'the guest stops here' load_stop
ok 'not active here' deactivate $disk
sum=$(sum_of "$LOAD/data" 4M)
is 'its data is there' "$(on_peer sum_of "$(path_of $disk)" 4M)" "$sum"
ok 'and it runs there' on_peer load_start "$(path_of $disk)"
nothing_left 'nothing of it is left here'
ok 'no I/O failed there' on_peer load_stop

# --- both nodes use one target
is 'a second disk' "$(alloc 100 64)" vm-100-disk-1
ok 'active here' activate vm-100-disk-1
ok 'the first one not active there' on_peer deactivate $disk
ok 'the second one goes on' dd if="$(path_of vm-100-disk-1)" of=/dev/null bs=1M count=8 iflag=direct status=none
ok 'active there also' on_peer activate vm-100-disk-1
ok 'not active here' deactivate vm-100-disk-1
ok 'it goes on there' on_peer dd if="$(path_of vm-100-disk-1)" of=/dev/null bs=1M count=8 iflag=direct status=none
fails 'in use there, it is not deleted here' '(busy)' free vm-100-disk-1
ok 'not active there' on_peer deactivate vm-100-disk-1
nothing_left 'nothing is left here'
ok 'nor there' on_peer until_true 15 nothing_is_left

# --- 16 guests
guests() { # FIRST: eight of them at once
    local vmid pids=() pid failed=0
    for ((vmid = $1; vmid < $1 + 8; vmid++)); do
        life "$vmid" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
    return $failed
}
life() { # VMID
    local volume
    volume=$(alloc "$1" 16) && activate "$volume" && until_true 60 has_paths "$volume" 2 && snapshot "$volume" one &&
        dd if=/dev/zero of="$(path_of "$volume")" bs=1M count=4 oflag=direct status=none && snapshot "$volume" two &&
        deactivate "$volume"
}
on_peer eval "$(declare -f guests life); guests 300" >/tmp/said 2>&1 &
there=$!
ok 'eight guests here' guests 200
wait $there
is 'eight guests there' "$? $(grep -v '^vm-' /tmp/said)" '0 '
rm /tmp/said
is 'all 16 are listed' "$(plugin 'scalar grep { $_->{vmid} >= 200 } @{ $class->list_images($storeid, $scfg) }')" 16
nothing_left 'nothing is left here'
ok 'nor there' on_peer until_true 15 nothing_is_left

# --- an array that answers nobody
for f in a b; do ok "no answer on fabric $f" fabric_mute $f; done
seconds=$SECONDS
fails 'the state is an error' '' call 'status($storeid, $scfg, {}) // die "no status\n"'
true_that 'within 5 s' $((SECONDS - seconds)) -le "$(scaled 6)"
for f in a b; do ok "fabric $f heals" fabric_heal $f; done
ok 'and the storage with it' until_true 30 call 'status($storeid, $scfg, {}) // die "no status\n"'

# --- the end
gone() { # VMID FIRST: what exists of eight guests
    local vmid
    for ((vmid = $1; vmid < $1 + 8; vmid++)); do
        call 'volume_snapshot_delete($scfg, $storeid, $ARGV[0], $_) for qw(two one)' "vm-$vmid-disk-0" && free "vm-$vmid-disk-0" || return
    done
}
ok 'the guests go' gone 200
ok 'the others too, from here' gone 300
for volume in $disk vm-100-disk-1; do ok "$volume is freed" free "$volume"; done
ok 'the storage is deleted' call 'on_delete_hook($storeid, $scfg)'
jovian_empty
ok 'the service there ends' on_peer service_stop
service_stop
jovian_stop
nothing_left 'nothing is left'
finish
