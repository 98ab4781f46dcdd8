// SPDX-License-Identifier: AGPL-3.0-or-later
//! The changes and questions that may hang in the kernel, with their limits of time.

use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use super::bounded::{bounded, is_under_way, joined};
use super::change::{delete, rescan, scan};
use super::hctl::Hctl;
use super::nvme::nvme_rescan;
use super::sysfs::Sysfs;
use super::wwid::Wwid;
use crate::block::{BlockDevice, is_busy};
use crate::stream::Cancel;
use crate::{Error, Result};

/// [`scan`] within a time. The kernel scans a host for one LUN after the other, so one that hangs stands for all of its
/// host.
///
/// # Errors
/// As [`scan`] and [`bounded`].
pub fn scan_within(sysfs: &Sysfs, at: Hctl, timeout: Duration, cancel: &Cancel) -> Result<()> {
    let what = name(sysfs, &format!("scan SCSI host {}", at.host));
    let sysfs = sysfs.clone();
    bounded(&what, timeout, cancel, move || scan(&sysfs, at))
}

/// [`rescan`] within a time.
///
/// # Errors
/// As [`rescan`] and [`bounded`].
pub fn rescan_within(
    sysfs: &Sysfs,
    at: Hctl,
    wwid: &Wwid,
    timeout: Duration,
    cancel: &Cancel,
) -> Result<()> {
    let what = name(sysfs, &format!("rescan {at}"));
    let (sysfs, wwid) = (sysfs.clone(), wwid.clone());
    bounded(&what, timeout, cancel, move || rescan(&sysfs, at, &wwid))
}

/// [`delete`] within a time.
///
/// # Errors
/// As [`delete`] and [`bounded`].
pub fn delete_within(
    sysfs: &Sysfs,
    at: Hctl,
    wwid: &Wwid,
    timeout: Duration,
    cancel: &Cancel,
) -> Result<bool> {
    let what = name(sysfs, &format!("delete {at}"));
    let (sysfs, wwid) = (sysfs.clone(), wwid.clone());
    bounded(&what, timeout, cancel, move || delete(&sysfs, at, &wwid))
}

/// [`nvme_rescan`] within a time.
///
/// # Errors
/// As [`nvme_rescan`] and [`bounded`].
pub fn nvme_rescan_within(
    sysfs: &Sysfs,
    controller: &str,
    timeout: Duration,
    cancel: &Cancel,
) -> Result<()> {
    let what = name(sysfs, &format!("rescan {controller}"));
    let (sysfs, controller) = (sysfs.clone(), controller.to_owned());
    bounded(&what, timeout, cancel, move || {
        nvme_rescan(&sysfs, &controller)
    })
}

/// [`BlockDevice::flush`] within a time. A multipath map without paths may queue for ever.
///
/// # Errors
/// As [`BlockDevice::open`], [`BlockDevice::flush`] and [`bounded`].
pub fn flush_within(path: &Path, timeout: Duration, cancel: &Cancel) -> Result<()> {
    let what = flush_of(path);
    let path = path.to_owned();
    bounded(&what, timeout, cancel, move || {
        BlockDevice::open(&path)?.flush()
    })
}

/// As [`flush_within`], of a device by its name, and joins a flush that is under way. `meanwhile` is called several times
/// a second.
pub(crate) fn flush_joined(
    sysfs: &Sysfs,
    device: &str,
    timeout: Duration,
    cancel: &Cancel,
    meanwhile: impl FnMut() -> Result<()>,
) -> Result<()> {
    let path = sysfs.node(device);
    let what = flush_of(&path);
    let is_real = sysfs.is_real();
    let step = move || {
        if is_real {
            return BlockDevice::open(&path)?.flush();
        }
        // A tree of files has files for devices.
        let file = std::fs::File::open(&path);
        file.and_then(|file| file.sync_all()).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Error::os(flush_of(&path), errno)
        })
    };
    joined(&what, timeout, cancel, step, meanwhile)
}

/// True while a flush of this device has not come back; it has the device open.
pub(crate) fn is_flushed(sysfs: &Sysfs, device: &str) -> bool {
    is_under_way(&flush_of(&sysfs.node(device)))
}

fn flush_of(path: &Path) -> String {
    format!("flush {}", path.display())
}

/// [`is_busy`] within a time. Opening a device may read its partition table.
///
/// # Errors
/// As [`is_busy`] and [`bounded`].
pub fn is_busy_within(path: &Path, timeout: Duration, cancel: &Cancel) -> Result<bool> {
    let what = format!("see who has {}", path.display());
    let path = path.to_owned();
    bounded(&what, timeout, cancel, move || is_busy(&path))
}

/// Trees of files have devices of the same name.
fn name(sysfs: &Sysfs, what: &str) -> String {
    if sysfs.is_real() {
        what.to_owned()
    } else {
        format!("{what} below {}", sysfs.root().display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::testing::TempDir;

    #[test]
    fn a_device_is_flushed_or_says_why_not() {
        let dir = TempDir::new();
        let sysfs = Sysfs::new(dir.path(""));
        let cancel = Cancel::default();
        let flush =
            |name: &str| flush_joined(&sysfs, name, Duration::from_secs(60), &cancel, || Ok(()));
        std::fs::create_dir(dir.path("dev")).unwrap();
        std::fs::write(dir.path("dev/dm-3"), "x").unwrap();
        flush("dm-3").unwrap();
        assert_eq!(flush("dm-4").unwrap_err().kind(), ErrorKind::Absent);
        assert!(!is_flushed(&sysfs, "dm-4"));
    }
}
