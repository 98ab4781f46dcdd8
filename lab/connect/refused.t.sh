#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: CHAP right and wrong; a target that is not there; a portal that accepts and never answers. Each within its time,
# and nothing is left of any.
#
# shellcheck disable=SC2034 # CHAP and PORTALS are for attach
# timeout: 400
. "$(dirname "$0")/../lib/test.sh"

must 'a target' target t 1
must 'the connectors' connectors_start
must 'that asks for a password' lab-san chap "$(iqn_of t)" node 'quite a secret'
CHAP='{"user":"node","password":"wrong password"}'
fails 'the wrong one' '^auth: .*CHAP' attach t-0
CHAP=''
fails 'none' '^(auth|unreachable): ' attach t-0
CHAP='{"user":"node","password":"quite a secret"}'
ok 'the right one' attach t-0
ok 'two paths' until_true 20 map_complete t-0
is 'nobody else reads it' "$(find /var/lib/iscsi/nodes /etc/iscsi/nodes -type f -perm /077 2>/dev/null)" ''
ok 'disconnected' detach t-0
CHAP=''
unlike 'the password is in no log' "$(cat "$CONNECTORS_LOG")" 'quite a secret|wrong password'

fails 'a target that is not there' '^(unreachable|auth): ' attach none-0
PORTALS=("$(silent_portal a)")
seconds=$SECONDS
fails 'a portal that never answers' '^unreachable: .*no ' attach t-0 "$(scaled 60)"
true_that 'within its time' $((SECONDS - seconds)) -lt "$(scaled 60)"
seconds=$SECONDS
fails 'or within the time that is left' '^(timeout|unreachable): ' attach t-0 3
true_that 'which is short' $((SECONDS - seconds)) -lt "$(scaled 10)"
PORTALS=()
ok 'what it left is cleared away' until_true "$(scaled 30)" nothing_is_left
connectors_stop
nothing_left 'nothing is left'
finish
