#!/bin/sh
# SPDX-License-Identifier: AGPL-3.0-or-later
# Formats Rust, TypeScript and Perl in place.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/files.sh
. tools/files.sh

cargo fmt --all
npx biome check --write .
perl_files | while read -r file; do
    perltidy --profile=perl/.perltidyrc -b -bext=/ "$file"
done
