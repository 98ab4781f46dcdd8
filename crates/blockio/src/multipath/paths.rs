// SPDX-License-Identifier: AGPL-3.0-or-later
//! The paths that a disk is used through, found by its map and not among all devices of the node.

use super::Multipath;
use super::names::{check_wwid, uuid_of};
use crate::Result;
use crate::device::{ScsiPath, Wwid, path_called, paths_of};

impl Multipath {
    /// The paths that the disk of an identity is used through: those of its map, or all that there are
    /// ([`paths_of`]) without a map. A path outside of the map is none of them, so this is not for taking a disk away.
    ///
    /// Of a map it reads a few files for each path, and nothing of other disks. Which device the map is says the
    /// device-mapper, or udev's link where that cannot be asked. Neither is believed: unless the kernel says of the map
    /// and of each path that it is this disk's, all devices are asked.
    ///
    /// # Errors
    /// As [`paths_of`]. No path is an empty list.
    pub fn used_paths(&self, wwid: &Wwid) -> Result<Vec<ScsiPath>> {
        match self.paths_of_map(wwid)? {
            Some(paths) => Ok(paths),
            None => paths_of(self.sysfs.tree(), wwid),
        }
    }

    /// `None` unless there is a map, and all of its paths are to this disk.
    fn paths_of_map(&self, wwid: &Wwid) -> Result<Option<Vec<ScsiPath>>> {
        let name = wwid.to_string();
        if check_wwid(&name).is_err() {
            return Ok(None);
        }
        let uuid = uuid_of(&name);
        let device = match self.mapper.look(&uuid) {
            Ok(found) => found.map(|device| format!("dm-{}", device.minor)),
            Err(_) => self.sysfs.linked(&uuid)?,
        };
        let Some(device) = device else {
            return Ok(None);
        };
        let disks = self.sysfs.made_of(&device, &uuid)?.unwrap_or_default();
        let mut paths = Vec::with_capacity(disks.len());
        for disk in disks {
            match path_called(self.sysfs.tree(), &disk, wwid)? {
                Some(path) => paths.push(path),
                None => return Ok(None),
            }
        }
        // As all devices are listed.
        paths.sort_unstable_by_key(|path| path.hctl);
        Ok((!paths.is_empty()).then_some(paths))
    }
}
