# SPDX-License-Identifier: AGPL-3.0-or-later
# The steps of the demo, through the plugin's class as Proxmox VE calls it.
use v5.36;

use Digest::SHA;
use Time::HiRes qw(time);

use PVE::Storage::Custom::BlockioPlugin;

my ($work, $root) = @ARGV;
my $plugin = 'PVE::Storage::Custom::BlockioPlugin';
my $storeid = 'demo';
my $scfg =
    { type => 'blockio', path => "$work/array/store", content => { images => 1, rootdir => 1 } };
my $cache = {};

my $step = 0;

sub step ($title, $code) {
    my $start = time();
    my @result = $code->();
    printf("%2d. %-66s %8.1f ms\n", ++$step, $title, (time() - $start) * 1000);
    return wantarray ? @result : $result[0];
}

sub note ($text) {
    say "       $text";
    return;
}

sub run (@command) {
    system(@command) == 0 or die "demo: '@command' failed\n";
    return;
}

sub sha256 ($path) {
    return Digest::SHA->new(256)->addfile($path, 'b')->hexdigest();
}

sub path_of ($volname, $snap = undef) {
    return scalar($plugin->path($scfg, $volname, $storeid, $snap));
}

# --- the storage

step(
    'pvesm add blockio demo --path ...   (hook, activation)' => sub {
        $plugin->on_add_hook($storeid, $scfg);
        $plugin->activate_storage($storeid, $scfg, $cache);
    }
);
my ($total, $avail) = step('pvesm status' => sub { $plugin->status($storeid, $scfg, $cache) });
note(sprintf('%.1f GiB, %.1f GiB free', $total / 2**30, $avail / 2**30));

# --- a disk with real data

my $disk = step(
    'allocate a disk of 1 GiB for VM 100' => sub {
        $plugin->alloc_image($storeid, $scfg, 100, 'raw', undef, 1024 * 1024);
    }
);
note("$storeid:$disk");
$plugin->activate_volume($storeid, $scfg, $disk, undef, $cache);

my $files = -d "$root/ts" ? "$root/ts" : '/usr/share/doc';
step(
    "fill it: ext4 with the files of this project's sources" => sub {
        run('/sbin/mkfs.ext4', '-q', '-F', '-d', $files, path_of($disk));
    }
);
my $original = sha256(path_of($disk));
note("sha256 $original");

my $can_snapshot = $plugin->volume_has_feature($scfg, 'snapshot', $storeid, $disk);
my $kept = $disk;

if ($can_snapshot) {
    step("snapshot 'before'" => sub { $plugin->volume_snapshot($scfg, $storeid, $disk, 'before') });
    step(
        'change the disk: overwrite 64 MiB' => sub {
            run(
                'dd', 'if=/dev/urandom', 'of=' . path_of($disk), 'bs=1M', 'count=64',
                'seek=256', 'conv=notrunc', 'status=none'
            );
        }
    );
    my $changed = sha256(path_of($disk));
    die "demo: the disk did not change\n" if $changed eq $original;
    die "demo: the snapshot changed with its disk\n"
        if sha256(path_of($disk, 'before')) ne $original;
    note('disk changed, snapshot did not');

    my $clone = step(
        "linked clone of the snapshot for VM 101" => sub {
            $plugin->clone_image($scfg, $storeid, $disk, 101, 'before');
        }
    );
    note(
        "$storeid:$clone, holds what the disk held before: "
            . (sha256(path_of($clone)) eq $original ? 'yes' : die "demo: clone differs\n")
    );

    step(
        "roll back to 'before'" => sub {
            $plugin->volume_snapshot_rollback($scfg, $storeid, $disk, 'before');
        }
    );
    die "demo: rollback did not bring the data back\n" if sha256(path_of($disk)) ne $original;
    note('the disk is what it was');
    step(
        "delete the snapshot" => sub {
            $plugin->volume_snapshot_delete($scfg, $storeid, $disk, 'before', undef);
        }
    );

    my $base = step(
        'turn the clone into a template' => sub {
            $plugin->create_base($storeid, $scfg, $clone);
        }
    );
    my $linked = step(
        'linked clone of the template for VM 102' => sub {
            $plugin->clone_image($scfg, $storeid, $base, 102, undef);
        }
    );
    note("$storeid:$base -> $storeid:$linked");
    step(
        'free both' => sub {
            $plugin->free_image($storeid, $scfg, $linked, 0, 'raw');
            $plugin->free_image($storeid, $scfg, $base, 1, 'raw');
        }
    );
} else {
    note(
        'no snapshots and clones on this file system: the plugin says so, and the GUI greys them out'
    );
}

# --- a stream: pvesm export | pvesm import

my $copy = step(
    'export the disk and import it as a disk of VM 200 (raw+size)' => sub {
        pipe(my $reader, my $writer) or die "demo: pipe: $!\n";
        my $pid = fork() // die "demo: fork: $!\n";
        if (!$pid) {
            close($reader);
            open(STDERR, '>', '/dev/null');
            eval {
                $plugin->volume_export(
                    $scfg, $storeid, $writer, $disk, 'raw+size', undef,
                    undef, 0
                );
            };
            warn $@ if $@;
            close($writer);
            require POSIX;
            POSIX::_exit($@ ? 1 : 0);
        }
        close($writer);
        open(my $errors, '>&', \*STDERR) or die "demo: dup: $!\n";
        open(STDERR, '>', '/dev/null') or die "demo: $!\n";
        my $volid = eval {
            $plugin->volume_import(
                $scfg, $storeid, $reader, '200/vm-200-disk-0.raw',
                'raw+size', undef, undef, 0, 0
            );
        };
        my $err = $@;
        open(STDERR, '>&', $errors) or die "demo: dup: $!\n";
        waitpid($pid, 0);
        die $err if $err;
        die "demo: the export failed\n" if $?;
        return $volid =~ s/\A[^:]+://r;
    }
);
my $received = sha256(path_of($copy));
note("sha256 $received");
die "demo: the copy differs\n" if $received ne $original;
note('the copy is identical');

say '';
say '    ' . join(
    "\n    ",
    map { sprintf('%-40s %12d  VM %d', $_->{volid}, $_->{size}, $_->{vmid}) }
        $plugin->list_images($storeid, $scfg, undef, undef, $cache)->@*
);
say '';

# --- speed beside dd

my $mib = $ENV{DEMO_MIB} // 2048;
my $source = "$work/speed.raw";
my $target = "$work/speed-copy.raw";

sub timed ($command) {
    my $best;
    for (1 .. 2) {
        unlink($target);
        my $start = time();
        # A shell pipeline of constant text and our own paths, as PVE builds it for a migration.
        run('/bin/bash', '-c', "set -o pipefail; $command");
        my $took = time() - $start;
        $best = $took if !defined($best) || $took < $best;
    }
    return $best;
}

say "The stream beside today's pipeline, on a sparse image of $mib MiB that holds real files:";
run('truncate', '-s', "${mib}M", $source);
run('/sbin/mkfs.ext4', '-q', '-F', '-d', $files, $source);
my $cli = "$root/bin/pve-blockio";
my $theirs =
    timed("dd if=$source bs=4k status=none | dd of=$target conv=sparse bs=64k status=none");
my $digest = sha256($source);
die "demo: dd made a different copy\n" if sha256($target) ne $digest;
my $ours = timed(
    "$cli export --device $source --no-progress | $cli import --device $target --no-progress >/dev/null"
);
die "demo: our copy differs\n" if sha256($target) ne $digest;
printf(
    "    dd bs=4k | dd conv=sparse bs=64k           %6.2f s  %7.0f MiB/s\n", $theirs,
    $mib / $theirs
);
printf(
    "    pve-blockio export | pve-blockio import    %6.2f s  %7.0f MiB/s   %.1f times as fast, same SHA-256\n",
    $ours, $mib / $ours, $theirs / $ours
);

# --- the end

step(
    'free what is left' => sub {
        for my $volume ($plugin->list_images($storeid, $scfg, undef, undef, $cache)->@*) {
            $plugin->free_image($storeid, $scfg, $volume->{volid} =~ s/\A[^:]+://r, 0, 'raw');
        }
    }
);
my $left = $plugin->list_images($storeid, $scfg, undef, undef, $cache);
die "demo: something is left\n" if $left->@*;
say "\nDone. Nothing is left of it. The same steps run on every PVE node: see README.md.";
