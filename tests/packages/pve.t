#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: Proxmox VE's own code loads the types from the installed packages without a warning and works with them.
#
# PVE_REF, PVE_ENV and PVE_ROOT as in tests/pve/README.md.
. "$(dirname "$0")/lib/env.sh"

[ -n "${PVE_REF:-}" ] && [ -n "${PVE_ENV:-}" ] || skip_all 'PVE_REF or PVE_ENV not set (checkouts of the upstream code)'
export PVE_STATE=$T/state PVE_BIND=$T/store
unset PVE_PLUGIN
mkdir "$T/store"
if [ "${PVE_ROOT:-/}" = / ]; then skip_all 'PVE_ROOT not set (a root directory to install into)'; fi
tree_over "$PVE_ROOT"
export PVE_ROOT=$ROOT

on() { timeout -k 5 "${LIMIT:-120}" "$PVE_ENV" "$@"; }
quiet() { # NAME COMMAND...: succeeds and writes nothing to standard error
    local name=$1 errors
    shift
    errors=$("$@" 2>&1 >"$T/out") && [ -z "$errors" ] && pass "$name" || fail "$name" "$errors"
}
end_of_nodes() {
    "$PVE_ENV" wipe >>"$LOG" 2>&1
    at_exit
}
trap end_of_nodes EXIT

# --- install, where no systemd runs
stand_ins_of_pve >"$T/stand-ins" || fail 'stand-ins are built'
mapfile -t files <"$T/stand-ins"
if compgen -G "$PACKAGES/pve-blockio-node_*.deb" >/dev/null; then
    files+=("$(deb pve-blockio-node)")
fi
for package in pve-blockio pve-blockio-joviandss pve-blockio-storpool pve-blockio-linstor; do files+=("$(deb $package)"); done
mkdir "$ROOT/debs"
cp "${files[@]}" "$ROOT/debs/"
# The root directory has what Proxmox VE's code needs, not what a node has: names of packages are not the question here.
must 'the packages are installed' chroot "$ROOT" sh -c 'dpkg --force-depends -i /debs/*.deb'
[ -x "$ROOT/usr/lib/pve-blockio/node" ] || chroot "$ROOT" sh -c 'command -v node' >>"$LOG" ||
    cp "$(readlink -f "$(command -v node)")" "$ROOT/usr/lib/pve-blockio/node"

# --- loaded
must 'a node comes up' "$PVE_ENV" up pve1
quiet 'the storage code loads without a warning' on perl -MPVE::Storage -e 1
quiet 'in taint mode as well' on perl -T -MPVE::Storage -e 1
is 'the types are those whose packages are installed' \
    "$(on perl -MPVE::Storage -e 'print "$_\n" for sort grep { PVE::Storage::Plugin->lookup($_)->isa("PVE::Storage::Custom::Blockio::Base") } PVE::Storage::Plugin->lookup_types()->@*')" \
    "$(for file in "$PACKAGES"/pve-blockio*.deb; do dpkg-deb -c "$file"; done | grep -oE 'Custom/[A-Za-z]+Plugin\.pm' |
        sed 's,.*/,,; s,Plugin.pm,,; s,Linstor,drbd,' | tr '[:upper:]' '[:lower:]' | sort)"
is 'from the installed place' "$(on perl -MPVE::Storage -e 'print $INC{"PVE/Storage/Custom/BlockioPlugin.pm"}')" \
    /usr/share/perl5/PVE/Storage/Custom/BlockioPlugin.pm

# --- used
must 'the service runs' on sh -c 'mkdir -p /run/pve-blockio
    setsid /usr/bin/pve-blockio serve --socket /run/pve-blockio/bridge.sock </dev/null >/var/log/pve-blockio.log 2>&1 &
    for i in $(seq 100); do test -S /run/pve-blockio/bridge.sock && exit 0; sleep 0.1; done; exit 1'
quiet 'a storage is added' on pvesm add blockio fast --path "$T/store" --content images,rootdir
quiet 'it is active' on pvesm status --storage fast
ok 'and says so' grep -qE '^fast +blockio +active' "$T/out"
quiet 'a volume is made' on pvesm alloc fast 100 '' 64M
quiet 'listed' on pvesm list fast
ok 'by its name' grep -q '^fast:100/vm-100-disk-0.raw' "$T/out"
ok 'exported' on sh -c 'pvesm export fast:100/vm-100-disk-0.raw raw+size /root/stream'
ok 'imported' on pvesm import fast:101/vm-101-disk-0.raw raw+size /root/stream
quiet 'freed' on pvesm free fast:100/vm-100-disk-0.raw
quiet 'and the storage removed' on pvesm remove fast
finish
