# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Cluster;

# Stand-in for tests.

use v5.36;

our $guests = {};

sub get_vmlist {
    return { ids => $guests };
}

1;
