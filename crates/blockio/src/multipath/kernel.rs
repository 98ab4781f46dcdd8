// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the kernel itself says about maps, in sysfs. This decides whether a map is there or gone.

use std::path::Path;

use rustix::io::Errno;

use crate::device::{self, BLOCKS, address_in};
use crate::{Error, Result};

/// udev's names of disks by what they are.
const LINKS: &str = "dev/disk/by-id";
/// sysfs counts in these, whatever the device does.
const SECTOR: u64 = 512;

/// A disk below a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slave {
    /// `sdb`.
    pub name: String,
    /// `8:16`.
    pub number: String,
    /// `2:0:0:1`; only SCSI disks have one.
    pub hctl: Option<String>,
    /// `running`, `offline`; `live` of `NVMe`. Empty when it cannot be told.
    pub state: String,
}

/// A map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// `dm-3`.
    pub device: String,
    /// Below `/dev/mapper`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    pub suspended: bool,
    pub slaves: Vec<Slave>,
}

/// The block devices of a system.
#[derive(Clone, Debug)]
pub(super) struct Sysfs {
    tree: device::Sysfs,
}

impl Sysfs {
    /// Of the system that this tree is of.
    pub fn of(tree: device::Sysfs) -> Self {
        Self { tree }
    }

    /// The tree.
    pub fn tree(&self) -> &device::Sysfs {
        &self.tree
    }

    /// The map with this device-mapper UUID, wherever it is. Without udev's link to it, or when that is an old one, reads
    /// one file for each device-mapper device.
    pub fn find(&self, uuid: &str) -> Result<Option<Seen>> {
        // Without it nothing can be said to be absent.
        if self.tree.dir(BLOCKS)?.is_none() {
            let blocks = self.tree.root().join(BLOCKS);
            return Err(Error::os(
                format!("list {}", blocks.display()),
                Errno::NOENT,
            ));
        }
        if let Some(device) = self.linked(uuid)? {
            if let Some(seen) = self.map(&device, uuid)? {
                return Ok(Some(seen));
            }
        }
        for device in self.tree.names(BLOCKS)? {
            if !device.starts_with("dm-") {
                continue;
            }
            if let Some(seen) = self.map(&device, uuid)? {
                return Ok(Some(seen));
            }
        }
        Ok(None)
    }

    /// The device with this UUID to which udev's link leads (`dm-3`).
    pub fn linked(&self, uuid: &str) -> Result<Option<String>> {
        let link = self.tree.link(&format!("{LINKS}/dm-uuid-{uuid}"))?;
        let name = link.as_deref().and_then(Path::file_name);
        let Some(device) = name.and_then(|name| name.to_str()) else {
            return Ok(None);
        };
        // The number may be another device's by now.
        let is_it = self.uuid(device)?.as_deref() == Some(uuid);
        Ok(is_it.then(|| device.to_owned()))
    }

    /// Names of the disks of which the device with this UUID is made; `None` when the device is another one.
    pub fn made_of(&self, device: &str, uuid: &str) -> Result<Option<Vec<String>>> {
        let names = self.tree.names(&format!("{BLOCKS}/{device}/slaves"))?;
        // Read last: with it, the names were those of this device.
        let is_it = self.uuid(device)?.as_deref() == Some(uuid);
        Ok(is_it.then_some(names))
    }

    /// The map with this UUID if it is this device.
    pub fn map(&self, device: &str, uuid: &str) -> Result<Option<Seen>> {
        if self.uuid(device)?.as_deref() != Some(uuid) {
            return Ok(None);
        }
        let (Some(name), Some(size)) = (self.read(device, "dm/name")?, self.read(device, "size")?)
        else {
            return Ok(None);
        };
        let sectors: u64 = size
            .parse()
            .map_err(|_| Error::invalid(format!("examine {device}: its size is {size:?}")))?;
        let suspended = self.read(device, "dm/suspended")?.as_deref() == Some("1");
        let mut slaves = Vec::new();
        for name in self.tree.names(&format!("{BLOCKS}/{device}/slaves"))? {
            slaves.push(self.slave(name)?);
        }
        // Its number may have gone to another device meanwhile.
        if self.uuid(device)?.as_deref() != Some(uuid) {
            return Ok(None);
        }
        Ok(Some(Seen {
            device: device.to_owned(),
            name,
            size: sectors.saturating_mul(SECTOR),
            suspended,
            slaves,
        }))
    }

    /// The device-mapper UUID of a device; `None` when it has none or is gone.
    pub fn uuid(&self, device: &str) -> Result<Option<String>> {
        self.read(device, "dm/uuid")
    }

    /// `MAJOR:MINOR`.
    pub fn number(&self, disk: &str) -> Result<Option<String>> {
        self.read(disk, "dev")
    }

    /// True when the kernel has this disk.
    pub fn exists(&self, disk: &str) -> Result<bool> {
        self.tree.exists(&format!("{BLOCKS}/{disk}"))
    }

    /// Size of a disk in bytes.
    pub fn size(&self, disk: &str) -> Result<Option<u64>> {
        let sectors = self.read(disk, "size")?;
        Ok(sectors
            .and_then(|sectors| sectors.parse::<u64>().ok())
            .map(|sectors| sectors.saturating_mul(SECTOR)))
    }

    fn slave(&self, name: String) -> Result<Slave> {
        let device = self.tree.link(&format!("{BLOCKS}/{name}/device"))?;
        let hctl = device.as_deref().and_then(address_in);
        Ok(Slave {
            number: self.read(&name, "dev")?.unwrap_or_default(),
            state: self.read(&name, "device/state")?.unwrap_or_default(),
            hctl: hctl.map(|hctl| hctl.to_string()),
            name,
        })
    }

    fn read(&self, device: &str, attribute: &str) -> Result<Option<String>> {
        self.tree.text(&format!("{BLOCKS}/{device}/{attribute}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_without_sysfs_is_an_error_not_an_absent_map() {
        let dir = crate::testing::TempDir::new();
        assert!(
            Sysfs::of(device::Sysfs::new(dir.path("")))
                .find("mpath-x")
                .is_err()
        );
    }
}
