# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage::Custom::Blockio::Client;

use v5.36;

use Errno qw(EACCES EAGAIN ECONNREFUSED ECONNRESET EINTR ENOENT);
use Fcntl qw(F_SETFD FD_CLOEXEC);
use JSON ();
use Socket qw(AF_UNIX MSG_NOSIGNAL SOCK_NONBLOCK SOCK_STREAM pack_sockaddr_un);
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

use PVE::Storage::Custom::Blockio::Value qw(one_line);

use constant DEFAULT_SOCKET => '/run/pve-blockio/bridge.sock';

# The service reports at least once a second while it works on a call.
use constant SILENCE_SECONDS => 4;
# The service is told the deadline; what it answers at the last moment should still arrive.
use constant GRACE_SECONDS => 1;
use constant MAX_LINE_BYTES => 4 * 1024 * 1024;

use constant {
    PROBE_MS => 4_000, # pvestatd asks one storage after the other, every ten seconds
    READ_MS => 10_000,
    HOOK_MS => 30_000, # inside the lock of storage.cfg, which ends after 60 s
    LOCKED_MS => 50_000, # inside the cluster-wide storage lock, which ends after 60 s
    DEVICE_MS => 120_000,
    CHANGE_MS => 600_000,
    BULK_MS => 14_400_000, # preallocation and rollback may write every byte of a volume
};

my $DEADLINE_MS = {
    (map { $_ => PROBE_MS } qw(ping check_connection activate_storage status capabilities)),
    (
        map { $_ => READ_MS }
            qw(get_identity list_images find_free_diskname volume_size_info volume_snapshot_info),
        qw(volume_rollback_is_possible),
    ),
    (map { $_ => HOOK_MS } qw(on_add_hook on_update_hook on_delete_hook)),
    (map { $_ => DEVICE_MS } qw(activate_volume deactivate_volume map_volume unmap_volume)),
    (map { $_ => BULK_MS } qw(alloc_image volume_resize volume_snapshot_rollback)),
};

# PVE holds the storage lock around these.
my $LOCKED = { map { $_ => 1 } qw(alloc_image free_image clone_image create_base rename_volume) };

my $KNOWN_CODE = {
    map { $_ => 1 }
        qw(absent exists busy refused unreachable auth no-space timeout unsupported invalid internal)
};

my $HELP = "check 'systemctl status pve-blockio.service'";

# The connection that the next call may use, when no call is under way.
my $kept;
my $last_id = 0;
# Until when a service that was silent is not asked again by a probe.
my $silent_until = 0;

# Thrown inside this module only; whatever else is thrown passes through, such as the exceptions
# of the caller's signal handlers.
my $FAILURE = __PACKAGE__ . '::Failure';

my sub fail($code, $message) {
    die bless({ code => $code, message => $message }, $FAILURE);
}

my sub now() {
    return clock_gettime(CLOCK_MONOTONIC);
}

my sub socket_path() {
    my ($override) = ($ENV{PVE_BLOCKIO_SOCKET} // '') =~ m{\A(/[A-Za-z0-9_./:+\@~=,-]{1,106})\z};
    return $override // DEFAULT_SOCKET;
}

# No alarm() anywhere: a pending one belongs to the caller and must go off.
my sub wait_for($fh, $for_write, $until) {
    my $left = $until - now();
    $left = 0 if $left < 0;
    my $bits = '';
    vec($bits, fileno($fh), 1) = 1;
    my ($readable, $writable) = $for_write ? (undef, $bits) : ($bits, undef);
    my $found = select($readable, $writable, undef, $left);
    return $found > 0 || now() < $until;
}

my sub fail_silent() {
    $silent_until = now() + SILENCE_SECONDS;
    fail(unreachable => "pve-blockio service does not answer; $HELP");
}

# A service that has just ended may be on its way back.
my sub connect_service($limit, $is_restarting) {
    my $path = socket_path();
    my $until = now() + SILENCE_SECONDS;
    $until = $limit if $limit < $until;

    socket(my $fh, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0) or fail(internal => "no socket: $!");
    # Perl does so by itself, but not where a closed standard descriptor's number is reused
    fcntl($fh, F_SETFD, FD_CLOEXEC) or fail(internal => "no socket: $!");
    until (connect($fh, pack_sockaddr_un($path))) {
        my $errno = $! + 0;
        my $error = "$!";
        if ($errno == EAGAIN || $errno == EINTR) {
            # the queue of the listening socket is full
            fail_silent() if now() >= $until;
            sleep(0.05);
            next;
        }
        if ($errno == ENOENT || $errno == ECONNREFUSED) {
            fail(unreachable => "pve-blockio service is not running; $HELP")
                if !$is_restarting || now() >= $until;
            sleep(0.1);
            next;
        }
        fail(refused => "socket '$path' is not accessible: only root may use the storage")
            if $errno == EACCES;
        fail(unreachable => "cannot connect to socket '$path': $error; $HELP");
    }
    return { fh => $fh, pid => $$, path => $path, buffer => '' };
}

# Takes the connection out of its place, so that it is closed by going out of scope whenever a
# call is left halfway, and a child closes its copy of the one of its parent.
my sub take_kept() {
    my $connection = $kept;
    $kept = undef;
    return if !$connection || $connection->{pid} != $$ || $connection->{path} ne socket_path();
    # readable between two calls: closed, or out of step
    return if wait_for($connection->{fh}, 0, now());
    return $connection;
}

# True when the whole line went out.
my sub send_line($connection, $line, $limit) {
    my $until = now() + SILENCE_SECONDS;
    my $sent = 0;
    while ($sent < length($line)) {
        my $chunk = $sent ? substr($line, $sent) : $line;
        my $count = send($connection->{fh}, $chunk, MSG_NOSIGNAL);
        if (defined($count)) {
            $sent += $count;
        } elsif ($! == EAGAIN) {
            wait_for($connection->{fh}, 1, $until) or fail_silent();
        } elsif ($! != EINTR) {
            return 0;
        }
    }
    return 1;
}

my sub decode_reply($line, $id) {
    my $reply = eval { JSON->new->utf8->max_depth(32)->decode($line) };
    # anything but a complaint of the parser is a signal handler's
    die $@ if $@ && $@ !~ /character offset/;
    fail(internal => "pve-blockio service sent an unreadable reply; $HELP")
        if ref($reply) ne 'HASH'
        || ref($reply->{id})
        || ($reply->{id} // '') !~ /\A[0-9]+\z/
        || $reply->{id} != $id
        || !(exists($reply->{result}) || ref($reply->{error}) eq 'HASH' || $reply->{working});
    return $reply;
}

# The next line, or nothing when the connection is closed.
my sub read_line($connection, $limit) {
    my $until = now() + SILENCE_SECONDS;
    while (index($connection->{buffer}, "\n") < 0) {
        fail(internal => "pve-blockio service sent an overlong reply; $HELP")
            if length($connection->{buffer}) > MAX_LINE_BYTES;
        if (!wait_for($connection->{fh}, 0, $until < $limit ? $until : $limit)) {
            fail_silent() if $until < $limit;
            fail(unreachable => "pve-blockio service has no result in time; $HELP");
        }
        my $count =
            sysread($connection->{fh}, $connection->{buffer}, 65536, length($connection->{buffer}));
        next if !defined($count) && ($! == EAGAIN || $! == EINTR);
        $connection->{unread} = !defined($count) && $! == ECONNRESET;
        return if !$count;
    }
    return substr($connection->{buffer}, 0, index($connection->{buffer}, "\n") + 1, '');
}

# The reply, or nothing as above.
my sub receive_reply($connection, $id, $limit) {
    my $reply = { working => 1 };
    while ($reply->{working}) {
        my $line = read_line($connection, $limit) // return;
        $reply = decode_reply($line, $id);
    }
    return $reply;
}

# Reply and whether the service may have read the whole request. The kernel resets a connection
# whose request lies there unread, such as one in the queue of a socket that is being closed.
my sub exchange($connection, $line, $id, $limit) {
    my $sent = send_line($connection, $line, $limit);
    my $reply = $sent ? receive_reply($connection, $id, $limit) : undef;
    $sent = 0 if $connection->{unread};
    # nothing may follow a reply, so what is left would belong to no call
    $kept = $connection if $reply && $connection->{buffer} eq '';
    return ($reply, $sent);
}

# A request whose connection is lost is sent once more. Every method can be repeated, and where the
# service has made something already it knows so by the token of the request. A third time would
# only end a service once more that ends by this very request.
my sub transact($line, $id, $limit) {
    my $connection = take_kept();
    my $times_sent = 0;
    my $is_restarting = 0;
    for my $attempt (1 .. 4) {
        $connection //= connect_service($limit, $is_restarting);
        my ($reply, $sent) = exchange($connection, $line, $id, $limit);
        return $reply if $reply;
        $times_sent += $sent;
        last if $times_sent == 2;
        $is_restarting ||= $sent || $connection->{unread};
        $connection = undef;
        # what ends may accept connections until it has ended
        sleep(0.1) if $is_restarting;
    }
    fail(unreachable => "pve-blockio service ended in the middle of the call; $HELP");
    return;
}

sub deadline_ms($method, $under_cluster_lock = 0, $at_most_seconds = undef) {
    my $ms = $DEADLINE_MS->{$method} // CHANGE_MS;
    $ms = LOCKED_MS if $under_cluster_lock && $LOCKED->{$method};
    my $cap = ($at_most_seconds // 0) * 1000;
    return $cap > 0 && $cap < $ms ? int($cap) : $ms;
}

sub request($method, $storeid, $scfg, $args, $deadline_ms) {
    my $id = ++$last_id;
    my $reply = eval {
        fail(unreachable => "pve-blockio service did not answer a moment ago; $HELP")
            if $deadline_ms <= PROBE_MS && now() < $silent_until;

        my $line = JSON->new->utf8->canonical->encode({
            id => $id,
            method => $method,
            storeid => $storeid,
            scfg => $scfg,
            args => $args,
            request => sprintf('%d-%x-%x-%d', $$, now() * 1_000_000, rand(2**32), $id),
            deadlineMs => $deadline_ms,
        }) . "\n";
        fail(invalid => 'the request is too large') if length($line) > MAX_LINE_BYTES;
        transact($line, $id, now() + $deadline_ms / 1000 + GRACE_SECONDS);
    };
    if (!$reply) {
        my $err = $@;
        die $err if ref($err) ne $FAILURE;
        return (undef, { code => $err->{code}, message => $err->{message} });
    }
    $silent_until = 0;
    return ($reply->{result}, undef) if !$reply->{error};

    my $code = $reply->{error}->{code} // '';
    return (
        undef,
        {
            code => $KNOWN_CODE->{$code} ? $code : 'internal',
            message => one_line($reply->{error}->{message} // 'no message'),
        },
    );
}

sub disconnect() {
    $kept = undef;
    $silent_until = 0;
    return;
}

1;

__END__

=head1 NAME

PVE::Storage::Custom::Blockio::Client - calls to pve-blockio.service

=head1 DESCRIPTION

One JSON object per line over a Unix stream socket. One connection per process is kept for the next
call; a forked child makes its own. A call that is left by an exception, for instance of the
caller's SIGALRM handler, closes its connection, and the service then undoes what it was doing.

While the service works on a call it says so every second. Four seconds without a line mean that it
hangs, whatever the deadline of the call.

A request whose connection is lost, because the service was restarted, is sent once more with the
same token: the service then knows what it has made for it already.

Everything that is returned is tainted.

=head1 FUNCTIONS

=over

=item request($method, $storeid, $scfg, $args, $deadline_ms)

The result and C<undef>, or C<undef> and a hash with C<code> and C<message> (one line). What signal
handlers throw passes through.

=item deadline_ms($method, $under_cluster_lock, $at_most_seconds)

The deadline of a method in milliseconds, shorter while PVE's own time limit for code under its
cluster-wide lock runs, and never longer than what the caller allows.

=item disconnect()

Forgets the kept connection.

=back

=head1 ENVIRONMENT

C<PVE_BLOCKIO_SOCKET> names another socket, as an absolute path; for development and tests.

=cut
