#!/bin/sh
# SPDX-License-Identifier: AGPL-3.0-or-later
# Which files of the checkout are ours, by kind; to be sourced in the checkout's top directory. No git needed, so that
# it also works in an unpacked archive.

our_files() { # FIND-EXPRESSION...
    find . \( -name node_modules -o -path ./target -o -path ./dist -o -path ./build -o -path ./.tools -o -path ./.git \) \
        -prune -o -type f \( "$@" \) -print | sed 's,^\./,,' | LC_ALL=C sort
}

scripts() { # INTERPRETER: files that start with a line naming it
    our_files -perm -u+x | while read -r file; do
        if head -n 1 "$file" | grep -qE "^#!.*[/ ]$1( |\$)"; then echo "$file"; fi
    done
}

perl_files() { { our_files -name '*.pm' -o -name '*.pl' -o -path '*/t/*.t'; scripts perl; } | sort -u; }
shell_files() { { our_files -name '*.sh'; scripts '(ba|da)?sh'; } | sort -u; }

source_files() {
    {
        our_files -name '*.rs' -o -name '*.ts' -o -name '*.mjs' -o -name '*.service' -o -name '*.socket' -o -name Makefile
        perl_files
        shell_files
        scripts '(node|python3)'
    } | sort -u
}
