#!/usr/bin/perl
# SPDX-License-Identifier: AGPL-3.0-or-later

# Calls to a service that behaves, one that does not, and one that is not there.

use v5.36;

use FindBin;
use lib map { /\A(.+)\z/ } map { "$FindBin::Bin/$_" } qw(lib helper ../lib);

use POSIX ();
use Socket qw(MSG_NOSIGNAL);
use Test::More;
use Time::HiRes qw(sleep time);

use Blockio::Test;

use PVE::Storage::Custom::Blockio::Client;

my sub request($method, $args = {}, $deadline_ms = 10_000) {
    return PVE::Storage::Custom::Blockio::Client::request($method, 's1', {}, $args, $deadline_ms);
}

# 'result: ...' or 'code: message'
my sub outcome(@call) {
    my ($result, $error) = request(@call);
    return $error ? "$error->{code}: $error->{message}" : "result: $result";
}

my sub connections($service) {
    my %seen = map { $_->{connection} => 1 } grep { $_->{method} } requests($service);
    return scalar(keys %seen);
}

my sub calls($service) {
    return map { $_->{method} } grep { $_->{method} } requests($service);
}

# Waits until that many calls have come, and a little longer for the answer to go.
my sub await_calls($service, $count) {
    for (1 .. 400) { last if calls($service) >= $count }
    sleep(0.5);
    return;
}

my sub fresh($handlers, %options) {
    PVE::Storage::Custom::Blockio::Client::disconnect();
    return start_service($handlers, %options);
}

# Answers each call with a text in place of a proper line, and closes the connection.
my sub answer_with($text) {
    return sub ($request) {
        return sub ($fh, $id) {
            send($fh, $text =~ s/ID/$id/gr, MSG_NOSIGNAL) if $text ne '';
            return 0;
        };
    };
}

my $echo = sub ($request) { $request->{args}->{text} // 'pong' };

subtest 'a service that behaves' => sub {
    my $service = fresh({
        ping => $echo,
        free_image => sub { die "busy: volume is in\nuse\n" },
        status => sub { die "strange: x\n" },
    });
    is(outcome('ping'), 'result: pong', 'a call gets its result');
    is(
        outcome('ping', { text => "\x{e4}\x{2028}" }), "result: \x{e4}\x{2028}",
        'UTF-8 goes there and back'
    );
    is(
        outcome('free_image'), 'busy: volume is in use',
        'an error has its code, and is one line'
    );
    is(outcome('status'), 'internal: x', 'a code that nobody knows is internal');
    is(outcome('ping'), 'result: pong', 'an error leaves the connection usable');
    is(connections($service), 1, 'all calls went through one connection');
    my ($first) = requests($service);
    is_deeply(
        [$first->@{qw(method storeid deadlineMs)}],
        ['ping', 's1', 10_000], 'the request has method, storage and deadline',
    );
    my %ids = map { $_->{id} => 1 } requests($service);
    is(scalar(keys %ids), 5, 'each call has its own id');
    stop_service($service);
};

subtest 'long lines' => sub {
    my $service = fresh({ ping => $echo, status => sub { return 'y' x (5 * 1024 * 1024) } });
    my $text = 'x' x (3 * 1024 * 1024);
    is(outcome('ping', { text => $text }), "result: $text", '3 MiB go there and back');
    like(
        outcome('ping', { text => $text x 2 }), qr/\Ainvalid: /,
        'no request above 4 MiB is sent'
    );
    like(outcome('status'), qr/\Ainternal: .* overlong reply/, 'no reply above 4 MiB is taken');
    is(outcome('ping'), 'result: pong', 'the next call works');
    stop_service($service);
};

subtest 'a service that is not there' => sub {
    PVE::Storage::Custom::Blockio::Client::disconnect();
    my $help = qr/check 'systemctl status pve-blockio\.service'/;
    my $start = time();
    local $ENV{PVE_BLOCKIO_SOCKET} = scratch_dir() . '/none.sock';
    like(outcome('ping'), qr/\Aunreachable: .* is not running; $help/, 'no socket');
    my $service = start_service({ ping => $echo });
    stop_service($service);
    like(outcome('ping'), qr/\Aunreachable: .* is not running; $help/, 'nobody listens');
    local $ENV{PVE_BLOCKIO_SOCKET} = undef;
    like(outcome('ping'), qr/\Aunreachable: .* is not running/, 'the default socket')

        if !-e '/run/pve-blockio/bridge.sock';
    cmp_ok(time() - $start, '<', 3, 'that is said at once');
};

for my $case (
    ['sends no JSON', "hello\n", qr/internal: .* unreadable/],
    ['sends an empty line', "\n", qr/internal: .* unreadable/],
    ['sends a list', "[ID]\n", qr/internal: .* unreadable/],
    ['sends invalid UTF-8', qq({"id":ID,"result":"\xff"}\n), qr/internal: .* unreadable/],
    ['answers another call', qq({"id":99999,"result":1}\n), qr/internal: .* unreadable/],
    ['answers no call', qq({"result":1}\n), qr/internal: .* unreadable/],
    ['answers with neither result nor error', qq({"id":ID}\n), qr/internal: .* unreadable/],
    ['sends an error without a code', qq({"id":ID,"error":{}}\n), qr/internal: no message/],
    ['sends an error that is none', qq({"id":ID,"error":"x"}\n), qr/internal: .* unreadable/],
    ['nests deeply', '[' x 1000 . "\n", qr/internal: .* unreadable/],
) {
    my ($title, $text, $expected) = $case->@*;
    my $service = fresh({ ping => answer_with($text), status => $echo });
    like(outcome('ping'), qr/\A$expected/, "a service that $title");
    is(outcome('status'), 'result: pong', '... is asked again by the next call');
    is(scalar(calls($service)), 2, '... and was not asked twice for the first');
    stop_service($service);
}

subtest 'data behind a reply' => sub {
    my $service = fresh({
        ping => sub ($request) {
            return sub ($fh, $id) {
                my $line = qq({"id":$id,"result":"a"}\n);
                return send($fh, $line . $line, MSG_NOSIGNAL);
            };
        },
    });
    is(outcome('ping'), 'result: a', 'the first reply counts');
    is(outcome('ping'), 'result: a', 'the second is not taken for that of the next call');
    is(connections($service), 2, 'the connection was given up');
    stop_service($service);
};

subtest 'a service that was restarted between two calls' => sub {
    for my $case (['ping', {}], ['alloc_image', {}]) {
        my ($method, $args) = $case->@*;
        my $service = fresh({ ping => $echo });
        is(outcome('ping'), 'result: pong', 'a connection is there');
        stop_service($service);
        $service = start_service({ $method => $echo }, base => $service->{base});
        is(
            outcome($method, $args), 'result: pong',
            "$method goes through, as nothing was sent yet"
        );
        stop_service($service);
    }
};

# The service ends, before it has said anything or later; once, or whenever it gets the request.
for my $case (
    ['without an answer', ''],
    ['within a line', '{"id":ID,"res'],
    ['while it works', qq({"id":ID,"working":true}\n)],
) {
    my ($title, $text) = $case->@*;
    for my $kept (0, 1) {
        my $count = 0;
        my $ends = answer_with($text);
        my $service = fresh({
            ping => $echo,
            alloc_image => sub ($request) { $count++ ? 'made' : $ends->($request) },
            free_image => $ends,
        });
        outcome('ping') if $kept;
        my $how = "a service that ends $title, " . ($kept ? 'known' : 'new');
        is(outcome('alloc_image'), 'result: made', "$how: the request is sent again");
        my @seen = grep { ($_->{method} // '') eq 'alloc_image' } requests($service);
        is(scalar(@seen), 2, '... once');
        is($seen[0]->{request}, $seen[1]->{request}, '... with the same token');
        like($seen[0]->{request}, qr/\A[A-Za-z0-9-]{8,64}\z/, '... of the agreed form');
        like(
            outcome('free_image'), qr/\Aunreachable: .* in the middle/,
            '... and not a third time'
        );
        is(scalar(grep { $_ eq 'free_image' } calls($service)), 2, '... indeed');
        outcome('alloc_image');
        isnt(
            (requests($service))[-1]->{request}, $seen[0]->{request},
            'another request has another token'
        );
        stop_service($service);
    }
}

subtest 'a service that comes back after a moment' => sub {
    my $count = scratch_dir() . '/ended';
    my $handlers = {
        ping => sub {
            return 'pong' if -e $count;
            open(my $fh, '>', $count) or die "$count: $!\n";
            POSIX::_exit(0);
        },
    };
    my $service = fresh($handlers);
    my $helper = fork() // die "fork: $!\n";
    if (!$helper) {
        for (1 .. 200) {
            last if -e $count;
            sleep(0.05);
        }
        sleep(0.3);
        my $next = start_service($handlers, base => $service->{base});
        await_calls($next, 2);
        stop_service($next);
        POSIX::_exit(0);
    }
    is(outcome('ping'), 'result: pong', 'is waited for');
    waitpid($helper, 0);
    stop_service($service);
};

subtest 'services that end with the request still in their queue' => sub {
    my $service = fresh({}, deaf => 1);
    my ($base, $listener) = $service->@{qw(base listener)};
    my $helper = fork() // die "fork: $!\n";
    if (!$helper) {
        for (1 .. 2) {
            sleep(0.5);
            close($listener);
            $listener = start_service({}, deaf => 1, base => $base)->{listener};
        }
        sleep(0.5);
        close($listener);
        my $last = start_service({ ping => $echo }, base => $base);
        await_calls($last, 1);
        stop_service($last);
        POSIX::_exit(0);
    }
    close($listener);
    is(outcome('ping'), 'result: pong', 'have not read it, so that it is sent until one does');
    waitpid($helper, 0);
};

subtest 'an alarm of the caller' => sub {
    my $slow = sub ($request) {
        return sub ($fh, $id) {
            for (1 .. 50) {
                sleep(0.1);
                send($fh, qq({"id":$id,"working":true}\n), MSG_NOSIGNAL) or return 0;
            }
            return send($fh, qq({"id":$id,"result":"late"}\n), MSG_NOSIGNAL);
        };
    };
    my $service = fresh({ ping => $echo, alloc_image => $slow });
    local $SIG{ALRM} = sub { die "my alarm\n" };

    my $start = time();
    alarm(1);
    my $got = dies_with(sub { outcome('alloc_image') });
    alarm(0);
    is($got, "my alarm\n", 'goes off during a call, unchanged');
    cmp_ok(time() - $start, '<', 4, '... at its time');
    is(outcome('ping'), 'result: pong', 'the next call gets its own result');
    is(connections($service), 2, '... on a connection of its own');
    ok(
        (grep { $_->{closed} && $_->{connection} == 1 } requests($service)),
        'the service has seen the end of the first one'
    );

    alarm(20);
    outcome('ping');
    my $left = alarm(0);
    cmp_ok($left, '>', 17, 'an alarm that did not go off is still pending after a call');

    my $exception = { some => 'object' };
    local $SIG{ALRM} = sub { die $exception };
    alarm(1);
    eval { outcome('alloc_image') };
    my $err = $@;
    alarm(0);
    is($err, $exception, 'an exception that is an object is passed through');
    local $SIG{ALRM} = sub { };
    alarm(1);
    is(outcome('alloc_image'), 'result: late', 'a handler that returns does not disturb');
    stop_service($service);
};

subtest 'a fork' => sub {
    my $service = fresh({ ping => $echo });
    outcome('ping', { text => 'parent' });
    my $got = in_child(sub { [map { outcome('ping', { text => "child $_" }) } 1 .. 3] });
    is_deeply($got, [map { "result: child $_" } 1 .. 3], 'the child gets its own results');
    is(outcome('ping', { text => 'parent' }), 'result: parent', 'the parent gets its own');
    my @log = requests($service);
    my %of = map { $_->{args}->{text} => $_->{connection} } grep { $_->{method} } @log;
    isnt($of{'child 1'}, $of{parent}, 'the child has a connection of its own');
    is($of{'child 1'}, $of{'child 3'}, '... and keeps it');
    is(
        scalar(grep { $_->{method} && $_->{connection} == $of{parent} } @log),
        2, 'the parent has kept its connection'
    );
    ok(
        !(grep { $_->{closed} && $_->{connection} == $of{parent} } @log),
        '... which the child did not close'
    );

    # both at the same time
    my @pids;
    for my $number (1 .. 5) {
        my $pid = fork() // die "fork: $!\n";
        if (!$pid) {
            my $wrong =
                grep { outcome('ping', { text => "$number/$_" }) ne "result: $number/$_" }
                1 .. 50;
            POSIX::_exit($wrong ? 1 : 0);
        }
        push @pids, $pid;
    }
    my $wrong = grep { outcome('ping', { text => "p$_" }) ne "result: p$_" } 1 .. 50;
    is($wrong, 0, 'the parent never gets a result of a child');
    is(scalar(grep { waitpid($_, 0); $? } @pids), 0, '... nor the other way round');
    stop_service($service);
};

subtest 'a program that is started' => sub {
    my $service = fresh({ ping => $echo });
    # as if every descriptor were a standard one, which are inherited
    local $^F = 100;
    outcome('ping');
    local $ENV{PATH} = '/usr/bin:/bin';
    delete local @ENV{qw(IFS CDPATH ENV BASH_ENV)};
    open(my $list, '-|', '/bin/ls', '-l', '/proc/self/fd') or die "ls: $!\n";
    my @sockets = grep { /socket:/ } <$list>;
    close($list) or die "ls failed\n";
    open(my $own, '-|', '/bin/ls', '-l', "/proc/$$/fd") or die "ls: $!\n";
    my @ours = grep { /socket:/ } <$own>;
    close($own) or die "ls failed\n";
    cmp_ok(scalar(@ours), '>', scalar(@sockets), 'does not inherit the connection');
    stop_service($service);
};

subtest 'SIGPIPE reset to its default, as in task workers' => sub {
    my $service = fresh({ ping => answer_with(qq({"id":ID,"result":"a"}\n)) });
    my $got = in_child(sub {
        local $SIG{PIPE} = 'DEFAULT';
        my @results = map { outcome('ping') } 1 .. 3;
        return [@results, $SIG{PIPE}];
    });
    is_deeply(
        $got, [('result: a') x 3, 'DEFAULT'],
        'a connection that was closed does not kill'
    );
    stop_service($service);

    # hangs up in the middle of every request
    $service = fresh({}, deaf => 1);
    my $rude = fork() // die "fork: $!\n";
    if (!$rude) {
        alarm(30);
        while (accept(my $client, $service->{listener})) {
            sysread($client, my $some, 1000);
            close($client);
        }
        POSIX::_exit(0);
    }
    $got = in_child(sub {
        local $SIG{PIPE} = 'DEFAULT';
        return [outcome('ping', { text => 'x' x 3_000_000 }), $SIG{PIPE}];
    });
    like($got->[0], qr/\Aunreachable: /, '... nor does one that is closed while we write');
    is($got->[1], 'DEFAULT', '... and the handler is as it was');
    kill('TERM', $rude);
    waitpid($rude, 0);
};

# What takes its time, all at the same time
{
    my $hung = sub ($request) {
        return sub { 1 }
    };
    my $working = sub ($seconds) {
        return sub ($request) {
            return sub ($fh, $id) {
                for (1 .. $seconds) {
                    sleep(1);
                    send($fh, qq({"id":$id,"working":true}\n), MSG_NOSIGNAL) or return 0;
                }
                return send($fh, qq({"id":$id,"result":"done"}\n), MSG_NOSIGNAL);
            };
        };
    };
    my sub timed($code) {
        my $start = time();
        my $result = $code->();
        return [$result, time() - $start];
    }
    my %slow = (
        hung => sub {
            fresh({ ping => $hung, free_image => $hung, status => $echo });
            my $first = timed(sub { outcome('free_image', {}, 60_000) });
            my $probe = timed(sub { outcome('status', {}, 4_000) });
            return [$first, $probe, timed(sub { outcome('status', {}, 10_000) })];
        },
        trickle => sub {
            # bytes without a line are silence as well
            fresh({
                ping => sub ($request) {
                    return sub ($fh, $id) {
                        for (1 .. 12) {
                            sleep(0.5);
                            send($fh, ' ', MSG_NOSIGNAL) or return 0;
                        }
                        return 1;
                    };
                },
            });
            return timed(sub { outcome('ping', {}, 60_000) });
        },
        deaf => sub {
            # accepted by the kernel, by nobody else
            fresh({}, deaf => 1);
            return timed(sub { outcome('ping', {}, 60_000) });
        },
        full => sub {
            # not even that: the queue of the listening socket is full
            my $service = fresh({}, deaf => 1, backlog => 0);
            my @waiting;
            for (1 .. 5) {
                socket(
                    my $fh, Socket::AF_UNIX(),
                    Socket::SOCK_STREAM() | Socket::SOCK_NONBLOCK(), 0
                    )
                    or die "socket: $!\n";
                push @waiting, $fh;
                connect($fh, Socket::pack_sockaddr_un("$service->{base}.sock")) or last;
            }
            return timed(sub { outcome('ping', {}, 60_000) });
        },
        working => sub {
            fresh({ ping => $working->(6) });
            return timed(sub { outcome('ping', {}, 60_000) });
        },
        overdue => sub {
            fresh({ ping => $working->(8) });
            return timed(sub { outcome('ping', {}, 1_000) });
        },
    );
    my %reader;
    for my $name (sort keys %slow) {
        pipe($reader{$name}, my $writer) or die "pipe: $!\n";
        my $pid = fork() // die "fork: $!\n";
        next if $pid;
        my $result = eval { $slow{$name}->() } // "died: $@";
        print {$writer} JSON->new->encode([$result]);
        close($writer) or POSIX::_exit(1);
        exit(0);
    }
    my %got = map {
        my $fh = $reader{$_};
        ($_ => JSON->new->decode(do { local $/ = undef; <$fh> })->[0])
    } keys %reader;

    my sub is_silent($name, $result) {
        like($result->[0], qr/\Aunreachable: .* does not answer; check/, "$name: no answer");
        cmp_ok($result->[1], '>', 3.5, '... which takes four seconds to see');
        cmp_ok($result->[1], '<', 8, '... and no more');
        return;
    }
    is_silent('a hung service', $got{hung}->[0]);
    like(
        $got{hung}->[1]->[0], qr/\Aunreachable: .* a moment ago/,
        'a probe right after that does not wait again'
    );
    cmp_ok($got{hung}->[1]->[1], '<', 3, '... at all');
    is($got{hung}->[2]->[0], 'result: pong', 'any other call does ask');
    is_silent('single bytes', $got{trickle});
    is_silent('nobody accepts', $got{deaf});
    is_silent('no room in the queue', $got{full});
    is($got{working}->[0], 'result: done', 'a service that works may take its time');
    cmp_ok($got{working}->[1], '>', 5.5, '... longer than a silent one');
    like($got{overdue}->[0], qr/\Aunreachable: .* no result in time/, 'up to the deadline');
    cmp_ok($got{overdue}->[1], '<', 6, '... and a second');
}

subtest 'deadlines' => sub {
    my sub deadline(@arguments) {
        return PVE::Storage::Custom::Blockio::Client::deadline_ms(@arguments);
    }
    is(deadline($_), 4_000, "$_ is a probe") for qw(status check_connection activate_storage);
    is(deadline('list_images'), 10_000, 'reading');
    is(deadline('volume_size_info', 0, 3), 3_000, 'the caller can shorten it');
    is(deadline('volume_size_info', 0, 30), 10_000, '... not extend it');
    cmp_ok(deadline($_, 1), '<', 60_000, "$_ ends before PVE's lock")
        for qw(alloc_image free_image clone_image create_base rename_volume);
    cmp_ok(deadline($_, 0), '>=', 600_000, "$_ has time without that lock")

        for qw(alloc_image free_image clone_image create_base rename_volume volume_resize);
    cmp_ok(deadline('volume_resize', 1), '>=', 600_000, 'what PVE does not lock has time');
    cmp_ok(deadline($_), '<', 60_000, "$_ ends before the lock of storage.cfg")
        for qw(on_add_hook on_update_hook on_delete_hook);
};

done_testing();
