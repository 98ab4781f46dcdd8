#!/bin/sh
# SPDX-License-Identifier: AGPL-3.0-or-later
# tsc leaves the output of files that were deleted or renamed, and a stale test would still be run: remove it.
set -eu
cd "$(dirname "$0")/.."

find build -name '*.js' -not -path '*/node_modules/*' | while read -r output; do
    source=ts/${output#build/}
    [ -e "${source%.js}.ts" ] || rm -f "$output" "$output.map"
done
