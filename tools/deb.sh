#!/bin/sh
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# Builds the Debian packages, in a copy of the checkout that keeps what is compiled for the next time.
#
# usage: tools/deb.sh [DIRECTORY] [OPTION OF dpkg-buildpackage...]
#   DIRECTORY  gets the packages, default build/deb; the copy is pve-blockio/ in it
#
# On Debian 12, whose Node is too old, the package pve-blockio-node is built as well.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=files.sh
. tools/files.sh

directory=${1:-build/deb}
[ $# -eq 0 ] || shift
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
copy=$directory/pve-blockio
mkdir -p "$copy"

# All but what takes long to get again; files keep their times, so that nothing is compiled twice.
find "$copy" -mindepth 1 -maxdepth 1 ! -name target ! -name node_modules ! -name .tools -exec rm -rf {} +
our_files -true | tar -cf - -T - | tar -xf - -C "$copy"
rm -f "$directory"/*.deb "$directory"/*.buildinfo "$directory"/*.changes
[ -e "$copy/node_modules" ] || ln -s "$PWD/node_modules" "$copy/node_modules"

version=$(cd "$copy" && dpkg-parsechangelog -S Version)
product=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)
[ "$version" = "$product" ] ||
    { echo "deb: debian/changelog says $version, package.json $product; make them one" >&2; exit 1; }

profiles=${DEB_BUILD_PROFILES:-}
# shellcheck source=/dev/null
if [ "$(. /etc/os-release && echo "${VERSION_ID:-}")" = 12 ]; then profiles="$profiles pkg.pve-blockio.node"; fi

log=$directory/build.log
if ! (cd "$copy" && DEB_BUILD_PROFILES="$profiles" dpkg-buildpackage --build=binary -us -uc "$@") >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "deb: dpkg-buildpackage failed, see $log" >&2
    exit 1
fi
ls "$directory"/*.deb
