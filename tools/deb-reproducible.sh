#!/bin/sh
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# Builds the packages twice from nothing, in directories of different length, and compares them byte by byte. Takes as
# long as two release builds; nothing compiled is shared.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d "${TMPDIR:-/tmp}/pve-blockio-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

TZ=UTC LC_ALL=C tools/deb.sh "$work/one" >/dev/null
sleep 2
# Another time zone, language and file mask as well.
(umask 027; TZ=Asia/Tokyo LC_ALL=C.UTF-8 tools/deb.sh "$work/a/longer/way/to/two" >/dev/null)

differ=0
for deb in "$work"/one/*.deb; do
    other=$work/a/longer/way/to/two/${deb##*/}
    if cmp -s "$deb" "$other"; then
        sha256sum "$deb" | sed 's,/.*/,,'
    else
        differ=1
        echo "differs: ${deb##*/}"
        if command -v diffoscope >/dev/null; then diffoscope "$deb" "$other" || :; fi
    fi
done
[ "$differ" = 0 ] || exit 1
