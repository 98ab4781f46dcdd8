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
SERVICE_OUTPUT=append:$SERVICE_LOG # or `journal`
SERVICE_PID=/run/lab/service.pid # a file: assertions run their commands in a shell of their own

# As the installed unit runs it, in its sandbox, but for what starts it and for what happens when it ends.
service_start() { # [OPTION...]: more options of `pve-blockio serve`; output goes to SERVICE_LOG
    local unit=/run/systemd/system/pve-blockio.service
    mkdir -p "${PVE_BLOCKIO_SOCKET%/*}" "${unit%/*}"
    sed -E -e "s|^ExecStart=.*|ExecStart=$PVE_BLOCKIO_CLI serve --socket $PVE_BLOCKIO_SOCKET --log-level debug $*|" \
        -e '/^(Requires|After|Before|Documentation|StartLimitIntervalSec|Restart|RestartSec)=/d' -e '/^\[Install\]/,$d' \
        "$project/systemd/pve-blockio.service" >"$unit"
    {
        printf '[Service]\nStandardOutput=%s\nStandardError=%s\n' "$SERVICE_OUTPUT" "$SERVICE_OUTPUT"
        env | sed -n 's/^\(PVE_BLOCKIO_[A-Z]*=.*\)/Environment="\1"/p'
    } >>"$unit"
    systemctl daemon-reload
    systemctl reset-failed pve-blockio.service 2>/dev/null
    systemctl start pve-blockio.service || { systemctl status pve-blockio.service; cat "$SERVICE_LOG"; return 1; }
    systemctl show -P MainPID pve-blockio.service >"$SERVICE_PID"
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
