# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage::Custom::JoviandssPlugin;

use v5.36;

use base qw(PVE::Storage::Custom::Blockio::Base);

sub type {
    return 'joviandss';
}

1;

__END__

=head1 NAME

PVE::Storage::Custom::JoviandssPlugin - storage type C<joviandss>

=head1 DESCRIPTION

Volumes of an Open-E JovianDSS pool over iSCSI, with the names that the vendor's plugin gives them.

All of the behaviour is in L<PVE::Storage::Custom::Blockio::Base>, all that is particular to the
type in the manifest, see L<PVE::Storage::Custom::Blockio::Manifest>.

=cut
