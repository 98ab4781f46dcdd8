#!/usr/bin/perl
# SPDX-License-Identifier: AGPL-3.0-or-later

# Export and import: how the child is started, what becomes of its output, and of itself.

use v5.36;

use FindBin;
use lib map { /\A(.+)\z/ } map { "$FindBin::Bin/$_" } qw(lib helper ../lib);

use Cwd ();
use JSON ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

use Blockio::Test;

my ($blockio, $blocktest) = load_types();
my $scfg = blockio_scfg();
my $disk = '100/vm-100-disk-0.raw';
my $subvol = '100/subvol-100-disk-0.subvol';
my $dir = scratch_dir();

my sub slurp($file) {
    open(my $fh, '<:raw', $file) or die "$file: $!\n";
    return do { local $/ = undef; <$fh> };
}

# A program in place of ours: notes how it was called, then does as told.
my sub program($body) {
    my $file = "$dir/program";
    open(my $fh, '>', $file) or die "$file: $!\n";
    print {$fh} "#!/bin/sh\nprintf '%s\\n' \"\$@\" >'$dir/arguments'\n";
    print {$fh} "printf '%s' \"\$PVE_BLOCKIO_SCFG\" >'$dir/scfg'\necho \$\$ >'$dir/pid'\n$body\n";
    close($fh) or die "$file: $!\n";
    chmod(0755, $file) or die "$file: $!\n";
    $ENV{PVE_BLOCKIO_CLI} = taint($file);
    return;
}

# What the code prints on standard error.
my sub stderr_of($code) {
    open(my $saved, '>&', \*STDERR) or die "stderr: $!\n";
    open(STDERR, '>', "$dir/stderr") or die "stderr: $!\n";
    my $lived = eval { $code->(); 1 };
    my $err = $@;
    open(STDERR, '>&', $saved) or die "stderr: $!\n";
    die $err if !$lived;
    return slurp("$dir/stderr");
}

my sub export_to_file(@arguments) {
    open(my $fh, '>', "$dir/stream") or die "stream: $!\n";
    my $err = dies_with(sub {
        stderr_of(sub { $blockio->volume_export($scfg, 'store', $fh, @arguments) });
    });
    close($fh) or die "stream: $!\n";
    return $err;
}

my sub import_from_file(@arguments) {
    open(my $fh, '<', "$dir/stream") or die "stream: $!\n";
    my $volid;
    my $err = dies_with(sub {
        stderr_of(sub { $volid = $blockio->volume_import($scfg, 'store', $fh, @arguments) });
    });
    return ($volid, $err);
}

my sub arguments() {
    return [split(/\n/, slurp("$dir/arguments"))];
}

# an environment such as a web server's children may have
$ENV{PATH} = taint('/usr/bin:/bin');
$ENV{BASH_ENV} = taint('/dev/null');

# export
program(q{printf 'header and data'; echo 'one' >&2; echo 'two' >&2});
my $log = stderr_of(sub {
    open(my $fh, '>', "$dir/stream") or die "stream: $!\n";
    $blockio->volume_export($scfg, 'store', $fh, taint($disk), 'raw+size', undef, undef, 0);
    close($fh) or die "stream: $!\n";
});
is(slurp("$dir/stream"), 'header and data', 'the stream is what the program writes');
is($log, "one\ntwo\n", 'its messages are in the task log, line by line');
is_deeply(arguments(), ['export', "store:$disk"], 'it gets the volume ID');
my $sent = JSON->new->utf8->decode(slurp("$dir/scfg"));
is($sent->{storeid}, 'store', '... the storage ID by environment');
is($sent->{scfg}->{path}, '/srv/store', '... and its section');
ok(!exists($ENV{PVE_BLOCKIO_SCFG}), '... which is not left behind');
my ($logged) = reverse(PVE::Tools::commands());
ok(!(grep { !m{\A[A-Za-z0-9_./:+\@~-]+\z} } $logged->@*), 'no shell could misread the command');
like($logged->[0], qr{\A/}, '... whose path is absolute');

export_to_file($disk, 'raw+size', taint('before'), undef, 0);
is_deeply(arguments(), ['export', "store:$disk", '--snapshot', 'before'], 'a snapshot is exported');

program(q{echo '10 bytes copied' >&2; echo 's1: no such volume (absent)' >&2; exit 3});
is(
    export_to_file($disk, 'raw+size'),
    "store: volume_export '$disk': s1: no such volume (absent)\n",
    'its last message is the reason why it failed',
);
program('exit 7');
like(
    export_to_file($disk, 'raw+size'), qr/\Astore: volume_export '\Q$disk\E': exit code 7\n\z/,
    'without one its status is'
);
program('kill -9 $$');
like(
    export_to_file($disk, 'raw+size'), qr/\Astore: volume_export '\Q$disk\E': got signal/,
    'a signal is named'
);

unlink("$dir/arguments");
for my $case (
    [[$disk, 'raw+size', undef, undef, 1], qr/together with its snapshots/],
    [[$disk, 'raw+size', undef, undef, ['s1']], qr/together with its snapshots/],
    [[$disk, 'raw+size', 's2', 's1', 0], qr/as a difference/],
    [[$disk, 'qcow2+size'], qr/in format 'qcow2\+size'/],
    [[$subvol, 'raw+size'], qr/in format 'raw\+size'/],
    [['100/vm-101-disk-0.raw', 'raw+size'], qr/unable to parse/],
    [[$disk, 'raw+size', '--device'], qr/invalid name/],
) {
    my ($arguments, $expected) = $case->@*;
    like(
        export_to_file($arguments->@*),
        $expected,
        'refused: export of ' . join(
            ' ',
            map { $_ // '-' } $arguments->@*
        )
    );
}
ok(!-e "$dir/arguments", '... without a child');
program('echo archive');
is(export_to_file($subvol, 'tar+size'), 'lived', 'a container directory');
is(slurp("$dir/stream"), "archive\n", '... is what the program writes');
is_deeply(arguments(), ['export', "store:$subvol"], '... which is told the volume');

# import
program(q{cat >"$0.in"; echo 'copied' >&2; echo "store:100/vm-100-disk-7.raw"});
open(my $stream, '>', "$dir/stream") or die "stream: $!\n";
print {$stream} 'header and data';
close($stream) or die "stream: $!\n";
my ($volid, $err) = import_from_file(taint($disk), 'raw+size', undef, undef, 0, 1);
is($err, 'lived', 'import');
is($volid, 'store:100/vm-100-disk-7.raw', 'the volume ID is what the program says');
ok(!Scalar::Util::tainted($volid), '... untainted');
is(slurp("$dir/program.in"), 'header and data', 'the program reads the stream');
is_deeply(
    arguments(),
    ['import', "store:$disk", '--format', 'raw+size', '--allow-rename'],
    'it may choose another name'
);
import_from_file($disk, 'raw+size', undef, undef, 0, 0);
is_deeply(arguments(), ['import', "store:$disk", '--format', 'raw+size'], '... or not');
program("echo 'store:$subvol'");
($volid, $err) = import_from_file($subvol, 'tar+size');
is($volid, "store:$subvol", 'import of a container directory');
is_deeply(
    arguments(), ['import', "store:$subvol", '--format', 'tar+size'],
    '... in the format that it has'
);

for my $said (
    '', 'done', 'other:100/vm-100-disk-0.raw', 'store:101/vm-101-disk-0.raw',
    'store:../x', 'store:iso/a.iso'
) {
    program("echo '$said'");
    ($volid, $err) = import_from_file($disk, 'raw+size');
    like(
        $err, qr/\Apve-blockio service sent an invalid [^\n]*\n\z/,
        "'$said' is not taken for the new volume"
    );
}
program(q{echo "store: '100/x' exists (exists)" >&2; exit 4});
($volid, $err) = import_from_file($disk, 'raw+size');
is($err, "store: volume_import '$disk': store: '100/x' exists (exists)\n", 'why it failed is said');
for my $arguments (
    [$disk, 'raw+size', undef, undef, 1], [$disk, 'raw+size', undef, 's1', 0],
    [$disk, 'tar+size'], [$subvol, 'raw+size']
) {
    ($volid, $err) = import_from_file($arguments->@*);
    like(
        $err, qr/\Acannot import/,
        'refused: import of ' . join(' ', map { $_ // '-' } $arguments->@*)
    );
}

# formats
my sub formats($direction, $volname, @arguments) {
    my $method = "volume_${direction}_formats";
    return [$blockio->$method($scfg, 'store', $volname, @arguments)];
}
for my $direction (qw(export import)) {
    is_deeply(formats($direction, $disk, undef, undef, 0), ['raw+size'], "$direction of a disk");
    is_deeply(formats($direction, $subvol, undef, undef, 0), ['tar+size'], '... of a directory');
    is_deeply(formats($direction, $disk, undef, undef, 1), [], '... with snapshots');
    is_deeply(formats($direction, $disk, 's2', 's1', 0), [], '... of a difference');
}
is_deeply(formats('export', $disk, 's1', undef, 0), ['raw+size'], 'export of a snapshot');
is_deeply(formats('export', $subvol, 's1', undef, 0), ['tar+size'], '... of a directory');

# the child does not outlive the task
SKIP: {
    skip('no setpriv', 1) if !-x '/usr/bin/setpriv';
    unlink("$dir/pid");
    program('exec sleep 60');
    my $task = fork() // die "fork: $!\n";
    if (!$task) {
        open(my $null, '>', '/dev/null') or POSIX::_exit(1);
        eval { $blockio->volume_export($scfg, 'store', $null, $disk, 'raw+size') };
        POSIX::_exit(0);
    }
    for (1 .. 100) {
        last if -s "$dir/pid";
        sleep(0.05);
    }
    my $child = untaint(slurp("$dir/pid")) + 0;
    kill('KILL', $task);
    waitpid($task, 0);
    my $alive = 1;
    for (1 .. 100) {
        # a zombie nobody waits for is dead as well
        $alive = -e "/proc/$child" && slurp("/proc/$child/stat") !~ /\) Z /;
        last if !$alive;
        sleep(0.05);
    }
    ok(!$alive, 'a program whose task was killed ends');
}

done_testing();
