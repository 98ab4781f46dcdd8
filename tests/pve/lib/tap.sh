# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# TAP output and assertions.
#
# Each assertion that runs a command leaves the command's output (both streams) in OUT and appends it to $LOG.

TESTS=0
FAILED=0
OUT=

pass() {
    TESTS=$((TESTS + 1))
    printf 'ok %d - %s\n' "$TESTS" "$1"
}

fail() { # NAME [TEXT]
    TESTS=$((TESTS + 1))
    FAILED=$((FAILED + 1))
    printf 'not ok %d - %s\n' "$TESTS" "$1"
    [ -z "${2:-}" ] || printf '%s\n' "$2" | tail -n 40 | sed 's/^/#   /'
    return 1
}

skip() { # NAME REASON
    TESTS=$((TESTS + 1))
    printf 'ok %d - %s # SKIP %s\n' "$TESTS" "$1" "$2"
}

skip_all() {
    printf '1..0 # SKIP %s\n' "$1"
    exit 0
}

run() { # COMMAND...
    local rc start=$EPOCHREALTIME
    OUT=$("$@" 2>&1 </dev/null)
    rc=$?
    printf '$ %s\n%s\n[exit %d, %s s]\n' "$*" "$OUT" "$rc" "$(since "$start")" >>"$LOG"
    return "$rc"
}

since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; } # START: seconds

ok() { # NAME COMMAND...: the command succeeds
    local name=$1 rc
    shift
    run "$@"
    rc=$?
    if [ "$rc" = 0 ]; then pass "$name"; else fail "$name" "exit $rc of: $*"$'\n'"$OUT"; fi
}

must() { # as ok, and the rest of the file makes no sense without it
    ok "$@" && return
    finish
    exit 1
}

fails() { # NAME REGEX COMMAND...: the command fails and says so
    local name=$1 regex=$2
    shift 2
    if run "$@"; then fail "$name" "succeeded: $*"$'\n'"$OUT"; return; fi
    like "$name" "$OUT" "$regex"
}

is() { # NAME GOT WANTED
    if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "got:    $2"$'\n'"wanted: $3"; fi
}

isnt() { # NAME GOT UNWANTED
    if [ "$2" != "$3" ]; then pass "$1"; else fail "$1" "got: $2"; fi
}

like() { # NAME TEXT REGEX
    if grep -Eqi -e "$3" <<<"$2"; then pass "$1"; else fail "$1" "no match for /$3/ in:"$'\n'"$2"; fi
}

unlike() { # NAME TEXT REGEX
    if grep -Eqi -e "$3" <<<"$2"; then fail "$1" "unwanted /$3/ in:"$'\n'"$2"; else pass "$1"; fi
}

true_that() { # NAME CONDITION...: arguments of test(1)
    local name=$1
    shift
    if test "$@"; then pass "$name"; else fail "$name" "not true: $*"; fi
}

within() { # SECONDS NAME COMMAND...: ends in time, whatever its result
    local seconds=$1 name=$2 start=$EPOCHREALTIME took
    shift 2
    run "$@"
    took=$(since "$start")
    if awk -v t="$took" -v s="$seconds" 'BEGIN { exit !(t <= s) }'; then
        pass "$name"
    else
        fail "$name" "took $took s, allowed are $seconds s"$'\n'"$OUT"
    fi
}

relay() { # PREFIX COMMAND...: take over the results of another TAP producer
    local prefix=$1 line plan= seen=0 text=
    shift
    run "$@" || text="exit $? of: $*"
    while IFS= read -r line; do
        case "$line" in
        'ok '*'# SKIP'*) seen=$((seen + 1)); skip "$prefix$(tap_name "${line%%# SKIP*}")" "${line##*# SKIP }" ;;
        'ok '*) seen=$((seen + 1)); pass "$prefix$(tap_name "$line")" ;;
        'not ok '*) seen=$((seen + 1)); fail "$prefix$(tap_name "${line#not }")" ;;
        1..*) plan=${line#1..} ;;
        '') ;;
        *) printf '#   %s\n' "$line" ;;
        esac
    done <<<"$OUT"
    [ -z "$text" ] || [ "$plan" = "$seen" ] || fail "${prefix}ran to its end" "$text"
    is "${prefix}all of its tests ran" "$seen" "$plan"
}

tap_name() { sed -E 's/^ok [0-9]+ *-? *//; s/ *$//' <<<"$1"; }

done_testing() { printf '1..%d\n' "$TESTS"; }
