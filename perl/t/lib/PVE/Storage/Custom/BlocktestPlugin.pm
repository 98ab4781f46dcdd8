# SPDX-License-Identifier: AGPL-3.0-or-later
package PVE::Storage::Custom::BlocktestPlugin;

# A second type, for an array of block devices; its entry is in the test manifest only.

use v5.36;

use base qw(PVE::Storage::Custom::Blockio::Base);

sub type {
    return 'blocktest';
}

1;
