# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# A writer that checks what it reads back, for tests in which paths come and go under it. One at a time.

LOAD=/tmp/load

load_start() { # DEVICE: uses its first 4 MiB
    rm -rf "$LOAD"
    mkdir "$LOAD"
    load_loop "$1" </dev/null >/dev/null 2>&1 &
    until_true 30 load_rounds 1
}

load_loop() { # DEVICE
    local round=0
    until [ -e $LOAD/stop ]; do
        head -c 4M /dev/urandom >$LOAD/data
        if ! dd if=$LOAD/data of="$1" bs=64K oflag=direct conv=fsync,notrunc ||
            ! dd if="$1" of=$LOAD/read bs=64K count=64 iflag=direct || ! cmp $LOAD/data $LOAD/read; then
            touch $LOAD/failed
            break
        fi
        round=$((round + 1))
        echo $round >$LOAD/rounds.new
        mv $LOAD/rounds.new $LOAD/rounds
    done 2>$LOAD/log
    touch $LOAD/end
}

load_rounds() { [ ! -e $LOAD/failed ] && [ "$(cat $LOAD/rounds)" -ge "$1" ]; } # COUNT: at least as many are done

load_goes_on() { # two more rounds, so one of them began after this was called
    local before
    before=$(cat $LOAD/rounds) && until_true 30 load_ended_or "$((before + 2))" && load_sound
}

load_ended_or() { [ -e $LOAD/failed ] || load_rounds "$1"; }
load_sound() { [ ! -e $LOAD/failed ] || { cat $LOAD/log; return 1; }; }

load_stop() { # fails when a write or read failed, or data differed
    touch $LOAD/stop
    until_true 60 test -e $LOAD/end && load_sound && echo "$(cat $LOAD/rounds) rounds"
}
