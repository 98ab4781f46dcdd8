// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the kernel itself says about maps, in sysfs. This decides whether a map is there or gone.

use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::device::Hctl;
use crate::{Error, Result};

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
    blocks: PathBuf,
}

impl Sysfs {
    /// Of the system below a root directory, `/` on a real one.
    pub fn below(root: &Path) -> Self {
        Self {
            blocks: root.join("sys/block"),
        }
    }

    /// The map with this device-mapper UUID, wherever it is. Reads one file for each device-mapper device.
    pub fn find(&self, uuid: &str) -> Result<Option<Seen>> {
        let listed = std::fs::read_dir(&self.blocks).map_err(|error| self.unreadable(&error))?;
        for entry in listed {
            let name = entry.map_err(|error| self.unreadable(&error))?.file_name();
            let Some(device) = name.to_str().filter(|name| name.starts_with("dm-")) else {
                continue;
            };
            if let Some(seen) = self.map(device, uuid)? {
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
        let dir = self.blocks.join(device);
        let (Some(name), Some(size)) = (read(&dir.join("dm/name"))?, read(&dir.join("size"))?)
        else {
            return Ok(None);
        };
        let sectors: u64 = size
            .parse()
            .map_err(|_| Error::invalid(format!("examine {device}: its size is {size:?}")))?;
        let suspended = read(&dir.join("dm/suspended"))?.as_deref() == Some("1");
        let mut slaves = Vec::new();
        for name in list(&dir.join("slaves"))? {
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
        read(&self.blocks.join(device).join("dm/uuid"))
    }

    /// `MAJOR:MINOR`.
    pub fn number(&self, disk: &str) -> Result<Option<String>> {
        read(&self.blocks.join(disk).join("dev"))
    }

    /// True when the kernel has this disk.
    pub fn exists(&self, disk: &str) -> bool {
        self.blocks.join(disk).exists()
    }

    /// Size of a disk in bytes.
    pub fn size(&self, disk: &str) -> Result<Option<u64>> {
        let sectors = read(&self.blocks.join(disk).join("size"))?;
        Ok(sectors
            .and_then(|sectors| sectors.parse::<u64>().ok())
            .map(|sectors| sectors.saturating_mul(SECTOR)))
    }

    fn slave(&self, name: String) -> Result<Slave> {
        let dir = self.blocks.join(&name);
        let device = std::fs::read_link(dir.join("device")).ok();
        let hctl = device
            .as_deref()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str())
            .filter(|name| name.parse::<Hctl>().is_ok())
            .map(str::to_owned);
        Ok(Slave {
            number: read(&dir.join("dev"))?.unwrap_or_default(),
            state: read(&dir.join("device/state"))?.unwrap_or_default(),
            hctl,
            name,
        })
    }

    fn unreadable(&self, error: &std::io::Error) -> Error {
        from_io(&format!("list {}", self.blocks.display()), error)
    }
}

/// An attribute without its line end; `None` when it or its device is gone.
fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(
            String::from_utf8_lossy(&bytes)
                .trim_end_matches('\n')
                .to_owned(),
        )),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(from_io(&format!("read {}", path.display()), &error)),
    }
}

/// Names in a directory, sorted; none when it is gone.
fn list(path: &Path) -> Result<Vec<String>> {
    let failed = |error: &std::io::Error| from_io(&format!("list {}", path.display()), error);
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(failed(&error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => names.push(entry.file_name().to_string_lossy().into_owned()),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    names.sort();
    Ok(names)
}

/// An attribute of a device that is being removed says so in several ways.
fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), Io::NotFound | Io::NotADirectory)
        || matches!(
            Errno::from_io_error(error),
            // The last: a map that goes away while it is asked.
            Some(Errno::NODEV | Errno::NXIO | Errno::INVAL)
        )
}

fn from_io(what: &str, error: &std::io::Error) -> Error {
    Error::os(what, Errno::from_io_error(error).unwrap_or(Errno::IO))
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
