#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: what is in the packages, and that lintian has nothing to say.
. "$(dirname "$0")/lib/env.sh"

contents() { # PACKAGE: owner, mode and path of each file
    dpkg-deb -c "$(deb "$1")" | awk '{ print $2, $1, $6 }'
}

for package in pve-blockio pve-blockio-joviandss pve-blockio-storpool pve-blockio-linstor; do
    ok "$package is built" test -f "$(deb "$package")"
    is "$package has the version of package.json" "$(dpkg-deb -f "$(deb "$package")" Version)" \
        "$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$project/package.json")"
    is "$package: all files are root's, nobody else may write" \
        "$(contents "$package" | grep -v '^root/root [-d]rw[-x]r-[-x]r-[-x] ')" ''
done
is 'nothing of npm is installed' "$(contents pve-blockio | grep -E 'node_modules|package\.json')" ''
is 'one class for each type, in the package of the type' \
    "$(for package in "$PACKAGES"/pve-blockio*.deb; do dpkg-deb -c "$package"; done |
        grep -oE 'Custom/[A-Za-z]+Plugin\.pm' | sort)" \
    "$(cd "$project/perl/lib/PVE/Storage" && printf '%s\n' Custom/*Plugin.pm | sort)"
mkdir "$T/unpacked"
ok 'it unpacks' dpkg-deb -x "$(deb pve-blockio)" "$T/unpacked"
is 'the addon is stripped' \
    "$(readelf -S --wide "$T/unpacked/usr/lib/pve-blockio/blockio.node" | grep -cE '\.(symtab|debug_)')" 0
is 'no directory of the machine that built it is in any file' \
    "$(grep -rlaE "$project|$HOME/|$T" "$T/unpacked")" ''

if command -v lintian >/dev/null; then
    ok 'lintian runs' bash -c 'lintian --allow-root --pedantic --display-info "$@" >"$0" 2>&1 || :' "$T/lintian" "$PACKAGES"/*.changes
    is 'lintian, pedantic, has nothing to say' "$(cat "$T/lintian")" ''
    ok 'and no override is for nothing' bash -c '! grep -q unused-override "$0"' "$T/lintian"
else
    skip 'lintian, pedantic, has nothing to say' 'lintian is not installed'
fi
finish
