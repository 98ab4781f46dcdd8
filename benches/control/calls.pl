# SPDX-License-Identifier: AGPL-3.0-or-later
# Times calls on a kept connection, and the same questions asked by starting a process.
use v5.36;

use List::Util qw(max);
use Time::HiRes qw(time);

use PVE::Storage::Custom::BlockioPlugin;
use PVE::Storage::Custom::Blockio::Client;

my ($path, $count) = @ARGV;
my $plugin = 'PVE::Storage::Custom::BlockioPlugin';
my $scfg = { type => 'blockio', path => $path, content => { images => 1 } };

$plugin->activate_storage('bench', $scfg, {});
my $volname = $plugin->alloc_image('bench', $scfg, 100, 'raw', undef, 1024);
my $file = $plugin->path($scfg, $volname, 'bench');

sub report ($what, $times) {
    my @sorted = sort { $a <=> $b } $times->@*;
    printf(
        "%-46s %9.3f ms median %9.3f ms 99th\n",
        $what, $sorted[@sorted / 2] * 1000, $sorted[@sorted * 0.99] * 1000
    );
    return $sorted[@sorted / 2];
}

sub sample ($n, $code) {
    return [map { my $start = time(); $code->(); time() - $start } 1 .. $n];
}

my $ping = sub { PVE::Storage::Custom::Blockio::Client::request('ping', 'bench', $scfg, {}, 4000) };
my $size = sub { scalar($plugin->volume_size_info($scfg, 'bench', $volname, 5)) };
my $status = sub { $plugin->status('bench', $scfg, {}) };
sample(200, $_) for $ping, $size, $status;

report('bridge call (ping)', sample($count, $ping));
my $ours = report('volume_size_info', sample($count, $size));
report('status', sample($count, $status));
my $process = report(
    'peer: a process per question (stat)',
    sample(
        max(50, $count / 20),
        sub {
            system('/usr/bin/stat', '--printf=', $file) == 0 or die "stat failed\n";
        }
    )
);
if (-x '/usr/bin/qemu-img') {
    report(
        'peer: qemu-img info, as a directory storage asks',
        sample(
            max(50, $count / 20),
            sub {
                open(
                    my $out, '-|', '/usr/bin/qemu-img', 'info', '--output=json', '-f', 'raw',
                    $file
                    )
                    or die "$!\n";
                1 while <$out>;
                close($out);
            }
        )
    );
}
printf("%-46s %9.1f times\n", 'process per question / volume_size_info', $process / $ours);
$plugin->free_image('bench', $scfg, $volname, 0, 'raw');
