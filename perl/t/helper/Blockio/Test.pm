# SPDX-License-Identifier: AGPL-3.0-or-later
package Blockio::Test;

# What the tests share: tainted values, a service that does as it is told, the two storage types.

use v5.36;

use Cwd ();
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Select;
use JSON ();
use POSIX ();
use Scalar::Util ();
use Socket qw(AF_UNIX MSG_NOSIGNAL SOCK_STREAM SOMAXCONN pack_sockaddr_un);
use Time::HiRes ();

use base qw(Exporter);

our @EXPORT = qw(
    blockio_scfg blocktest_scfg dies_with fixture_dir in_child load_types manifest requests scratch_dir
    start_service stock_calls stop_service taint tainted_mode untaint use_manifest warnings_of
);

my $json = JSON->new->utf8->canonical;
my @running;

sub untaint($value) {
    my ($clean) = $value =~ /\A(.*)\z/s;
    return $clean;
}

sub fixture_dir {
    return untaint(Cwd::realpath(dirname(__FILE__) . '/../../fixtures'));
}

my $scratch = tempdir('blockio-test-XXXXXX', TMPDIR => 1, CLEANUP => 1);

sub scratch_dir {
    return $scratch;
}

sub tainted_mode {
    return ${^TAINT} ? 1 : 0;
}

# The same value, tainted when the test runs with -T.
sub taint($value) {
    return $value if !defined($value) || ref($value);
    return $value . substr($ENV{PATH} // '', 0, 0);
}

# The message of what the code throws, or 'lived'.
sub dies_with($code) {
    return eval { $code->(); 1 } ? 'lived' : $@;
}

sub warnings_of($code) {
    my @warnings;
    local $SIG{__WARN__} = sub ($text) { push @warnings, $text };
    $code->();
    return @warnings;
}

# Runs the code in a process of its own and returns its result, which must fit into JSON.
sub in_child($code) {
    pipe(my $reader, my $writer) or die "pipe: $!\n";
    my $pid = fork() // die "fork: $!\n";
    if (!$pid) {
        my $result = eval { { result => $code->() } } // { error => $@ };
        print {$writer} $json->encode($result);
        close($writer) or POSIX::_exit(1);
        POSIX::_exit(0);
    }
    close($writer);
    my $text = do { local $/ = undef; <$reader> };
    waitpid($pid, 0);
    my $result = $json->decode($text);
    die $result->{error} if defined($result->{error});
    return $result->{result};
}

# The manifest of the tests as data, to be broken.
sub manifest {
    open(my $fh, '<:raw', fixture_dir() . '/manifest.json') or die "manifest: $!\n";
    return $json->decode(do { local $/ = undef; <$fh> });
}

# Writes a manifest and has it used; takes data or text.
sub use_manifest($content) {
    my $file = scratch_dir() . '/manifest.json';
    open(my $fh, '>:raw', $file) or die "manifest: $!\n";
    print {$fh} ref($content) ? $json->encode($content) : $content;
    close($fh) or die "manifest: $!\n";
    $ENV{PVE_BLOCKIO_MANIFEST} = $file;
    return $file;
}

sub stock_calls {
    my @calls = map { $_->[0] } @PVE::Storage::Plugin::CALLS;
    @PVE::Storage::Plugin::CALLS = ();
    return @calls;
}

sub load_types {
    $ENV{PVE_BLOCKIO_MANIFEST} = fixture_dir() . '/manifest.json';
    require PVE::Storage;
    for my $name (qw(Blockio Blocktest)) {
        my $class = "PVE::Storage::Custom::${name}Plugin";
        PVE::Storage::load_plugin($class) or die "$class does not load\n";
    }
    PVE::Storage::Plugin->init();
    return map { "PVE::Storage::Custom::${_}Plugin" } qw(Blockio Blocktest);
}

sub blockio_scfg(%more) {
    return {
        type => 'blockio',
        path => '/srv/store',
        content => { images => 1, rootdir => 1, iso => 1 },
        nodes => { pve1 => 1 },
        %more,
    };
}

sub blocktest_scfg(%more) {
    return {
        type => 'blocktest',
        'blocktest-server' => 'array.example',
        content => { images => 1 },
        shared => 1,
        %more,
    };
}

# The service
#
# A handler gets the request and returns the result, or a code reference that gets the socket and
# writes what it likes; with a false value of it the connection is closed.

my sub reply($fh, $request, $handler) {
    my $answer = eval { $handler ? $handler->($request) : die "unsupported: $request->{method}\n" };
    if (my $err = $@) {
        my ($code, $message) = $err =~ /\A([a-z-]+): (.*)\Z/s;
        my $error = { code => $code // 'internal', message => $message // $err };
        return send(
            $fh, $json->encode({ id => $request->{id}, error => $error }) . "\n",
            MSG_NOSIGNAL
        );
    }
    return $answer->($fh, $request->{id}) if ref($answer) eq 'CODE';
    return send(
        $fh, $json->encode({ id => $request->{id}, result => $answer }) . "\n",
        MSG_NOSIGNAL
    );
}

my sub serve($listener, $journal_file, $handlers) {
    open(my $journal, '>>', $journal_file) or die "journal: $!\n";
    $journal->autoflush(1);
    my $select = IO::Select->new($listener);
    my ($count, %number, %buffer) = (0);
    while (1) {
        for my $fh ($select->can_read()) {
            if ($fh == $listener) {
                accept(my $client, $listener) or next;
                $select->add($client);
                ($number{$client}, $buffer{$client}) = (++$count, '');
                next;
            }
            my $got = sysread($fh, $buffer{$fh}, 65536, length($buffer{$fh}));
            my $open = $got;
            while ($open && $buffer{$fh} =~ s/\A([^\n]*)\n//) {
                my $request = $json->decode($1);
                print {$journal} $json->encode({ connection => $number{$fh}, $request->%* }), "\n";
                $open = reply($fh, $request, $handlers->{ $request->{method} });
            }
            next if $open;
            print {$journal} $json->encode({ connection => $number{$fh}, closed => 1 }), "\n";
            $select->remove($fh);
            close($fh);
        }
    }
    return;
}

sub start_service($handlers = {}, %options) {
    state $serial = 0;
    my $base = $options{base} // scratch_dir() . "/service-$$-" . ++$serial;
    unlink("$base.sock");
    socket(my $listener, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!\n";
    bind($listener, pack_sockaddr_un("$base.sock")) or die "bind: $!\n";
    listen($listener, $options{backlog} // SOMAXCONN) or die "listen: $!\n";

    my $pid = 0;
    if (!$options{deaf}) {
        $pid = fork() // die "fork: $!\n";
        if (!$pid) {
            local $SIG{PIPE} = 'IGNORE';
            eval { serve($listener, "$base.log", $handlers); };
            print STDERR "# test service: $@" if $@;
            POSIX::_exit(1);
        }
        close($listener);
    }
    my $service = { pid => $pid, base => $base, owner => $$, listener => $listener };
    push @running, $service;
    $ENV{PVE_BLOCKIO_SOCKET} = "$base.sock";
    return $service;
}

sub stop_service($service) {
    return if !$service->{pid} || $service->{owner} != $$;
    kill('TERM', $service->{pid});
    waitpid($service->{pid}, 0);
    $service->{pid} = 0;
    return;
}

# What the service has seen: requests and ends of connections, in order.
sub requests($service) {
    Time::HiRes::sleep(0.05);
    open(my $fh, '<', "$service->{base}.log") or return;
    my @lines = map { $json->decode($_) } <$fh>;
    close($fh) or die "journal: $!\n";
    return @lines;
}

END {
    my $status = $?;
    stop_service($_) for @running;
    $? = $status; ## no critic (RequireLocalizedPunctuationVars)
}

1;
