#!/bin/sh
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# Formats all Perl files, or names those that are not formatted. Exit status 77: no perltidy here that formats as the
# one of Debian 13 does, for which perl/.perltidyrc is written.
#
# usage: tools/perltidy.sh check|write
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=files.sh
. tools/files.sh

MINIMUM=20250105

tidy() { perltidy --profile=perl/.perltidyrc "$@"; }

check() {
    perl_files | {
        status=0
        while read -r file; do
            tidy -st -se "$file" | cmp -s "$file" - || { echo "$file: run 'make format'"; status=1; }
        done
        return $status
    }
}

write() {
    perl_files | while read -r file; do tidy -b -bext=/ "$file"; done
}

version=$(perltidy --version 2>/dev/null | sed -n 's/.*v\([0-9]*\).*/\1/p;q')
if [ "${version:-0}" -lt "$MINIMUM" ]; then
    echo "perltidy $MINIMUM or newer is not installed"
    exit 77
fi
case ${1:-} in
    check) check ;;
    write) write ;;
    *) echo "usage: tools/perltidy.sh check|write" >&2; exit 2 ;;
esac
