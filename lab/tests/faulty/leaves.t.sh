#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# For lab/selftest: a session with a disk and a map, and a process are left.
. "$(dirname "$0")/../../lib/test.sh"
target t 1 && discover t && login t && until_true 20 map_complete t-0 || fail 'a session'
pass 'all is well'
sleep 1000 >/dev/null 2>&1 &
finish
