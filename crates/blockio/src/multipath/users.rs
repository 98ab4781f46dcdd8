// SPDX-License-Identifier: AGPL-3.0-or-later
//! What lies on a map: devices, mounts, swap.

use std::path::{Path, PathBuf};

use super::kernel::Sysfs;
use super::names::partition_of;
use crate::Result;

/// Devices on devices on a map; deeper than anybody builds, so that a loop in a damaged tree ends.
const DEEPEST: usize = 8;

/// What lies on a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Users {
    /// Who uses it, in words.
    pub users: Vec<String>,
    /// Partitions that kpartx made of it. They use nothing by themselves.
    pub partitions: Vec<Partition>,
}

/// A partition that kpartx made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    /// `dm-4`.
    pub device: String,
    /// Of the device-mapper.
    pub uuid: String,
}

/// Finds out who uses a map.
#[derive(Clone, Debug)]
pub(super) struct Census {
    sysfs: Sysfs,
    root: PathBuf,
}

impl Census {
    pub fn below(root: &Path) -> Self {
        Self {
            sysfs: Sysfs::below(root),
            root: root.to_owned(),
        }
    }

    /// What lies on the map `device` (`dm-3`) with this UUID.
    pub fn users(&self, device: &str, uuid: &str) -> Result<Users> {
        let mut found = Users::default();
        self.look(device, "it", &mut found)?;
        self.above(device, uuid, 0, &mut found)?;
        Ok(found)
    }

    fn above(&self, device: &str, uuid: &str, depth: usize, found: &mut Users) -> Result<()> {
        for holder in self.sysfs.holders(device)? {
            let holder_uuid = self.sysfs.uuid(&holder)?.unwrap_or_default();
            if let Some(number) = partition_of(&holder_uuid, uuid) {
                self.look(&holder, &format!("partition {number}"), found)?;
                if depth < DEEPEST {
                    self.above(&holder, uuid, depth + 1, found)?;
                }
                found.partitions.push(Partition {
                    device: holder,
                    uuid: holder_uuid,
                });
                continue;
            }
            let name = self.sysfs.name(&holder)?;
            let name = name.as_deref().unwrap_or(&holder);
            let kind = match holder_uuid.split_once('-').map(|(kind, _)| kind) {
                Some("LVM") => "LVM volume",
                Some("CRYPT") => "encrypted device",
                _ if holder.starts_with("md") => "RAID",
                _ => "device",
            };
            found.users.push(format!("{kind} {name} ({holder})"));
        }
        Ok(())
    }

    /// Mounts and swap on exactly this device.
    fn look(&self, device: &str, called: &str, found: &mut Users) -> Result<()> {
        if let Some(number) = self.sysfs.number(device)? {
            let mounts = self.text("proc/self/mountinfo");
            let on_it = mounts.lines().filter_map(|line| mount_point(line, &number));
            found
                .users
                .extend(on_it.map(|place| format!("{called} is mounted at {place}")));
        }
        let name = self.sysfs.name(device)?.unwrap_or_default();
        let swaps = self.text("proc/swaps");
        let mut swaps = swaps
            .lines()
            .filter_map(|line| line.split_ascii_whitespace().next());
        let mapper = format!("/dev/mapper/{name}");
        if swaps.any(|file| file.strip_prefix("/dev/") == Some(device) || file == mapper) {
            found.users.push(format!("{called} is swap"));
        }
        Ok(())
    }

    /// Empty when it is not there: a kernel without swap has no list of it.
    fn text(&self, path: &str) -> String {
        let bytes = std::fs::read(self.root.join(path)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Where the device is mounted, if this line of mountinfo is about it.
fn mount_point<'a>(line: &'a str, number: &str) -> Option<&'a str> {
    let mut words = line.split(' ');
    if words.nth(2) != Some(number) {
        return None;
    }
    words.nth(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mounts_are_told_by_device_number() {
        let line = "36 25 254:3 /sub /mnt/a\\040b rw,noatime shared:1 - ext4 /dev/mapper/mpatha rw";
        assert_eq!(mount_point(line, "254:3"), Some("/mnt/a\\040b"));
        assert_eq!(mount_point(line, "254:30"), None);
    }

    proptest! {
        #[test]
        fn any_line_is_read(line: String) {
            let _ = mount_point(&line, "254:3");
        }
    }
}
