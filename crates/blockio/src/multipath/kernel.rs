// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the kernel itself says about maps, in sysfs. This decides whether a map is there or gone.

use std::path::Path;

use rustix::io::Errno;

use crate::device::{self, Hctl};
use crate::{Error, Result};

const BLOCKS: &str = "sys/block";
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
    /// Of the system below a root directory, `/` on a real one.
    pub fn below(root: &Path) -> Self {
        Self {
            tree: device::Sysfs::new(root),
        }
    }

    /// The map with this device-mapper UUID, wherever it is. Reads one file for each device-mapper device.
    pub fn find(&self, uuid: &str) -> Result<Option<Seen>> {
        // Without it nothing can be said to be absent.
        if self.tree.dir(BLOCKS)?.is_none() {
            let blocks = self.tree.root().join(BLOCKS);
            return Err(Error::os(
                format!("list {}", blocks.display()),
                Errno::NOENT,
            ));
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
        let hctl = device
            .as_deref()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str())
            .filter(|name| name.parse::<Hctl>().is_ok())
            .map(str::to_owned);
        Ok(Slave {
            number: self.read(&name, "dev")?.unwrap_or_default(),
            state: self.read(&name, "device/state")?.unwrap_or_default(),
            hctl,
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
        assert!(Sysfs::below(&dir.path("")).find("mpath-x").is_err());
    }
}
