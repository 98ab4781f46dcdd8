# SPDX-License-Identifier: AGPL-3.0-or-later
# Prints what the kernel shows of SCSI, device mapper and NVMe disks, one entry a line, one blank for each level:
#
#     # text
#     sys/
#      block/
#       sda -> ../devices/...
#      devices/
#       ...
#          wwid "naa.600...\n"       content; bytes that are no printable ASCII as \n or \xNN
#
# usage: perl tree.pl TEXT
use v5.36;

use Cwd qw(realpath);
use File::Basename qw(dirname);

# Noise: what nobody decides anything by, counters and settings of the driver, and what would be a secret.
my $left_out = qr{\A(?:
    power|queue|mq|trace|integrity|bdi|subsystem|driver|firmware_node|bsg|scsi_generic|scsi_device|scsi_disk|hctx.*|hwmon.*|
    uevent|evt_.*|io.*_cnt|iocounterbits|queue_.*|inflight|stat|events.*|diskseq|capability|discard_alignment|alignment_offset|
    inquiry|device_b.*|timeout|eh_timeout|modalias|unpriv_sgio|nr_hw_queues|.*password.*|username.*|dhchap_.*|
    cpu.*|can_queue|cmd_per_lun|host_busy|proc_name|prot_.*|sg_.*|use_blk_mq|unique_id|ifaceroles|
    def_.*|.*_offload|exp_statsn|.*_timeout|chap_.*|discovery_.*|.*_auth.*|
    .*_outstanding_r2t|.*_burst_len|.*_r2t_en|immediate_data|.*_in_order|erl|keepalive_tmo|.*_(?:xmit|recv)_dlength|
    tcp_.*|ipv[46]_.*|.*digest_en|tos|is_fw_assigned_ipv6|port_.*|boot_.*|statistics|reset_.*|kato|reconnect_delay|
    vpd_pg(?:0|b.)|cdl_.*|ext_range|range|partscan|rq_based_.*|creator|local_port|.*_tmo|fast_abort|initial_r2t|nuse|
    metadata_bytes|ng\d+n\d+|eh_deadline|host_reset|blacklist|preferred_path|.*active_mode|supported_mode|
    numa_node|sqsize|queue_count|dctype|cntrltype|.*_log|passthru_.*|io_.*|delayed_removal_secs
)\z}x;

my %tree;

sub keep ($path, $entry) {
    my $at = \%tree;
    my @names = split(m{/}, $path =~ s{\A/}{}r);
    my $last = pop(@names);
    $at = $at->{$_} //= {} for @names;
    $at->{$last} //= $entry;
    return;
}

sub content_of ($path) {
    # What can only be written to.
    return '' if !((stat($path))[2] & oct(444));
    open(my $file, '<:raw', $path) or return;
    my $read = sysread($file, my $content, 4096) // return;
    return $content;
}

my %seen;

sub walk ($dir) {
    return if $seen{$dir}++;
    keep($dir, {});
    opendir(my $handle, $dir) or return;
    for my $name (sort(readdir($handle))) {
        next if $name =~ m{\A\.\.?\z} || $name =~ $left_out;
        my $path = "$dir/$name";
        if (-l $path) {
            # Not to the driver's other places.
            keep($path, \readlink($path))
                if $name =~ m{\A(?:device|(?:sd|dm-|nvme|session|connection|host).*)\z};
        } elsif (-d $path) {
            walk($path);
        } else {
            my $content = content_of($path);
            keep($path, $content) if defined($content);
        }
    }
    return;
}

# A link of a class, and what it leads to.
sub follow ($path) {
    keep($path, \readlink($path));
    walk(realpath($path));
    return;
}

for my $class (qw(iscsi_session iscsi_connection nvme nvme-subsystem)) {
    follow($_) for glob("/sys/class/$class/*");
}
follow($_) for glob('/sys/block/sd* /sys/block/dm-* /sys/block/nvme*');
follow($_) for grep({ realpath($_) =~ m{/session\d+/} } glob('/sys/bus/scsi/devices/*'));
for my $session (glob('/sys/class/iscsi_session/*')) {
    my ($host) = realpath($session) =~ m{/(host\d+)/};
    follow($_) for glob("/sys/class/scsi_host/$host /sys/class/iscsi_host/$host");
}

my $ours = qr{(?:sd|dm-|nvme|mapper/)};
for my $path (glob('/sys/class/block/*')) {
    my $real = realpath($path);
    next if !$seen{$real};
    keep($path, \readlink($path));
    # A single path of NVMe has neither number nor node.
    next if !-e "$path/dev";
    my ($name) = $path =~ m{([^/]+)\z};
    chomp(my $number = content_of("$path/dev"));
    keep("/sys/dev/block/$number", \readlink("/sys/dev/block/$number"));
    keep("/dev/$name", '');
}
for my $path (grep({ -l $_ } glob('/dev/mapper/*'))) {
    keep($path, \readlink($path));
}
for my $path ('/proc/1/mountinfo', '/proc/swaps') {
    open(my $file, '<', $path) or die("$path: $!\n");
    keep($path, join('', grep({ m{(?:\AFilename|/dev/$ours)} } readline($file))));
}

sub quoted ($text) {
    $text =~ s{([\\"])}{\\$1}g;
    $text =~ s{\n}{\\n}g;
    $text =~ s{([^\x20-\x7e])}{sprintf('\\x%02x', ord($1))}ge;
    return qq{"$text"};
}

sub show ($entries, $depth) {
    for my $name (sort(keys(%$entries))) {
        die("'$name' cannot be told from its content\n") if $name =~ m{\s};
        my $entry = $entries->{$name};
        my $kind = ref($entry);
        my $shown = $kind eq 'HASH' ? '/' : $kind ? " -> $$entry" : ' ' . quoted($entry);
        say(' ' x $depth, $name, $shown);
        show($entry, $depth + 1) if $kind eq 'HASH';
    }
    return;
}

say "# $ARGV[0]";
say '# Made by lab/record, Linux ', (split(m{-}, `uname -r`))[0];
show(\%tree, 0);
