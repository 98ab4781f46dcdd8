# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Tools;

# Stand-in for tests: runs a command for real, with the options that the shim uses and their
# effects as in the original.

use v5.36;

use IO::File;
use IO::Select;
use IPC::Open3;

my @started;

sub commands {
    return @started;
}

my sub lines($buffer, $callback) {
    while ($$buffer =~ s/\A([^\n]*)\n//) {
        $callback->($1);
    }
    return;
}

sub run_command($command, %param) {
    push @started, $command;
    my $held;
    my $on_error = sub ($line) {
        $param{errfunc}->("$held\n") if defined($held);
        $held = $line;
    };

    my $writer = $param{input} // IO::File->new();
    my $reader = $param{output} // IO::File->new();
    my $error = IO::File->new();
    my $pid = open3($writer, $reader, $error, $command->@*);
    close($writer) if ref($writer);

    my $select = IO::Select->new($error);
    $select->add($reader) if ref($reader);
    my %buffer = ($error => '', $reader => '');
    while ($select->count()) {
        for my $fh ($select->can_read(1)) {
            my $count = sysread($fh, $buffer{$fh}, 4096, length($buffer{$fh}));
            $select->remove($fh) if !$count;
            lines(\$buffer{$fh}, $fh eq $error ? $on_error : $param{outfunc});
        }
    }
    waitpid($pid, 0);
    my $status = $?;
    if ($status) {
        my $reason = $held
            // ($status & 127 ? "got signal $status" : 'exit code ' . ($status >> 8));
        die "$param{errmsg}: $reason\n";
    }
    $param{errfunc}->("$held\n") if defined($held);
    return 0;
}

1;
