# shellcheck shell=bash disable=SC2154 # variables are shared with lab-san
# SPDX-License-Identifier: AGPL-3.0-or-later
# lab-san: the network between node and array.

fabrics=(a b)
declare -A node_address=([a]=10.77.1.1 [b]=10.77.2.1)
declare -A array_address=([a]=10.77.1.2 [b]=10.77.2.2)
SILENT_PORT=3261

# The kernel opens a target's sockets in the network namespace of whoever sets it up. (ip netns exec would hide
# configfs behind a new /sys.)
in_array() { nsenter --net=/run/netns/storage "$@"; }

fabric_up() {
    [ ! -e /run/netns/storage ] || return 0
    mountpoint -q "$config" || mount -t configfs configfs "$config"
    ip netns add storage
    ip -n storage link set lo up
    local f
    for f in "${fabrics[@]}"; do
        ip link add "san-$f" type veth peer name "array-$f" netns storage
        ip addr add "${node_address[$f]}/24" dev "san-$f"
        ip -n storage addr add "${array_address[$f]}/24" dev "array-$f"
        ip link set "san-$f" up
        ip -n storage link set "array-$f" up
    done
}

fabric() { # a|b up|down|mute
    [ -n "${array_address[$1]:-}" ] || fail "no such fabric: $1"
    case $2 in
        up)
            fabric_up
            ip -n storage route del blackhole "${node_address[$1]}/32" 2>/dev/null || :
            ip -n storage link set "array-$1" up
            ;;
        down) ip -n storage link set "array-$1" down ;;
        mute) ip -n storage route replace blackhole "${node_address[$1]}/32" ;;
        *) fail "fabric: up, down or mute" ;;
    esac
}

# The kernel completes the handshake of a connection that nobody accepts. A unit of its own: not a process of the test.
silent() { # a|b
    fabric_up
    local portal=${array_address[$1]:?no such fabric}:$SILENT_PORT
    # shellcheck disable=SC2016 # Perl's variables
    systemd-run --quiet --unit="lab-san-silent-$1" --property=NetworkNamespacePath=/run/netns/storage \
        perl -MIO::Socket::INET -e '
            my $socket = IO::Socket::INET->new(Listen => 128, LocalAddr => $ARGV[0], ReuseAddr => 1) or die "listen: $!\n";
            sleep;
        ' "$portal"
    until in_array ss -Hltn | grep -qF "$portal"; do
        systemctl --quiet is-active "lab-san-silent-$1" || fail "the silent portal did not come up"
        sleep 0.1
    done
    echo "$portal"
}

fabric_down() {
    local f
    systemctl stop 'lab-san-silent-*.service'
    for f in "${fabrics[@]}"; do [ ! -e "/sys/class/net/san-$f" ] || ip link del "san-$f"; done
    [ ! -e /run/netns/storage ] || ip netns del storage
}

# The cable to a second node. There, both of the array's addresses are behind it.
cable() { # array|node
    local port from=10.77.3.1 to=10.77.3.2 f
    port=$(ip -o link | sed -nE 's/^[0-9]+: ([^:]+): .* link\/ether 02:6c:69:6e:6b:.*/\1/p')
    [ -n "$port" ] || fail "this machine has no cable: start it with --cable"
    if [ "$1" = array ]; then
        fabric_up
        ip link set "$port" netns storage
        ip -n storage addr add "$to/24" dev "$port"
        ip -n storage link set "$port" up
    else
        ip addr add "$from/24" dev "$port"
        ip link set "$port" up
        for f in "${fabrics[@]}"; do ip route add "${array_address[$f]}/32" via "$to"; done
    fi
}
