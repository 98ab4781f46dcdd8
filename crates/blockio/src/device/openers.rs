// SPDX-License-Identifier: AGPL-3.0-or-later
//! Programs that have a disk open, QEMU for one: it takes no disk for itself alone, so nothing else shows them.

use std::fmt;
use std::path::Path;

use rustix::fs::FileType;

use super::holders::named_devno_of;
use super::sysfs::{Devno, Sysfs};
use crate::Result;

/// A program that has one of some disks open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opener {
    /// Number of the process, as `/proc` has it.
    pub pid: String,
    /// Name of the program.
    pub program: String,
    /// Descriptors that are one of the disks.
    pub times: u32,
}

impl fmt::Display for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "open in process {} ({})", self.pid, self.program)
    }
}

/// Programs that have a device open for a moment. udev, what it starts and LVM's lists read a little of every device that
/// appears, changes or is there; what the others make of it shows without them. On a map without paths they wait like
/// everybody else.
const PASSING: [&str; 15] = [
    "(udev-worker)",
    "systemd-udevd",
    "udevd",
    "blkid",
    "kpartx",
    "multipath",
    "dmsetup",
    "losetup",
    "mount",
    "lvm",
    "pvscan",
    "vgscan",
    "pvs",
    "vgs",
    "lvs",
];

impl Opener {
    /// True when it does not want to keep the disk.
    pub fn is_passing(&self) -> bool {
        PASSING.contains(&self.program.as_str())
    }
}

/// It has each path open that it knows, and uses none.
const MULTIPATHD: &str = "multipathd";

/// Programs that have a disk open, but multipathd. Those in other name spaces for processes are not seen.
///
/// # Errors
/// `absent` when there is no such device; `invalid` when this is no name of one.
pub(super) fn users_of(sysfs: &Sysfs, device: &str) -> Result<Vec<Opener>> {
    let mut found = openers_of(sysfs, &[device])?;
    found.retain(|opener| opener.program != MULTIPATHD);
    Ok(found)
}

/// Programs that have one of these disks open. Looks at each descriptor of each process.
///
/// # Errors
/// As [`users_of`].
pub(crate) fn openers_of(sysfs: &Sysfs, devices: &[&str]) -> Result<Vec<Opener>> {
    let devices: Result<Vec<_>> = devices
        .iter()
        .map(|device| named_devno_of(sysfs, device))
        .collect();
    let devices = devices?;
    let mut found = Vec::new();
    for pid in sysfs.names("proc")? {
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let directory = format!("proc/{pid}/fd");
        // A process that ends meanwhile has none.
        let descriptors = sysfs.names(&directory).unwrap_or_default();
        let open = descriptors
            .iter()
            .filter(|descriptor| is_one_of(sysfs, &format!("{directory}/{descriptor}"), &devices));
        let times = u32::try_from(open.count()).unwrap_or(u32::MAX);
        if times > 0 {
            let program = sysfs.text(&format!("proc/{pid}/comm"))?;
            found.push(Opener {
                pid,
                program: program.unwrap_or_default(),
                times,
            });
        }
    }
    Ok(found)
}

/// Only what was opened below /dev is looked at: a file on a dead server would keep us for ever.
fn is_one_of(sysfs: &Sysfs, descriptor: &str, devices: &[(String, Devno)]) -> bool {
    let target = sysfs.link(descriptor).ok().flatten();
    let Some(name) = target
        .as_ref()
        .and_then(|target| target.strip_prefix("/dev").ok())
    else {
        return false;
    };
    if !sysfs.is_real() {
        return devices
            .iter()
            .any(|(device, _)| Path::new(&device.replace('!', "/")) == name);
    }
    rustix::fs::stat(sysfs.root().join(descriptor)).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice
            && devices
                .iter()
                .any(|(_, devno)| Devno::of(stat.st_rdev) == *devno)
    })
}
