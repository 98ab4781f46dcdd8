// SPDX-License-Identifier: AGPL-3.0-or-later
//! Waiting for devices.

use std::time::{Duration, Instant};

use super::hctl::Hctl;
use super::scsi::{ScsiPath, describe};
use super::sysfs::Sysfs;
use super::uevent::Uevents;
use super::wwid::Wwid;
use crate::Result;
use crate::stream::Cancel;

/// Without announcements, this is how often one looks: first, and at last.
const LOOK_MIN: Duration = Duration::from_millis(100);
const LOOK_MAX: Duration = Duration::from_millis(500);
/// Announcements of one disk come within so long.
const SWARM: Duration = Duration::from_millis(10);

/// Pauses of one who waits for devices, ended by the kernel's announcements.
#[derive(Debug)]
pub struct Watch(Option<Uevents>);

impl Watch {
    /// Begins to listen. Of a tree of files, nothing is heard; of a system that does not let us listen, neither.
    #[must_use]
    pub fn of(sysfs: &Sysfs) -> Self {
        let uevents = sysfs.is_real().then(Uevents::open).and_then(Result::ok);
        Self(uevents)
    }

    /// Returns when a disk came, went or changed, but not before the end of the swarm in which announcements come. After
    /// `max`, without any.
    ///
    /// # Errors
    /// `cancelled`.
    pub fn pause(&self, max: Duration, cancel: &Cancel) -> Result<()> {
        let end = Instant::now() + max;
        cancel.sleep(SWARM.min(max))?;
        let _interruptible = cancel.enter();
        loop {
            cancel.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            match self.0.as_ref().map(|uevents| uevents.wait(left)) {
                Some(Ok(true)) => return Ok(()),
                Some(Ok(false)) => {}
                // Nothing will be heard any more.
                Some(Err(_)) | None => cancel.sleep(left)?,
            }
        }
    }
}

/// Waits until `condition` gives something. Looks at once, whenever the kernel announces a change of disks, and now and
/// then in case that it cannot be heard. The last look is at the deadline; `None` when that one gives nothing, too.
///
/// # Errors
/// Those of `condition`; `cancelled`.
pub fn wait_for<T>(
    sysfs: &Sysfs,
    deadline: Instant,
    cancel: &Cancel,
    mut condition: impl FnMut(&Sysfs) -> Result<Option<T>>,
) -> Result<Option<T>> {
    cancel.check()?;
    // Listening begins before the first look: what happens in between is not missed.
    let watch = Watch::of(sysfs);
    let mut pause = LOOK_MIN;
    loop {
        if let Some(found) = condition(sysfs)? {
            return Ok(Some(found));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        watch.pause(pause.min(left), cancel)?;
        pause = (pause * 3 / 2).min(LOOK_MAX);
    }
}

/// What was found at some addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundPaths {
    /// Paths to the disk that was looked for: with a device node and a size.
    pub there: Vec<ScsiPath>,
    /// Addresses where no disk is, or not yet.
    pub missing: Vec<Hctl>,
    /// Devices of another identity, or of none: the address was given to another disk.
    pub foreign: Vec<ScsiPath>,
}

/// Waits until there is a disk at each of these addresses; looks at no other. At the deadline, the result is what was
/// found till then.
///
/// # Errors
/// When nothing can be learnt, such as for lack of descriptors; `cancelled`.
pub fn wait_paths(
    sysfs: &Sysfs,
    wwid: &Wwid,
    at: &[Hctl],
    deadline: Instant,
    cancel: &Cancel,
) -> Result<FoundPaths> {
    let mut found = FoundPaths::default();
    wait_for(sysfs, deadline, cancel, |sysfs| {
        found = look(sysfs, wwid, at)?;
        Ok(found.missing.is_empty().then_some(()))
    })?;
    Ok(found)
}

fn look(sysfs: &Sysfs, wwid: &Wwid, at: &[Hctl]) -> Result<FoundPaths> {
    let mut found = FoundPaths::default();
    for hctl in at {
        match describe(sysfs, *hctl, Some(wwid))? {
            Some(path) if path.is(wwid) => {
                if is_ready(sysfs, &path) {
                    found.there.push(path);
                } else {
                    found.missing.push(*hctl);
                }
            }
            // The kernel knows the identity before it shows the device.
            Some(path) => found.foreign.push(path),
            None => found.missing.push(*hctl),
        }
    }
    Ok(found)
}

fn is_ready(sysfs: &Sysfs, path: &ScsiPath) -> bool {
    match (&path.name, path.devno) {
        (Some(name), Some(devno)) => path.size > 0 && sysfs.has_node(name, devno),
        _ => false,
    }
}
