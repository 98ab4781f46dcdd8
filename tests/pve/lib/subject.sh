# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# The storage type under test. SUBJECT is `blockio`; `drbd`, `joviandss` or `storpool` (on their simulators, see the files of
# these names); or a stock type that proves the tests themselves: `dir` (with qcow2) and `btrfs`. CAN_* say what the subject
# promises; a test that needs more is skipped with the reason.

SUBJECT=${SUBJECT:-blockio}
TYPE=$SUBJECT
SIM=  # set for types on a simulated array: sim_* are its functions
OURS= # set for the types of this project: they need the service
PLACE=(--path "$STORE/sub") # options that say where the storage is
CONTENT=images,rootdir,iso,vztmpl,backup,snippets,import # what the stock storage has
SUB_CONTENT=$CONTENT

# FMT: format of VM disks. CAN_CHAIN: linked clones depend on their base. CAN_NAMES: volumes have exactly the names that
# were asked for. CAN_FILES: there are files of other content types.
CAN_VM_SNAP=1 CAN_RAW_SNAP= CAN_LINKED=1 CAN_CHAIN= CAN_CT_LINKED= CAN_SUBVOL=1 CAN_SNAP_EXPORT= CAN_NAMES=1 CAN_FILES=1
CAN_ROLLBACK_ANY=1
CAN_SUBVOL_SNAP= # sub-volumes too, by this project's own way
FMT=raw
UNIT=1 # sizes are rounded up to a multiple of so many bytes
CT_SIZE=0 # of a container's second volume: a sub-volume where there are any
BARE=     # names of volumes have no suffix
rounded() { echo $((($1 + UNIT - 1) / UNIT * UNIT)); } # BYTES: as the subject keeps them
case $SUBJECT in
dir) FS=${SUBJECT_FS:-host} FMT=qcow2 CAN_CHAIN=1 ;;
btrfs) FS=${SUBJECT_FS:-btrfs} CAN_RAW_SNAP=1 CAN_CT_LINKED=1 ;;
blockio)
    OURS=1
    FS=${SUBJECT_FS:-xfs}
    case $FS in
    xfs | btrfs) CAN_RAW_SNAP=1 CAN_CT_LINKED=1 CAN_SNAP_EXPORT=1 CAN_SUBVOL_SNAP=1 ;;
    *) CAN_VM_SNAP='' CAN_LINKED='' ;;
    esac
    ;;
drbd)
    OURS=1 SIM=1
    FS=${SUBJECT_FS:-xfs} # below the simulator
    CAN_RAW_SNAP=1 CAN_CHAIN=1 CAN_CT_LINKED=1 CAN_SNAP_EXPORT=1 CAN_SUBVOL= CAN_NAMES= CAN_FILES=
    BARE=1 CT_SIZE=0.125 PLACE=()
    SUB_CONTENT=images,rootdir
    . "$here/lib/drbd.sh"
    ;;
joviandss)
    OURS=1 SIM=1
    FS=${SUBJECT_FS:-xfs} # below the simulator
    CAN_ROLLBACK_ANY= CAN_RAW_SNAP=1 CAN_CHAIN=1 CAN_CT_LINKED=1 CAN_SNAP_EXPORT=1 CAN_SUBVOL= CAN_NAMES= CAN_FILES=
    UNIT=16384 BARE=1 CT_SIZE=0.125 PLACE=()
    SUB_CONTENT=images,rootdir
    . "$here/lib/joviandss.sh"
    ;;
storpool)
    OURS=1 SIM=1
    FS=${SUBJECT_FS:-xfs} # below the simulator
    CAN_RAW_SNAP=1 CAN_CT_LINKED=1 CAN_SNAP_EXPORT=1 CAN_SUBVOL= CAN_NAMES= CAN_FILES=
    CT_SIZE=0.125 PLACE=(--template nvme)
    SUB_CONTENT=images,rootdir
    . "$here/lib/storpool.sh"
    ;;
*) skip_all "unknown SUBJECT '$SUBJECT'" ;;
esac
[ -z "$SIM" ] || . "$here/lib/sim.sh"

# what a defect of ours looks like on stderr
NOISE='Use of uninitialized|Insecure dependency|Deep recursion|([Bb]lockio|Joviandss|Linstor|Storpool)[A-Za-z/]*\.pm line|Custom/.*\.pm line'

make_store() { # the file system below $STORE/sub
    case $FS in
    host) return ;;
    xfs) truncate -s 4G "$T/image" && mkfs.xfs -q -m reflink=1 "$T/image" ;;
    btrfs) truncate -s 4G "$T/image" && mkfs.btrfs -q "$T/image" ;;
    ext4) truncate -s 4G "$T/image" && mkfs.ext4 -q "$T/image" ;;
    *) skip_all "unknown SUBJECT_FS '$FS'" ;;
    esac >>"$LOG" 2>&1 || { fail "mkfs for $FS" "$(tail -n 5 "$LOG")"; done_testing; exit 1; }
    mount -o loop "$T/image" "$STORE/sub" || { fail "mount of $FS"; done_testing; exit 1; }
}

add_subject() { # [OPTION...]: the storage `sub`
    on1 pvesm add "$TYPE" sub "${PLACE[@]}" --content "$SUB_CONTENT" "$@"
}

add_plain() { # [OPTION...]: a stock directory storage to copy from and to
    on1 pvesm add dir plain --path "$STORE/plain" --content "$CONTENT" "$@"
}

two_nodes() { # what most files want: both nodes up, both storages there
    make_store
    blockio_bind
    up pve1 pve2
    blockio_install pve1 pve2
    must "add storage of type $TYPE" add_subject --shared 1
    must 'add a stock directory storage' add_plain
}

one_node() {
    make_store
    blockio_bind
    up pve1
    blockio_install pve1
    must "add storage of type $TYPE" add_subject --shared 1
    must 'add a stock directory storage' add_plain
}

# --- only for our types: the files at their installed places, and the service on every node

blockio_bind() {
    [ -n "$OURS" ] || return 0
    NODE_BIN=${PVE_TEST_NODE:-$(readlink -f "$(command -v node)")}
    [ -x "$NODE_BIN" ] || skip_all 'no node binary; name one in PVE_TEST_NODE'
    local f
    for f in dist/pve-blockio.cjs dist/manifest.json perl/lib/PVE/Storage/Custom/BlockioPlugin.pm; do
        [ -e "$project/$f" ] || skip_all "$f is missing: build the project first"
    done
    PVE_BIND=$STORE:$NODE_BIN
    [ -z "$SIM" ] || sim_start
}

blockio_install() { # NODE...
    [ -n "$OURS" ] || return 0
    local n
    for n; do
        blockio_copy "$n" || { fail "install on $n" "$OUT"; finish; exit 1; }
        [ -z "$SIM" ] || run sim_join "$n" || { fail "$n reaches the simulated array" "$OUT"; finish; exit 1; }
        service_start "$n" || { fail "service starts on $n" "$(service_log "$n")"; finish; exit 1; }
    done
}

blockio_copy() { # NODE: as a package would install it, and the node binary where the launcher finds it
    [ -d "$T/package" ] || run make -s -C "$project" install DESTDIR="$T/package" || return
    run tar_to "$1" &&
        run on "$1" sh -c "command -v node >/dev/null || ln -sfn $NODE_BIN /usr/lib/pve-blockio/node"
}

tar_to() { tar -C "$T/package" -c . | on "$1" tar -x --no-same-owner --keep-directory-symlink -C /; }

service_start() { # NODE: waits for its socket, not for the one that a killed service left
    on "$1" sh -c 'mkdir -p /run/pve-blockio /var/log/pve-blockio
        rm -f /run/pve-blockio/bridge.sock
        iscsi=/usr/local/bin/pve-blockio-test-iscsi
        [ ! -x $iscsi ] || export PVE_BLOCKIO_ISCSI_PROGRAM=$iscsi
        setsid pve-blockio serve --socket /run/pve-blockio/bridge.sock </dev/null >>/var/log/pve-blockio/log 2>&1 &
        echo $! >/run/pve-blockio/test.pid
        i=0
        until [ -S /run/pve-blockio/bridge.sock ]; do
            i=$((i + 1)); [ $i -lt 100 ] && kill -0 "$(cat /run/pve-blockio/test.pid)" || exit 1
            sleep 0.1
        done' 2>>"$LOG"
}

service_pid() { on "$1" cat /run/pve-blockio/test.pid; }
service_log() { on "$1" tail -n 20 /var/log/pve-blockio/log; }

service_kill() { # NODE SIGNAL
    kill -"$2" "$(service_pid "$1")"
}

service_stop() { # NODE: gone, with its socket
    local pid i
    pid=$(service_pid "$1") || return
    kill -TERM "$pid" 2>/dev/null
    for ((i = 0; i < 100; i++)); do [ -d "/proc/$pid" ] || break; sleep 0.1; done
    [ ! -d "/proc/$pid" ] || kill -KILL "$pid"
    on "$1" rm -f /run/pve-blockio/bridge.sock
}

# --- only where disks are loop devices

loops_join() { # NODE LINKS: PVE's own handling of loop devices there leaves those alone that the links lead to
    # PVE unmounts with -d, which takes a loop device away but not what a real array's disk is
    on "$1" sh -c 'mv /usr/bin/umount /usr/bin/umount.real && sed "s#@LINKS@#$1#" >/usr/bin/umount && chmod 755 /usr/bin/umount' - "$2" <<'C'
#!/bin/sh
for last; do :; done
device=$(findmnt -n -o SOURCE --mountpoint "$last" | tail -n 1)
for link in @LINKS@; do
    [ -n "$device" ] && [ "$(readlink -f "$link")" = "$device" ] || continue
    for arg; do
        shift
        [ "$arg" = -d ] || set -- "$@" "$arg"
    done
    break
done
exec umount.real "$@"
C
    # PVE's QEMU writes a memory image into any file; what stands in for it truncates the file, which no device allows
    on "$1" sh -c 'f=/usr/share/perl5/PVE/QMPClient.pm
        ! grep -q "file:\$args->{statefile}" "$f" ||
            sed -i "s/\"file:\$args->{statefile}\"/(-b \$args->{statefile} ? \"exec:cat >\" : \"file:\") . \$args->{statefile}/" "$f"'
}
