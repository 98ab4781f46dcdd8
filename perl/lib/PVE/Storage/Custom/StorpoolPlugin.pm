# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage::Custom::StorpoolPlugin;

use v5.36;

use base qw(PVE::Storage::Custom::Blockio::Base);

sub type {
    return 'storpool';
}

1;

__END__

=head1 NAME

PVE::Storage::Custom::StorpoolPlugin - storage type C<storpool>

=head1 DESCRIPTION

Volumes of a StorPool cluster as block devices, with the names and tags of the published format.

All of the behaviour is in L<PVE::Storage::Custom::Blockio::Base>, all that is particular to the
type in the manifest, see L<PVE::Storage::Custom::Blockio::Manifest>.

=cut
