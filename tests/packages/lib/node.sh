# shellcheck shell=bash disable=SC2154 # of env.sh
# SPDX-License-Identifier: AGPL-3.0-or-later
# The life of the packages on a node; $release says which Debian.

OURS=(pve-blockio pve-blockio-joviandss pve-blockio-storpool pve-blockio-linstor)
[ "$release" != bookworm ] || OURS=(pve-blockio-node "${OURS[@]}")
FAST=/srv/fast
SOCKET=/run/pve-blockio/bridge.sock

# --- what the tests ask in the machine
service() { inside systemctl show -P "$1" pve-blockio.service; } # PROPERTY
answers() { inside perl -MIO::Socket::UNIX -e 'alarm 5; my $s = IO::Socket::UNIX->new("'$SOCKET'") or die "$!\n";
    print {$s} qq({"id":1,"method":"ping"}\n); $s->flush; my $l = <$s>; print $l; exit($l =~ /"protocol"/ ? 0 : 1)'; }
answers_version() { answers | grep -qF "\"version\":\"$1\""; }
plugin() { # PERL [ARGUMENT...]: with the installed class of the storage, as PVE calls it
    inside env STOREID=fast SCFG="{\"type\":\"blockio\",\"path\":\"$FAST\",\"content\":{\"images\":1,\"rootdir\":1}}" \
        perl -I/srv/test/perl/t/lib /srv/test/lab/lib/plugin.pl "$@"
}
sum() { inside sha256sum "$1" | cut -d' ' -f 1; }
install() { inside dpkg -i "$@"; } # FILE...
install_all() { inside sh -c "dpkg -i $1/*.deb"; } # DIRECTORY
new_pid() { [ "$(service MainPID)" != "$1" ] && answers; } # PID
installed_state() { inside dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' "${OURS[@]}" 2>&1 | awk '{ print $2 }' | sort -u; }
journal_complaints() { # what systemd says of the units, and defects that the service logged
    inside journalctl -b --no-pager -o cat -u pve-blockio.service -u pve-blockio.socket -p warning | grep -vE "$1" | head -n 5
}
put() { for f; do cp "$f" "$ROOT/root/" || return; done; }

base=$(tree_base "$release" 2>>"$LOG") || skip_all "no tree of Debian's $release: $(tail -n 3 "$LOG" | paste -sd' ')"
tree_over "$base" || { fail "a tree of Debian's $release"; finish; exit 1; }
mkdir -p "$ROOT$FAST" "$ROOT/etc/pve/nodes/node1"
echo node1 >"$ROOT/etc/hostname"
printf 'blockio: fast\n\tpath %s\n\njoviandss: far\n\tpool_name Pool-0\n' $FAST >"$ROOT/etc/pve/storage.cfg"
cp "$ROOT/etc/pve/storage.cfg" "$T/storage.cfg"
fast_is_xfs=
if command -v mkfs.xfs >/dev/null; then
    truncate -s 1G "$T/fast.img"
    mkfs.xfs -q -m reflink=1 "$T/fast.img" && mount -o loop "$T/fast.img" "$ROOT$FAST" && fast_is_xfs=1
fi
stand_ins_of_pve >"$T/stand-ins" || fail 'stand-ins are built'
mapfile -t files <"$T/stand-ins"
put "${files[@]}"
machine_start >"$T/boot" && pass "Debian's $release boots" || { fail "Debian's $release boots" "$(cat "$T/boot")"; finish; exit 1; }
must 'a node of Proxmox VE without this project' inside dpkg -i /root/libpve-storage-perl.deb /root/pve-manager.deb /root/pve-ha-manager.deb
inside rm -f /var/tmp/triggered
tree_list >"$T/before"

# --- install the build before
mkdir "$ROOT/root/old" "$ROOT/root/new"
for package in "${OURS[@]}"; do
    cp "$(previous "$package")" "$ROOT/root/old/" && cp "$(deb "$package")" "$ROOT/root/new/"
done
must 'the previous build installs' install_all /root/old
is 'without a complaint' "$(grep -iE 'warning|error|fail|cannot' <<<"$OUT")" ''
is 'all are configured' "$(installed_state)" ii
is 'the daemons and the HA manager are told to reload' "$(inside sort -u /var/tmp/triggered | paste -sd,)" \
    'pve-ha-manager: pve-api-updates,pve-manager: /usr/share/perl5/PVE pve-api-updates'
is 'the socket listens' "$(inside systemctl is-active pve-blockio.socket)" active
is 'also after the next start' "$(inside systemctl is-enabled pve-blockio.socket pve-blockio.service | paste -sd,)" enabled,enabled
is 'the service runs' "$(inside systemctl is-active pve-blockio.service)" active
ok 'it tells the cluster its version' inside sh -c 'i=0
    until [ -s /etc/pve/nodes/node1/pve-blockio.json ]; do i=$((i + 1)); [ $i -lt 100 ] || exit 1; sleep 0.1; done'
is 'and says so itself' "$(service StatusText)" "serving as node node1, version $VERSION~previous"
is 'it has a control group of its own' "$(service ControlGroup)" /system.slice/pve-blockio.service
is 'the socket is for root only' "$(inside stat -c '%U %a' $SOCKET)" 'root 600'
pid=$(service MainPID)
is 'it sees the mounts of the node' "$(inside readlink "/proc/$pid/ns/mnt")" "$(inside readlink /proc/1/ns/mnt)"
is 'its units are sound' "$(inside systemd-analyze verify /usr/lib/systemd/system/pve-blockio.service 2>&1 | grep blockio)" ''
inside systemd-analyze security --no-pager pve-blockio.service >"$T/security" 2>&1
exposure=$(sed -n 's/.*Overall exposure level.*: \([0-9.]*\) .*/\1/p' "$T/security")
is 'its exposure is what the documentation says' "$exposure" \
    "$(sed -n "s/^| $release | \([0-9.]*\) |.*/\1/p" "$project/docs/install.md")"

# --- the plugin through the installed paths, in the service's sandbox
ok 'the installed class answers' plugin '$class->activate_storage($storeid, $scfg, {}); undef'
is 'a volume is made' "$(plugin '$class->alloc_image($storeid, $scfg, 100, "raw", undef, 65536)')" 100/vm-100-disk-0.raw
image=$FAST/images/100/vm-100-disk-0.raw
inside dd if=/dev/urandom of=$image bs=1M count=64 conv=notrunc status=none
content=$(sum $image)
if [ -n "$fast_is_xfs" ]; then
    ok 'a snapshot' plugin '$class->volume_snapshot($scfg, $storeid, "100/vm-100-disk-0.raw", "one"); undef'
    ok 'a container, with what only root may make' plugin '$class->alloc_image($storeid, $scfg, 101, "subvol", undef, 0)'
    tree=$(inside find $FAST -type d -name 'subvol-101-disk-0.subvol' | head -n 1)
    inside sh -c "cd $tree && cp /bin/true ping && setcap cap_net_raw+ep ping && cp /bin/true su && chmod 4755 su && \
        mknod null c 1 3 && mkfifo pipe && touch other && chown 1234:4321 other && setfattr -n user.a -v b other"
    ok 'its snapshot' plugin '$class->volume_snapshot($scfg, $storeid, "101/subvol-101-disk-0.subvol", "one"); undef'
    ok 'is rolled back to' inside sh -c "rm $tree/su $tree/null $tree/ping $tree/other"
    ok 'and is' plugin '$class->volume_snapshot_rollback($scfg, $storeid, "101/subvol-101-disk-0.subvol", "one"); undef'
    is 'with modes, owners, nodes, capabilities and attributes' \
        "$(inside sh -c "cd $tree && stat -c '%n %F %a %u:%g %t' null other pipe su && getcap ping && getfattr -n user.a --only-values other")" \
        "null character special file 644 0:0 1
other regular empty file 644 1234:4321 0
pipe fifo 644 0:0 0
su regular file 4755 0:0 0
ping cap_net_raw=ep
b"
else
    skip 'snapshots' 'no mkfs.xfs here'
fi

# --- upgrade while streams run
printf '\0\0\0\4\0\0\0\0' >"$ROOT/root/exported.size"
until_upgraded='until [ -e /root/upgraded ]; do sleep 0.1; done'
inside bash -o pipefail -c "pve-blockio export fast:100/vm-100-disk-0.raw 2>/root/export.log |
    { head -c 16M; $until_upgraded; cat; } >/root/exported" &
export_job=$!
inside bash -o pipefail -c "{ head -c 8 /root/exported.size; head -c 16M $image; $until_upgraded; tail -c 48M $image; } |
    pve-blockio import fast:102/vm-102-disk-0.raw >/root/import.log 2>&1" &
import_job=$!
# Somebody asks all the time.
inside sh -c 'while [ ! -e /root/stop ]; do
        perl -I/usr/share/perl5 -I/srv/test/perl/t/lib -MPVE::Storage::Custom::Blockio::Client -e "
            my (undef, \$e) = PVE::Storage::Custom::Blockio::Client::request(q(status), q(fast), { type => q(blockio), path => q(/srv/fast) }, {}, 4000);
            print \$e ? qq(failed \$e->{message}\n) : qq(fine\n);" >>/root/asked 2>&1
        sleep 0.1
    done' &
asking=$!
until_true 60 inside test -s /root/exported
until_true 60 inside test -s /root/asked
until_true 60 inside sh -c "ls -A $FAST/images/102 | grep -q ."
socket_node=$(inside stat -c %i $SOCKET)
inside sh -c ': >/var/tmp/triggered'
ok 'the upgrade' install_all /root/new
is 'without a complaint' "$(grep -iE 'warning|error|fail|cannot' <<<"$OUT")" ''
ok 'in the middle of an export' kill -0 $export_job
ok 'and of an import' kill -0 $import_job
ok 'the new service answers' until_true 20 answers_version "$VERSION"
ok 'it is another process' new_pid "$pid"
is 'its socket was open all the time' "$(inside stat -c %i $SOCKET)" "$socket_node"
inside touch /root/upgraded
is 'the daemons reload' "$(inside sort -u /var/tmp/triggered | paste -sd,)" \
    'pve-ha-manager: pve-api-updates,pve-manager: /usr/share/perl5/PVE pve-api-updates'
wait $export_job
is 'the export ends well' "$? $(inside grep -v 'bytes' /root/export.log)" '0 '
is 'with every byte' "$(inside tail -c +9 /root/exported | sha256sum | cut -d' ' -f 1)" "$content"
wait $import_job
is 'the import ends well' "$? $(inside grep -v 'bytes' /root/import.log)" '0 fast:102/vm-102-disk-0.raw'
is 'with every byte too' "$(sum $FAST/images/102/vm-102-disk-0.raw)" "$content"
inside touch /root/stop
wait $asking
is 'nobody who asked was refused' "$(inside grep -v '^fine$' /root/asked | head -n 3)" ''

# --- crash and hang
pid=$(service MainPID)
inside kill -KILL "$pid"
ok 'after a crash it runs again' until_true 20 new_pid "$pid"
mkdir -p "$ROOT/run/systemd/system/pve-blockio.service.d"
inside sh -c 'mkdir -p /run/systemd/system/pve-blockio.service.d
    printf "[Service]\nWatchdogSec=10\n" >/run/systemd/system/pve-blockio.service.d/test.conf
    systemctl daemon-reload && systemctl restart pve-blockio.service'
pid=$(service MainPID)
sleep 15
is 'while it lives, the watchdog leaves it alone' "$(service MainPID)" "$pid"
inside kill -STOP "$pid"
ok 'when it hangs, it is started anew' until_true 60 new_pid "$pid"
ok 'by the watchdog' bash -c 'grep -q "Watchdog timeout" <<<"$0"' "$(inside journalctl -b --no-pager -u pve-blockio.service)"
inside sh -c 'rm -r /run/systemd/system/pve-blockio.service.d; systemctl daemon-reload; systemctl restart pve-blockio.service'
until_true 20 answers
is 'systemd and the service have nothing else to complain of' \
    "$(journal_complaints 'Watchdog timeout|Killing process|Main process exited|Failed with result')" ''

# --- snippets
ok 'the multipath configuration is enabled by one link' inside sh -c 'mkdir -p /etc/multipath/conf.d &&
    ln -s /usr/share/pve-blockio/multipath/joviandss.conf /etc/multipath/conf.d/pve-blockio-joviandss.conf'
inside multipath -t >"$T/multipath" 2>&1
is 'multipathd understands it' "$(grep -iE 'joviandss|invalid|error|unknown' "$T/multipath")" ''
ok 'and has it' bash -c 'grep -A 20 "vendor \"^SCST_\"" "$0" | grep -q "no_path_retry 24"' "$T/multipath"
inside cp -p /etc/lvm/lvmlocal.conf /root/lvmlocal.conf
ok 'the LVM filter is enabled by one command' inside sh -c 'cat /usr/share/pve-blockio/lvm/guest-volumes.conf >>/etc/lvm/lvmlocal.conf'
ok 'LVM understands it' inside lvmconfig --validate
ok 'and has it' bash -c 'grep -q "r|/dev/drbd" <<<"$0"' "$(inside lvmconfig devices/global_filter 2>&1)"
inside cp -p /root/lvmlocal.conf /etc/lvm/lvmlocal.conf

# --- beside the vendor's
put "$(stand_in open-e-joviandss-proxmox-plugin 0.10.13)" "$(stand_in pve-storpool 0.5)" "$(stand_in linstor-proxmox 8.1)"
fails 'the vendor plugin of JovianDSS does not go beside it' 'conflict' install /root/open-e-joviandss-proxmox-plugin.deb
fails "nor that of StorPool" 'conflict' install /root/pve-storpool.deb
fails 'nor that of LINSTOR' 'conflict' install /root/linstor-proxmox.deb
is 'and all is as before' "$(installed_state)" ii
ok 'it can take the place of it' inside dpkg -r pve-blockio-storpool
ok 'once it is removed' install /root/pve-storpool.deb
inside dpkg -P pve-storpool pve-blockio-storpool >>"$LOG" 2>&1

# --- remove
ok 'removal of array types' inside dpkg -r pve-blockio-joviandss pve-blockio-linstor
ok 'names the storages that need it' bash -c 'grep -q "storages of type .joviandss. in /etc/pve/storage.cfg: far" <<<"$0"' "$OUT"
ok 'the rest is not disturbed' answers
inside sh -c 'mkdir -p /run/pve-blockio/dev/far /var/log/joviandss && ln -s /dev/null /run/pve-blockio/dev/far/vm-1-disk-0 &&
    ln -s /dev/gone /run/pve-blockio/dev/far/vm-2-disk-0 && echo line >/var/log/joviandss/joviandss.log'
ok 'removal of the service' inside dpkg -r pve-blockio
ok 'names its storages as well' bash -c 'grep -q "storages of type .blockio. in /etc/pve/storage.cfg: fast" <<<"$0"' "$OUT"
is 'it runs no more' "$(inside systemctl is-active pve-blockio.service pve-blockio.socket 2>&1 | sort -u)" inactive
is 'nor listens' "$(inside sh -c "test -e $SOCKET && echo there")" ''
is 'the link of an active volume is still there' "$(inside readlink /run/pve-blockio/dev/far/vm-1-disk-0)" /dev/null

# --- purge
ok 'purge' inside dpkg -P "${OURS[@]}"
is 'without a complaint but of the active volume' "$(grep -iE 'warning|error|fail|cannot|still active' <<<"$OUT" | grep -v 'no installed package matching\|ignoring request')" \
    'pve-blockio: volumes are still active, their links in /run/pve-blockio/dev stay until the node restarts:'
is 'the link of a device that is gone is gone' "$(inside sh -c 'ls /run/pve-blockio/dev/far')" vm-1-disk-0
tree_list >"$T/after"
is 'nothing is left of the packages' "$(diff "$T/before" "$T/after" | grep '^[<>]' |
    grep -vE ' \./(etc/multipath(/conf\.d)?|etc/pve/storage.cfg) ')" ''
is 'and the storages are still configured' "$(cmp "$ROOT/etc/pve/storage.cfg" "$T/storage.cfg")" ''
is 'systemd knows no unit of it' "$(inside systemctl list-unit-files --no-legend 'pve-blockio*')" ''
finish
