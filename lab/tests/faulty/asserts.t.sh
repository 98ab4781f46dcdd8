#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# For lab/selftest: one assertion holds, one does not.
. "$(dirname "$0")/../../lib/test.sh"
is 'one is one' 1 1
is 'one is two' 1 2
finish
