#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: a target can ask for CHAP; without the password nobody gets in.
. "$(dirname "$0")/../lib/test.sh"

record() { iscsiadm -m node -T "$(iqn_of t)" -o update -n "node.session.auth.$1" -v "$2"; }

must 'a target' target t 1
must 'which asks for CHAP' lab-san chap "$(iqn_of t)" user secret-secret
must 'discovery' discover t b
fails 'no login without a password' 'authorization failure' login t a
ok 'the method' record authmethod CHAP
ok 'the user' record username user
ok 'a wrong password' record password wrong-secret
fails 'no login with it' 'authorization failure' login t a
ok 'the right password' record password secret-secret
ok 'login' login t
ok 'a map with two paths' until_true 20 map_complete t-0

ok 'the map can be removed' flush t-0
ok 'logout' logout t
ok 'forget the target' forget t
nothing_left 'nothing is left'
finish
