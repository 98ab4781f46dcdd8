# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage::Custom::Blockio::Stream;

use v5.36;

use JSON ();

use PVE::Tools;

use PVE::Storage::Custom::Blockio::Value qw(clean_text);

use constant DEFAULT_PROGRAM => '/usr/bin/pve-blockio';

# Ends the child with its parent; the child shares the task's process group, but a kill of the
# parent alone must not leave a copy running either.
use constant SETPRIV => '/usr/bin/setpriv';

my sub program() {
    my ($override) = ($ENV{PVE_BLOCKIO_CLI} // '') =~ m{\A(/[A-Za-z0-9_./:+\@~=,-]+)\z};
    return $override // DEFAULT_PROGRAM;
}

my sub clean_argument($value) {
    my ($argument) = ($value // '') =~ m{\A([A-Za-z0-9_][A-Za-z0-9_./:+\@~-]*)\z};
    return $argument // die "invalid name in a stream command\n";
}

# PVE's run_command splits the child's standard error into lines, which go to the task log. The
# last one is held back: when the child fails it is the reason and becomes the message.
my sub run($job, $what, $arguments, %io) {
    local $ENV{PVE_BLOCKIO_SCFG} =
        JSON->new->utf8->canonical->encode({ storeid => $job->{storeid}, scfg => $job->{scfg} });
    local $ENV{PATH} = '/usr/sbin:/usr/bin:/sbin:/bin';
    delete local @ENV{qw(IFS CDPATH ENV BASH_ENV)};

    my @lifeline = -x SETPRIV ? (SETPRIV, '--pdeathsig', 'TERM', '--') : ();
    PVE::Tools::run_command(
        [@lifeline, program(), $arguments->@*],
        %io,
        errmsg => "$job->{storeid}: $what '$job->{volname}'",
        errfunc => sub ($line) {
            return if !defined($line);
            chomp($line);
            print STDERR "$line\n";
        },
    );
    return;
}

sub export_volume($job, $fh, $snapname) {
    my @arguments = ('export', clean_argument("$job->{storeid}:$job->{volname}"));
    push @arguments, '--snapshot', clean_argument($snapname) if defined($snapname);
    run($job, 'volume_export', \@arguments, output => '>&' . fileno($fh));
    return;
}

sub import_volume($job, $fh, $format, $allow_rename) {
    my @arguments = ('import', clean_argument("$job->{storeid}:$job->{volname}"));
    # sizes follow a plus sign, which no name may have
    my ($clean_format) = $format =~ m{\A([a-z0-9]+\+size)\z} or die "invalid stream format\n";
    push @arguments, '--format', $clean_format;
    push @arguments, '--allow-rename' if $allow_rename;

    my $volid;
    run(
        $job,
        'volume_import',
        \@arguments,
        input => '<&' . fileno($fh),
        outfunc => sub ($line) { $volid = $line if $line ne '' },
    );
    return clean_text($volid, 'volume ID');
}

1;

__END__

=head1 NAME

PVE::Storage::Custom::Blockio::Stream - export and import of volume data

=head1 DESCRIPTION

The data goes through a process of its own, C<pve-blockio export> or C<import>, with the stream as
its standard output or input, in the same way as PVE runs C<dd>. The child gets the storage's
section by environment variable C<PVE_BLOCKIO_SCFG>, so that it need not read storage.cfg and the
command line that PVE logs shows names only.

A C<$job> is a hash of C<storeid>, C<scfg> and C<volname>.

=head1 FUNCTIONS

=over

=item export_volume($job, $fh, $snapname)

Writes the stream of the volume, or of one of its snapshots, with its header.

=item import_volume($job, $fh, $format, $allow_rename)

Makes the volume from the stream, C<raw+size> or C<tar+size>, and returns the volume ID that it got, unverified.

=back

=head1 ENVIRONMENT

C<PVE_BLOCKIO_CLI> names another program, as an absolute path; for development and tests.

=cut
