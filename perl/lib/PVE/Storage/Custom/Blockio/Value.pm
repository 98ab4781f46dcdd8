# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage::Custom::Blockio::Value;

use v5.36;

use base qw(Exporter);

our @EXPORT_OK = qw(clean_number clean_path clean_text clean_word kib_to_bytes one_line);

# Names what went wrong without repeating the value: it may hold anything.
my sub refuse($what) {
    die "pve-blockio service sent an invalid $what (internal)\n";
}

# The match and the use of its capture are separate statements throughout: within one statement
# Perl may carry the taint of the value that was matched over to the result.

sub clean_number($value, $what) {
    refuse($what) if !defined($value) || ref($value);
    my ($digits) = $value =~ /\A([0-9]{1,19})\z/;
    refuse($what) if !defined($digits);
    return 0 + $digits;
}

sub clean_path($value, $what) {
    refuse($what) if !defined($value) || ref($value);
    my ($path) = $value =~ m{\A(/[A-Za-z0-9_./:+\@~=,%-]+)\z};
    refuse($what) if !defined($path) || $path =~ m{/\.\.(?:/|\z)};
    return $path;
}

sub clean_word($value, $what) {
    refuse($what) if !defined($value) || ref($value);
    my ($word) = $value =~ /\A([A-Za-z0-9_][A-Za-z0-9_.:+\@~-]{0,254})\z/;
    refuse($what) if !defined($word);
    return $word;
}

sub clean_text($value, $what) {
    refuse($what) if !defined($value) || ref($value);
    my ($text) = one_line($value) =~ /\A(.+)\z/;
    refuse($what) if !defined($text);
    return $text;
}

sub one_line($text) {
    $text =~ s/[\s[:cntrl:]]+/ /g;
    $text =~ s/\A //;
    $text =~ s/ \z//;
    return length($text) > 1000 ? substr($text, 0, 1000) . '...' : $text;
}

sub kib_to_bytes($kib) {
    my ($whole, $fraction) = ($kib // '') =~ /\A([0-9]{1,16})(\.[0-9]+)?\z/;
    die "invalid size '" . one_line($kib // '') . "': not a number of KiB\n" if !defined($whole);
    my $bytes = $whole * 1024;
    if (defined($fraction)) {
        # PVE divides bytes by 1024, so what is behind the point is a binary fraction and exact
        my $rest = $fraction * 1024;
        $bytes += int($rest) < $rest ? int($rest) + 1 : int($rest);
    }
    return "$bytes";
}

1;

__END__

=head1 NAME

PVE::Storage::Custom::Blockio::Value - checks on what comes from the service, and units

=head1 DESCRIPTION

Everything read from a socket or a pipe is tainted and stays so through any arithmetic. Each of the
C<clean_> functions checks a value against a strict pattern and returns an untainted copy, or dies
with a line that names C<$what>.

=head1 FUNCTIONS

=over

=item clean_number($value, $what)

A non-negative decimal integer, up to 64 bits without loss.

=item clean_path($value, $what)

An absolute path without C<..>.

=item clean_word($value, $what)

A name without blanks or slashes, as of a file, a disk or a snapshot.

=item clean_text($value, $what)

Any text, made one line.

=item one_line($text)

Blanks and control characters collapsed, length limited; for messages.

=item kib_to_bytes($kib)

The size that PVE passes to C<alloc_image>, possibly with a fraction, as a decimal string of bytes,
rounded up.

=back

=cut
