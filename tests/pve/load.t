#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: the plugin loads silently in every PVE command, also in taint mode and on older releases, next to foreign plugins
# of every kind; where its manifest is missing or broken it says so once and everything else goes on.
. "$(dirname "$0")/lib/env.sh"
[ -n "$OURS" ] || skip_all "only for our types, $SUBJECT is part of PVE"

custom=/usr/share/perl5/PVE/Storage/Custom
manifest=/usr/lib/pve-blockio/manifest.json
warnings() { "$@" 2>&1 >/dev/null </dev/null; } # only what goes to stderr
types='use PVE::Storage; print join(" ", sort @{ PVE::Storage::Plugin->lookup_types() })'

silent_everywhere() { # TEXT
    is "$1: PVE::Storage loads silently" "$(warnings on1 perl -e "$types")" ''
    is "$1: also in taint mode" "$(warnings on1 perl -T -e "$types")" ''
    is "$1: also with all Perl warnings in our code" "$(warnings on1 perl -w -e "$types" | grep -iE 'blockio|storpool')" ''
    like "$1: the type is there" "$(on1 perl -e "$types")" "\\b$TYPE\\b"
    is "$1: pvesm status says nothing else" "$(warnings on1 pvesm status)" ''
    local c
    for c in 'qm list' 'pct list' 'vzdump --help' 'pvesr help' 'pvesh get storage'; do
        [ -n "$(on1 sh -c "command -v ${c%% *}")" ] || continue
        # shellcheck disable=SC2086
        unlike "$1: $c" "$(on1 $c 2>&1)" 'blockio|storpool|storage API|plugin'
    done
}

# one pass on the release of PVE_REF, one on each of PVE_REF_OLD
basics() { # TEXT
    silent_everywhere "$1"
    is "$1: API version is that of the node" "$(on1 perl -e 'use PVE::Storage; my $class = PVE::Storage::Plugin->lookup(shift); print $class->api()' "$TYPE")" \
        "$(on1 perl -e 'use PVE::Storage; my $v = PVE::Storage::APIVER(); print $v < 15 ? $v : 15')"
    must "$1: add" add_subject
    ok "$1: add a stock storage" add_plain
    is "$1: status is clean" "$(warnings on1 pvesm status)" ''
    like "$1: active" "$(on1 pvesm status)" "sub +$TYPE +active"
    ok "$1: set" on1 pvesm set sub --content "$SUB_CONTENT"
    ok "$1: alloc" on1 pvesm alloc sub 100 '' 4M
    local first other
    first=$(volid sub:100/vm-100-disk-0.raw)
    is "$1: list" "$(listed sub)" "$first"
    ok "$1: export and import" on1 sh -c 'pvesm export "$1" raw+size - | pvesm import "$2" raw+size -' - \
        "$first" "$(asked sub:101/vm-101-disk-0.raw)"
    other=$(volid sub:101/vm-101-disk-0.raw)
    is "$1: list" "$(listed sub)" "$first $other"
    ok "$1: snapshot, rollback, clone" on1 perl -T -e '
        $ENV{PATH} = "/usr/sbin:/usr/bin:/sbin:/bin";
        use PVE::Storage; use PVE::RPCEnvironment; PVE::RPCEnvironment->setup_default_cli_env();
        my ($c, $v) = (PVE::Storage::config(), shift =~ /^(sub:.+)$/);
        PVE::Storage::volume_snapshot($c, $v, "s1");
        PVE::Storage::volume_rollback_is_possible($c, $v, "s1") or die;
        PVE::Storage::volume_snapshot_rollback($c, $v, "s1");
        PVE::Storage::vdisk_free($c, PVE::Storage::vdisk_clone($c, $v, 102, "s1"));
        PVE::Storage::volume_snapshot_delete($c, $v, "s1");
        PVE::Storage::volume_resize($c, $v, 8 << 20, 0);
        die if PVE::Storage::volume_size_info($c, $v) != 8 << 20' "$first"
    ok "$1: free" on1 sh -c 'pvesm free "$1" && pvesm free "$2"' - "$first" "$other"
    nothing_left "$1: nothing is left"
}

make_store
blockio_bind
up pve1
blockio_install pve1
basics 'this release'

# --- other plugins on the same node
foreign() { # NAME TYPE PROPERTIES [CODE]: a plugin of somebody else
    on1 sh -c "cat >$custom/$1.pm" <<P
package PVE::Storage::Custom::$1;
use strict; use warnings; use base qw(PVE::Storage::Plugin);
sub api { return PVE::Storage::APIVER() }
sub type { return '$2' }
sub plugindata { return { content => [{ images => 1 }, { images => 1 }] } }
sub properties { return { $3 } }
sub options { return { content => { optional => 1 } } }
${4:-}
1;
P
}
gone() { on1 rm -f "$custom/$1.pm"; }
still_works() { # TEXT
    like "$1: the type is there" "$(on1 perl -e "$types" 2>/dev/null)" "\\b$TYPE\\b"
    like "$1: its storage is active" "$(on1 pvesm status 2>/dev/null)" "sub +$TYPE +active"
    like "$1: others are" "$(on1 pvesm status 2>/dev/null)" 'plain +dir +active'
}
foreign Broken broken '' 'this is no Perl'
still_works 'a plugin that does not compile'
gone Broken
foreign Ancient ancient '' 'no warnings; sub api { return 2 }'
still_works 'a plugin with an ancient API version'
gone Ancient
foreign Same "$TYPE" ''
is 'a second plugin of our type: one of the two is taken' "$(on1 perl -e "$types" 2>/dev/null | tr ' ' '\n' | grep -cx "$TYPE")" 1
like 'a second plugin of our type: others go on' "$(on1 pvesm status 2>/dev/null)" 'plain +dir +active'
gone Same
# The order in which PVE finds the files is not defined: names before and after ours. For a type that has none, properties
# of its own are made up here.
on1 cp "$manifest" "$manifest.good"
property=template
if [ "$SUBJECT" = blockio ]; then
    property=blockio-test
    on1 perl -i -0pe 's/"properties": \{\}/"properties": {"blockio-test":{"type":"string","description":"test"}}/;
        s/"options": \{/"options": {"blockio-test":{"optional":1},/' "$manifest"
fi
is 'a property of our own: silent' "$(warnings on1 perl -e "$types")" ''
for name in AaaFirst ZzzLast; do
    foreign "$name" foreign "'$property' => { type => 'string', description => 'theirs' }"
    is "another plugin ($name) declares our property: silent" "$(warnings on1 perl -e "$types")" ''
    still_works "another plugin ($name) declares our property"
    like "both types are there" "$(on1 perl -e "$types")" "\\bforeign\\b.*\\b$TYPE\\b|\\b$TYPE\\b.*\\bforeign\\b"
    gone "$name"
done
on1 mv "$manifest.good" "$manifest"

# --- a manifest that is no manifest: one line for each of our types, and no storage but ours is hurt
ours=$(on1 sh -c "grep -l Blockio::Base $custom/*Plugin.pm | wc -l")
hurt() { # TEXT REGEX
    local said
    said=$(warnings on1 perl -e "$types")
    is "$1: one line for each type" "$(grep -c . <<<"$said")" "$ours"
    is "$1: each says why" "$(grep -ciE "$2" <<<"$said")" "$ours"
    like "$1: and what not to do" "$said" 'before any change to the storage configuration'
    unlike "$1: the type is not there" "$(on1 perl -e "$types" 2>/dev/null)" "$TYPE"
    ok "$1: pvesm status" on1 pvesm status
    like "$1: others are active" "$OUT" 'plain +dir +active'
    ok "$1: qm works" on1 qm list
}
on1 mv "$manifest" "$manifest.good"
hurt 'no manifest' 'No such file'
on1 sh -c "head -c 500 $manifest.good >$manifest"
hurt 'half a manifest' 'not valid JSON'
on1 sh -c "sed 's/\"version\": 1/\"version\": 7/' $manifest.good >$manifest"
hurt 'a manifest of another version' 'version'
on1 sh -c "echo '{\"version\":1,\"api\":{\"min\":11,\"max\":15},\"types\":{}}' >$manifest"
hurt 'a manifest without the types' 'blockio|storpool'
on1 mv "$manifest.good" "$manifest"
still_works 'repaired'
is 'and silent' "$(warnings on1 pvesm status)" ''

# --- older releases
IFS=: read -r -a old <<<"${PVE_REF_OLD:-}"
[ ${#old[@]} -gt 0 ] || skip 'older releases' 'PVE_REF_OLD not set'
for ref in "${old[@]}"; do
    $PVE_ENV wipe >>"$LOG" 2>&1
    export PVE_REF=$ref
    up pve1
    blockio_install pve1
    basics "API $(on1 pvesm apiinfo | sed -n 's/APIVER //p')"
done
finish
