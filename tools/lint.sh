#!/bin/sh
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# Runs the linters over the whole checkout; the last line is `N passed, N failed`.
#
# usage: tools/lint.sh quick|all
#   quick  what takes seconds; part of `make test`
#   all    also clippy
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/files.sh
. tools/files.sh

SHOWN_LINES=60 # of what a failed check printed

passed=0
failed=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT

check() { # NAME COMMAND...
    name=$1
    shift
    if "$@" >"$output" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name"
        head -n "$SHOWN_LINES" "$output" | awk '{ print "        " $0 }'
    fi
}

check_if() { # PROGRAM NAME COMMAND...      left out where the program is missing
    if "$1" --version >/dev/null 2>&1; then
        shift
        check "$@"
    else
        echo "skip: $2, $1 is not installed"
    fi
}

# Runs COMMAND FILE for each file named on stdin; fails when one fails, and when there was no file.
each() { # COMMAND...
    status=0
    files=0
    while read -r file; do
        files=$((files + 1))
        "$@" "$file" || status=1
    done
    [ "$files" -gt 0 ] || { echo "found no file to check"; return 1; }
    return $status
}

has_spdx_line() {
    head -n 5 "$1" | grep -q 'SPDX-License-Identifier: AGPL-3.0-or-later' || { echo "$1: no SPDX line"; return 1; }
}

spdx_headers() { source_files | each has_spdx_line; }

# Names of this machine do not belong into files: where the checkout lies, and what its owner lists, one regular
# expression per line, in .git/info/forbidden-text.
no_local_names() {
    patterns=$(mktemp)
    { printf '%s/\n' "$PWD"; cat .git/info/forbidden-text 2>/dev/null || :; } >"$patterns"
    if our_files -size -2000k | tr '\n' '\0' | xargs -0 grep -nIE -f "$patterns"; then found=1; else found=0; fi
    rm -f "$patterns"
    return $found
}

tidy() {
    perltidy --profile=perl/.perltidyrc -st -se "$1" | cmp -s "$1" - || { echo "$1: run 'make format'"; return 1; }
}

perl_tidy() { perl_files | each tidy; }
perl_critic() { perl_files | tr '\n' '\0' | xargs -0 perlcritic --quiet --profile perl/.perlcriticrc; }
shell_check() { shell_files | tr '\n' '\0' | xargs -0 shellcheck -x; }
types() { npx --no-install tsc -p ts/tsconfig.json --noEmit; }
biome() { npx --no-install biome ci --colors=off .; }
clippy() { cargo clippy --quiet --workspace --all-targets --all-features --locked -- -D warnings; }

quick() {
    check "SPDX headers" spdx_headers
    check "no names of this machine" no_local_names
    check_if rustfmt "rustfmt" cargo fmt --all --check -- --color=never
    check "biome" biome
    check_if perltidy "perltidy" perl_tidy
    check_if perlcritic "perlcritic" perl_critic
    check_if shellcheck "shellcheck" shell_check
}

case ${1:-all} in
    quick) quick ;;
    all)
        quick
        check "tsc" types
        check_if cargo-clippy "clippy" clippy
        ;;
    *) echo "lint: unknown mode '$1', known: quick all" >&2; exit 2 ;;
esac
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
