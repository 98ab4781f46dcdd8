# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage::Custom::BlockioPlugin;

use v5.36;

use base qw(PVE::Storage::Custom::Blockio::Base);

sub type {
    return 'blockio';
}

1;

__END__

=head1 NAME

PVE::Storage::Custom::BlockioPlugin - storage type C<blockio>

=head1 DESCRIPTION

Image files and container directories on a local or network file system, with instant snapshots and
clones where the file system can share extents.

All of the behaviour is in L<PVE::Storage::Custom::Blockio::Base>, all that is particular to the
type in the manifest, see L<PVE::Storage::Custom::Blockio::Manifest>.

=cut
