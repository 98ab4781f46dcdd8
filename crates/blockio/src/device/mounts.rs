// SPDX-License-Identifier: AGPL-3.0-or-later
//! Mounts and swap of this node.

use std::collections::HashSet;
use std::path::PathBuf;

use super::sysfs::{Devno, Sysfs};
use crate::Result;

/// Thousands of containers have this much of them.
const MAX: usize = 64 << 20;

/// A mount or swap.
pub(super) struct Use {
    /// In words, such as `mounted on /mnt`.
    pub(super) what: String,
    device: Option<Devno>,
    source: String,
}

impl Use {
    /// True when it is a use of this device. Btrfs has a number of its own, so names are compared, too.
    pub(super) fn is_of(&self, name: &str, map: Option<&str>, devno: Option<Devno>) -> bool {
        let named = || {
            let path = self.source.strip_prefix("/dev/")?;
            let same = match path.strip_prefix("mapper/") {
                Some(path) => Some(path) == map,
                None => path == name.replace('!', "/"),
            };
            Some(same)
        };
        (self.device.is_some() && self.device == devno) || named() == Some(true)
    }
}

/// All mounts and swap, also the mounts that only containers see.
pub(super) fn uses(sysfs: &Sysfs) -> Result<Vec<Use>> {
    let swaps = sysfs.file("proc/swaps", MAX)?.unwrap_or_default();
    let mut found = mounts(sysfs)?;
    found.extend(
        String::from_utf8_lossy(&swaps)
            .lines()
            .skip(1)
            .filter_map(swap),
    );
    Ok(found)
}

/// The mounts of the system, and those of each other name space that it does not have itself: the volumes of a container are
/// mounted nowhere else. A service may have mounts of its own, too, and not see some of others.
fn mounts(sysfs: &Sysfs) -> Result<Vec<Use>> {
    let mut found = table(sysfs, "1")?;
    if found.is_empty() {
        found = table(sysfs, "self")?;
    }
    let mut seen: HashSet<PathBuf> = space(sysfs, "1").into_iter().collect();
    for pid in sysfs.names("proc")? {
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // A process that ends meanwhile has none.
        let Some(space) = space(sysfs, &pid) else {
            continue;
        };
        if !seen.insert(space) {
            continue;
        }
        for mut mount in table(sysfs, &pid).unwrap_or_default() {
            let known = |other: &Use| other.device == mount.device && other.source == mount.source;
            if !found.iter().any(known) {
                mount.what = format!("{} by process {pid}", mount.what);
                found.push(mount);
            }
        }
    }
    Ok(found)
}

/// Identity of a process's name space for mounts.
fn space(sysfs: &Sysfs, pid: &str) -> Option<PathBuf> {
    sysfs.link(&format!("proc/{pid}/ns/mnt")).ok().flatten()
}

/// Mounts as a process sees them.
fn table(sysfs: &Sysfs, pid: &str) -> Result<Vec<Use>> {
    let mounts = sysfs
        .file(&format!("proc/{pid}/mountinfo"), MAX)?
        .unwrap_or_default();
    Ok(String::from_utf8_lossy(&mounts)
        .lines()
        .filter_map(mount)
        .collect())
}

/// `36 35 98:0 /subvol /mnt rw,noatime shared:1 - ext3 /dev/root rw`
fn mount(line: &str) -> Option<Use> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ');
    let device = place.nth(2)?.parse().ok();
    let point = unescaped(place.nth(1)?);
    let source = unescaped(kind.split(' ').nth(1)?);
    Some(Use {
        what: format!("mounted on {point}"),
        device,
        source,
    })
}

/// `/dev/sdb2  partition  1048572  0  -2`
fn swap(line: &str) -> Option<Use> {
    let mut words = line.split_ascii_whitespace();
    let source = unescaped(words.next()?);
    (words.next()? == "partition").then_some(Use {
        what: "used as swap".to_owned(),
        device: None,
        source,
    })
}

/// Undoes `\040` for what would end a field.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        if let Some(code) = code {
            bytes.push(code);
            bytes.extend_from_slice(part.get(3..).unwrap_or_default().as_bytes());
        } else {
            bytes.push(b'\\');
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_recognised_by_number_and_by_name() {
        let found = mount(r"36 35 8:17 / /mnt/my\040disk rw - ext4 /dev/sdb1 rw").unwrap();
        assert_eq!(found.what, "mounted on /mnt/my disk");
        let devno = |text: &str| text.parse::<Devno>().ok();
        assert!(found.is_of("sdx", None, devno("8:17")));
        assert!(found.is_of("sdb1", None, None));
        assert!(!found.is_of("sdb", None, devno("8:16")));
        assert!(!found.is_of("sdb11", None, None));
        let found = mount("36 35 0:40 / /mnt rw shared:1 - btrfs /dev/mapper/vg-root rw").unwrap();
        assert!(found.is_of("dm-1", Some("vg-root"), devno("253:1")));
        assert!(!found.is_of("dm-1", Some("vg-roo"), devno("253:1")));
        assert!(!found.is_of("mapper", None, None));
        for line in ["", "1 2", "1 2 3 4 5 - ", " -  - ", "36 35 8:17 / - x"] {
            assert!(mount(line).is_none_or(|found| !found.is_of("sdb", None, None)));
        }
    }

    #[test]
    fn swap_files_are_not_devices() {
        assert!(swap("/swapfile file 1 0 -2").is_none());
        assert!(
            swap("/dev/sdb2 partition 1 0 -2")
                .unwrap()
                .is_of("sdb2", None, None)
        );
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescaped(r"a\040b\134c"), r"a b\c");
        assert_eq!(unescaped(r"a\04"), r"a\04");
        assert_eq!(unescaped(r"\999x"), r"\999x");
    }
}
