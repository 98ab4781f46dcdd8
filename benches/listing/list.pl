# SPDX-License-Identifier: AGPL-3.0-or-later
# Times list_images of one guest, and the peer: the array's list, decoded here.
use v5.36;

use HTTP::Tiny;
use JSON;
use Time::HiRes qw(time);

use PVE::Storage::Custom::StorpoolPlugin;

my ($url, $token, $count) = @ARGV;
my $plugin = 'PVE::Storage::Custom::StorpoolPlugin';
my $scfg = { type => 'storpool', template => 'nvme', content => { images => 1 } };

sub report ($what, $code) {
    my @times =
        sort { $a <=> $b } map { my $start = time(); $code->(); time() - $start } 1 .. $count;
    printf(
        "%-46s %9.3f ms median %9.3f ms longest\n", $what, $times[@times / 2] * 1000,
        $times[-1] * 1000
    );
    return $times[@times / 2];
}

my $list = sub ($vmid = 120) {
    my $found = $plugin->list_images('sp', $scfg, $vmid);
    die "expected one disk\n" if defined($vmid) && $found->@* != 1;
};
my $http =
    HTTP::Tiny->new(keep_alive => 1, default_headers => { Authorization => "Storpool v1:$token" });
my $peer = sub {
    my $reply = $http->get("$url/ctrl/1.0/VolumesAndSnapshotsList");
    die "$reply->{status}\n" if !$reply->{success};
    my $volumes = decode_json($reply->{content})->{data}->{volumes};
    my @found = grep { ($_->{tags}->{'pve-vm'} // '') eq '120' } $volumes->@*;
    die "expected one disk\n" if @found != 1;
};
$_->() for $list, $peer;
my $ours = report('disks of one guest', $list);
report('all disks', sub { $list->(undef) });
my $theirs = report('peer: the list decoded in Perl', $peer);
printf("%-46s %9.1f times\n", 'peer / disks of one guest', $theirs / $ours);
