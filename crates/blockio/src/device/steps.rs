// SPDX-License-Identifier: AGPL-3.0-or-later
//! The changes and questions that may hang in the kernel, with their limits of time.

use std::path::Path;
use std::time::Duration;

use super::bounded::bounded;
use super::change::{delete, rescan, scan};
use super::hctl::Hctl;
use super::nvme::nvme_rescan;
use super::sysfs::Sysfs;
use super::wwid::Wwid;
use crate::Result;
use crate::block::{BlockDevice, is_busy};
use crate::stream::Cancel;

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
    let what = format!("flush {}", path.display());
    let path = path.to_owned();
    bounded(&what, timeout, cancel, move || {
        BlockDevice::open(&path)?.flush()
    })
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
