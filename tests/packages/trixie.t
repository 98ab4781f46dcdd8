#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: on Debian 13: installed, upgraded under streams, crashed, hung, removed, purged; nothing is left.
. "$(dirname "$0")/lib/env.sh"
release=trixie
. "$here/lib/node.sh"
