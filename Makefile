# SPDX-License-Identifier: AGPL-3.0-or-later
#
# make demo     show what it does, on files and loop devices of this machine
# make test     build and test everything (TIER=1: only the fast suites; ONLY="ava perl": only these)
# make lab      only the tests with real sessions and devices, in a virtual machine (LAB_ENGINE=qemu or uml)
# make deb      Debian packages, in build/deb; make deb-reproducible builds them twice and compares
# make install  DESTDIR= PREFIX=/usr
#
# As root on Debian 12 or 13, packages that are missing are installed; as anybody else they are named.

.SUFFIXES:
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: all setup setup-build setup-run setup-lint setup-deb build test lab demo bench deb deb-reproducible lint docs format clean distclean install uninstall

# A private Node (Debian 12) and a compiler from rustup come before the system's.
export PATH := $(CURDIR)/.tools/bin:$(HOME)/.cargo/bin:$(PATH)

DESTDIR ?=
PREFIX ?= /usr
LIB = $(DESTDIR)$(PREFIX)/lib/pve-blockio
BIN = $(DESTDIR)$(PREFIX)/bin
PERL = $(DESTDIR)$(PREFIX)/share/perl5/PVE/Storage/Custom
UNITS = $(DESTDIR)$(PREFIX)/lib/systemd/system
DOC = $(DESTDIR)$(PREFIX)/share/doc/pve-blockio
SHARE = $(DESTDIR)$(PREFIX)/share/pve-blockio
# A Node to install beside the program, where the system's is too old.
WITH_NODE ?= $(wildcard .tools/bin/node)
MAN = $(DESTDIR)$(PREFIX)/share/man/man1
COMPLETION = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
PERL_MODULES = $(patsubst perl/lib/PVE/Storage/Custom/%,%,$(shell find perl/lib/PVE/Storage/Custom -name '*.pm'))

RUST_FILES = $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
TS_FILES = $(shell find ts -name '*.ts') ts/tsconfig.json package.json package-lock.json
BUNDLE_TOOLS = tools/bundle.mjs tools/licences.mjs

all: build

setup:
	@tools/setup.sh build run lint deb

setup-build:
	@tools/setup.sh build

setup-run:
	@tools/setup.sh run

setup-lint:
	@tools/setup.sh lint

setup-deb:
	@tools/setup.sh deb

build: dist/manifest.json

dist/blockio.node: $(RUST_FILES) | setup-build
	@echo "build: Rust addon"
	@npm run --silent build:addon
	@test -f $@ || { echo "build: the addon's build did not write $@" >&2; exit 1; }
	@touch $@

# After the addon, whose build writes the types that TypeScript imports.
build/.tsc: $(TS_FILES) dist/blockio.node | setup-build
	@echo "build: TypeScript"
	@npm run --silent build:ts
	@tools/prune-build.sh
	@touch $@

# The manifest is written last, by running the bundle.
dist/manifest.json: build/.tsc $(BUNDLE_TOOLS)
	@echo "build: bundle and manifest"
	@npm run --silent bundle

# The disks behind the lab's iSCSI target.
build/lab-disk: $(RUST_FILES) | setup-build
	@echo "build: the lab's disk"
	@cargo build --quiet --release --locked --package lab-disk
	@mkdir -p build && cp target/release/lab-disk $@

test: setup build build/lab-disk
	@node tools/run-tests/main.mjs

lab: setup-build build build/lab-disk
	@ONLY="lab-selftest lab lab-connect" node tools/run-tests/main.mjs

demo: setup-build setup-run build
	@tools/demo.sh

bench: setup-build setup-run build
	@benches/run

deb: setup-build setup-deb
	@tools/deb.sh

deb-reproducible: setup-build setup-deb
	@tools/deb-reproducible.sh

lint: setup build
	@tools/lint.sh all

# The configuration reference is made of the code; a test compares them.
docs: dist/manifest.json
	@node dist/pve-blockio.cjs generate reference >docs/configuration.md

format: setup-build setup-lint
	@tools/format.sh

install:
	@test -f dist/manifest.json || { echo "install: not built, run 'make build' first" >&2; exit 1; }
	install -d $(LIB) $(BIN) $(UNITS) $(DOC) $(MAN) $(COMPLETION) $(SHARE)/lvm $(SHARE)/multipath
	install -d $(addprefix $(PERL)/,$(sort $(dir $(PERL_MODULES))))
	install -m 644 dist/*.cjs dist/blockio.node dist/manifest.json $(LIB)
	if [ -n "$(WITH_NODE)" ]; then install -m 755 $(WITH_NODE) $(LIB)/node; fi
	install -m 755 bin/pve-blockio $(BIN)/pve-blockio
	for module in $(PERL_MODULES); do install -m 644 perl/lib/PVE/Storage/Custom/$$module $(PERL)/$$module || exit 1; done
	install -m 644 systemd/pve-blockio.socket systemd/pve-blockio.service $(UNITS)
	install -m 644 config/lvm/*.conf $(SHARE)/lvm
	install -m 644 config/multipath/*.conf $(SHARE)/multipath
	install -m 644 dist/pve-blockio.1 $(MAN)/pve-blockio.1
	install -m 644 dist/pve-blockio.bash $(COMPLETION)/pve-blockio
	install -m 644 LICENSE docs/*.md docs/*.svg dist/third-party-licences.txt $(DOC)
	sed 's,](docs/,](,g' README.md >$(DOC)/README.md
	chmod 644 $(DOC)/README.md

uninstall:
	rm -rf $(LIB) $(DOC) $(SHARE)
	rm -f $(BIN)/pve-blockio $(MAN)/pve-blockio.1 $(COMPLETION)/pve-blockio $(UNITS)/pve-blockio.socket $(UNITS)/pve-blockio.service $(addprefix $(PERL)/,$(PERL_MODULES))
	rmdir --ignore-fail-on-non-empty $(PERL)/Blockio

clean:
	rm -rf build dist target

distclean: clean
	rm -rf node_modules .tools
