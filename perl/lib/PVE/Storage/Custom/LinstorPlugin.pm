# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage::Custom::LinstorPlugin;

use v5.36;

use base qw(PVE::Storage::Custom::Blockio::Base);

sub type {
    return 'drbd';
}

1;

__END__

=head1 NAME

PVE::Storage::Custom::LinstorPlugin - storage type C<drbd>

=head1 DESCRIPTION

Volumes that LINSTOR manages and DRBD replicates, with the names that the vendor's plugin gives them.

All of the behaviour is in L<PVE::Storage::Custom::Blockio::Base>, all that is particular to the
type in the manifest, see L<PVE::Storage::Custom::Blockio::Manifest>.

=cut
