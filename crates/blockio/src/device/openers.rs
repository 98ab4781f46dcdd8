// SPDX-License-Identifier: AGPL-3.0-or-later
//! Programs that have a disk open, QEMU for one: it takes no disk for itself alone, so nothing else shows them.

use std::path::Path;

use rustix::fs::FileType;

use super::holders::devno_of;
use super::sysfs::{Devno, Sysfs};
use crate::Result;

/// Programs that have a disk open, in words such as `open in process 4711 (kvm)`. Those in other name spaces for
/// processes are not seen.
///
/// # Errors
/// `absent` when there is no such device; `invalid` when this is no name of one.
pub fn openers(sysfs: &Sysfs, device: &str) -> Result<Vec<String>> {
    let devno = devno_of(sysfs, device)?;
    let mut found = Vec::new();
    for process in sysfs.names("proc")? {
        if !process.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let directory = format!("proc/{process}/fd");
        // A process that ends meanwhile has none.
        let descriptors = sysfs.names(&directory).unwrap_or_default();
        let open = descriptors
            .iter()
            .any(|descriptor| is_of(sysfs, &format!("{directory}/{descriptor}"), devno));
        if open {
            let program = sysfs.text(&format!("proc/{process}/comm"))?;
            found.push(format!(
                "open in process {process} ({})",
                program.unwrap_or_default()
            ));
        }
    }
    Ok(found)
}

/// Only what was opened below /dev is looked at: a file on a dead server would keep us for ever.
fn is_of(sysfs: &Sysfs, descriptor: &str, devno: Devno) -> bool {
    let target = sysfs.link(descriptor).ok().flatten();
    if !target.is_some_and(|target| target.starts_with(Path::new("/dev"))) {
        return false;
    }
    rustix::fs::stat(sysfs.root().join(descriptor)).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice
            && Devno::of(stat.st_rdev) == devno
    })
}
