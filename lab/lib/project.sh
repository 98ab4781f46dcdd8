# shellcheck shell=bash disable=SC2154 # lib and project are test.sh's
# SPDX-License-Identifier: AGPL-3.0-or-later
# The built project in the VM: its service, its Perl plugin, its addon. A storage is STOREID and SCFG, the section of
# storage.cfg in JSON; a test sets both.

export PVE_BLOCKIO_SOCKET=/run/pve-blockio/bridge.sock
export PVE_BLOCKIO_MANIFEST=$project/dist/manifest.json
export PVE_BLOCKIO_CLI=/run/lab/pve-blockio
# The plugin lets it look for Node where the system has it; a lent one is elsewhere.
mkdir -p /run/lab
# shellcheck disable=SC2016 # of that script
printf '#!/bin/sh\nPATH=%s:$PATH exec %s "$@"\n' "$(dirname "$(readlink -f "$(command -v node)")")" "$project/bin/pve-blockio" \
    >"$PVE_BLOCKIO_CLI" && chmod 755 "$PVE_BLOCKIO_CLI"
export STOREID=lab SCFG='{}'
SERVICE_LOG=${LOG%.log}.service.log
SERVICE_PID=/run/lab/service.pid # a file: assertions run their commands in a shell of their own

service_start() { # [OPTION...]: more options of `pve-blockio serve`; output goes to SERVICE_LOG
    mkdir -p "${PVE_BLOCKIO_SOCKET%/*}"
    "$project/bin/pve-blockio" serve --socket "$PVE_BLOCKIO_SOCKET" --log-level debug "$@" \
        </dev/null >>"$SERVICE_LOG" 2>&1 &
    echo $! >"$SERVICE_PID"
    until_true 20 ask ping || { cat "$SERVICE_LOG"; return 1; }
}

service_stop() { service_end TERM; }  # as systemd does
service_kill() { service_end KILL; }  # as a crash does

service_end() { # SIGNAL
    [ -e "$SERVICE_PID" ] || return 0
    kill "-$1" "$(cat "$SERVICE_PID")" && until_true 30 ended "$SERVICE_PID" && rm "$SERVICE_PID"
}

ended() { ! kill -0 "$(cat "$1")" 2>/dev/null; } # PID_FILE

ask() { # METHOD [ARGS]: prints the result in JSON; an error goes to standard error as `CODE: message`
    node "$lib/ask.mjs" "$PVE_BLOCKIO_SOCKET" "$@"
}

plugin() { # PERL [ARGUMENT...]: code that has $class (the plugin of SCFG's type), $storeid, $scfg, @ARGV
    local code=$1
    shift
    perl -I"$project/perl/lib" -I"$project/perl/t/lib" "$lib/plugin.pl" "$code" "$@"
}

addon() { # EXPRESSION [ARGUMENT...]: JavaScript that has native and args; prints the result as ask does
    node "$lib/addon.mjs" "$@"
}
