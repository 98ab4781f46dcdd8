#!/bin/sh
# SPDX-License-Identifier: AGPL-3.0-or-later
# Formats Rust, TypeScript and Perl in place.
set -eu
cd "$(dirname "$0")/.."

cargo fmt --all
node_modules/.bin/biome check --write --colors=off .
tools/perltidy.sh write
