# SPDX-License-Identifier: AGPL-3.0-or-later
# Child processes, each with the plugin as PVE's tasks have it, all at once.
use v5.36;

use Fcntl qw(SEEK_SET);
use File::Find ();
use POSIX ();

use PVE::Storage::Custom::BlockioPlugin;

my ($path, $work) = @ARGV;
my $plugin = 'PVE::Storage::Custom::BlockioPlugin';
my $storeid = 'stress';
my $scfg = { type => 'blockio', path => $path, content => { images => 1 } };
my $rounds = $ENV{STRESS_ROUNDS} // 3;
my ($passed, $failed) = (0, 0);

sub ok ($good, $what) {
    $good ? $passed++ : $failed++;
    say(($good ? 'ok' : 'not ok') . " - $what");
    return $good;
}

sub path_of ($volname, $snap = undef) {
    return scalar($plugin->path($scfg, $volname, $storeid, $snap));
}

sub write_mark ($volname, $mark) {
    open(my $fh, '+<:raw', path_of($volname)) or die "open $volname: $!\n";
    print {$fh} $mark;
    close($fh) or die "close $volname: $!\n";
    return;
}

sub read_mark ($file, $length) {
    open(my $fh, '<:raw', $file) or die "open $file: $!\n";
    read($fh, my $data, $length);
    close($fh);
    return $data;
}

# One volume through its life. $target is the guest that it is handed to. Names that were given go to the log.
sub life ($vmid, $target, $mark, $log) {
    my $named = sub ($volname) { syswrite($log, "$volname\n"); return $volname };
    my $is = sub ($file, $expected, $what) {
        my $found = read_mark($file, length($expected));
        die "$what holds '$found', not '$expected'\n" if $found ne $expected;
    };
    my $disk = $named->($plugin->alloc_image($storeid, $scfg, $vmid, 'raw', undef, 4096));
    $plugin->activate_volume($storeid, $scfg, $disk, undef, {});
    write_mark($disk, "$mark-one");
    my $copy;
    if ($plugin->volume_has_feature($scfg, 'snapshot', $storeid, $disk)) {
        $plugin->volume_snapshot($scfg, $storeid, $disk, 'snap1');
        write_mark($disk, "$mark-two");
        $copy = $named->($plugin->clone_image($scfg, $storeid, $disk, $target, 'snap1'));
        $is->(path_of($copy), "$mark-one", 'clone');
        $plugin->volume_snapshot_rollback($scfg, $storeid, $disk, 'snap1');
        $is->(path_of($disk), "$mark-one", 'volume after rollback');
        $plugin->volume_snapshot_delete($scfg, $storeid, $disk, 'snap1', undef);
    }
    my $renamed = $plugin->rename_volume($scfg, $storeid, $disk, $target, undef) =~ s/\A[^:]+://r;
    $named->($renamed);
    $is->(path_of($renamed), "$mark-one", 'renamed volume');
    open(my $null, '>', '/dev/null') or die "$!\n";
    $plugin->volume_export($scfg, $storeid, $null, $renamed, 'raw+size', undef, undef, 0);
    $plugin->volume_resize($scfg, $storeid, $renamed, 8192 * 1024, 0);
    my $size = $plugin->volume_size_info($scfg, $storeid, $renamed, 30);
    die "size is $size\n" if $size != 8192 * 1024;
    $plugin->free_image($storeid, $scfg, $_, 0, 'raw') for grep { defined } $renamed, $copy;
    return;
}

sub together ($count, $title, $vmids) {
    my %children;
    for my $n (0 .. $count - 1) {
        my $pid = fork() // die "fork: $!\n";
        if ($pid) {
            $children{$pid} = $n;
            next;
        }
        open(my $log, '>>', "$work/names.$n") or POSIX::_exit(2);
        open(STDERR, '>', "$work/errors.$n") or POSIX::_exit(2);
        eval {
            life($vmids->($n), "process$n-round$_", $log) for 1 .. $rounds;
            1;
        } or do {
            print STDERR "FAILED: $@";
            POSIX::_exit(1);
        };
        POSIX::_exit(0);
    }
    while (%children) {
        my $pid = wait();
        my $n = delete($children{$pid}) // next;
        next if $? == 0;
        open(my $fh, '<', "$work/errors.$n") or die "$!\n";
        my ($why) = reverse grep { /FAILED/ } <$fh>;
        ok(0, "$title: process $n: " . ($why // "status $?"));
    }
    ok(1, "$title: all $count processes ended");
    return;
}

sub leftovers() {
    my @files;
    File::Find::find({ wanted => sub { push @files, $_ if !-d }, no_chdir => 1 }, $path);
    return @files;
}

$plugin->activate_storage($storeid, $scfg, {});

together(64, '64 processes of different guests', sub ($n) { return (1000 + $n, 2000 + $n) });
ok(!leftovers(), 'nothing is left: ' . (join(', ', leftovers()) || 'no file'));
together(8, '8 processes of one guest', sub ($n) { return (500, 500) });
ok(!leftovers(), 'nothing is left: ' . (join(', ', leftovers()) || 'no file'));

# 8 processes allocate for one guest without freeing: every name is given once.
my %seen;
pipe(my $reader, my $writer) or die "pipe: $!\n";
my @pids = map {
    my $pid = fork() // die "fork: $!\n";
    if (!$pid) {
        close($reader);
        for (1 .. 16) {
            my $volname =
                eval { $plugin->alloc_image($storeid, $scfg, 600, 'raw', undef, 1024) }
                // "error: $@";
            syswrite($writer, $volname =~ s/\n//gr . "\n");
        }
        POSIX::_exit(0);
    }
    $pid;
} 1 .. 8;
close($writer);
while (defined(my $name = <$reader>)) {
    chomp($name);
    $seen{$name}++;
}
waitpid($_, 0) for @pids;
ok(keys(%seen) == 128 && !grep({ $_ > 1 } values %seen), '128 volumes of one guest have 128 names');
ok(
    !grep({ !m{\A600/vm-600-disk-[0-9]+\.raw\z} } keys %seen),
    'each of them is a name that PVE expects'
);
$plugin->free_image($storeid, $scfg, $_, 0, 'raw') for keys %seen;
ok(!leftovers(), 'nothing is left: ' . (join(', ', leftovers()) || 'no file'));

say "$passed passed, $failed failed";
exit($failed ? 1 : 0);
