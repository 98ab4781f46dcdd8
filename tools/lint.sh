#!/bin/sh
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# Runs the linters over the whole checkout; the last line is `N passed, N failed`.
#
# usage: tools/lint.sh quick|all
#   quick  what takes seconds; part of `make test`
#   all    also tsc and clippy
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=files.sh
. tools/files.sh

SHOWN_LINES=60 # of what a failed check printed
LEFT_OUT=77    # exit status of a check that cannot be made here; what it printed says why

passed=0
failed=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT

check() { # NAME COMMAND...
    name=$1
    shift
    status=0
    "$@" >"$output" 2>&1 || status=$?
    case $status in
        0)
            passed=$((passed + 1))
            echo "ok      $name"
            ;;
        "$LEFT_OUT") echo "skip: $name, $(cat "$output")" ;;
        *)
            failed=$((failed + 1))
            echo "FAILED  $name"
            head -n "$SHOWN_LINES" "$output" | awk '{ print "        " $0 }'
            ;;
    esac
}

with() { # PROGRAM COMMAND...
    "$1" --version >/dev/null 2>&1 || { echo "$1 is not installed"; return "$LEFT_OUT"; }
    shift
    "$@"
}

spdx_headers() {
    without=$(source_files | while read -r file; do
        head -n 5 "$file" | grep -q 'SPDX-License-Identifier: AGPL-3.0-or-later' || echo "$file: no SPDX line"
    done)
    [ -z "$without" ] || { echo "$without"; return 1; }
}

# Names of this machine do not belong into files: where the checkout lies, and what its owner lists, one regular
# expression per line, in .git/info/forbidden-text.
no_local_names() {
    patterns=$(mktemp)
    { printf '%s/\n' "$PWD"; cat .git/info/forbidden-text 2>/dev/null || :; } >"$patterns"
    if our_files -size -2000k | tr '\n' '\0' | xargs -0 grep -nIE -f "$patterns"; then found=1; else found=0; fi
    rm -f "$patterns"
    return $found
}

# What PVE loads follows the profile to the letter; of tests and tools only the gravest is asked.
perl_critic() {
    status=0
    set -- --quiet --profile perl/.perlcriticrc
    perl_files | grep '^perl/lib/' | tr '\n' '\0' | xargs -0 perlcritic "$@" || status=1
    perl_files | grep -v '^perl/lib/' | tr '\n' '\0' | xargs -0 perlcritic "$@" --severity 5 || status=1
    return $status
}
# Notes (quoting style, code for another shell in quotes) are only asked of what people run, not of the tests.
shell_check() {
    status=0
    shell_files | grep -vE '^(lab/)?tests/' | tr '\n' '\0' | xargs -0 shellcheck || status=1
    shell_files | grep -E '^(lab/)?tests/' | tr '\n' '\0' | xargs -0 -r -n 4 -P "$(nproc)" shellcheck --severity=warning || status=1
    return $status
}

quick() {
    check "SPDX headers" spdx_headers
    check "no names of this machine" no_local_names
    check "rustfmt" with rustfmt cargo fmt --all --check -- --color=never
    check "biome" node_modules/.bin/biome ci --colors=off .
    check "perltidy" tools/perltidy.sh check
    check "perlcritic" with perlcritic perl_critic
    check "shellcheck" with shellcheck shell_check
}

slow() {
    check "tsc" node_modules/.bin/tsc -p ts/tsconfig.json --noEmit
    check "clippy" with cargo-clippy \
        cargo clippy --quiet --workspace --all-targets --all-features --locked -- -D warnings
}

case ${1:-all} in
    quick) quick ;;
    all) quick; slow ;;
    *) echo "usage: tools/lint.sh quick|all" >&2; exit 2 ;;
esac
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
