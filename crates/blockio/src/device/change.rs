// SPDX-License-Identifier: AGPL-3.0-or-later
//! Making the kernel look for a disk, look at it again, and let go of it.
//!
//! Each of these is one write that the kernel may work on for minutes when the other end is silent: call them through
//! [`bounded`](super::bounded).

use super::hctl::Hctl;
use super::scsi::carries;
use super::sysfs::{Dir, Sysfs};
use super::wwid::Wwid;
use crate::{Error, ErrorKind, Result};

/// Looks for one LUN, never for all of a host.
///
/// # Errors
/// `absent` when the host is gone.
pub fn scan(sysfs: &Sysfs, at: Hctl) -> Result<()> {
    let host = format!("sys/class/scsi_host/host{}", at.host);
    if !sysfs.exists(&host)? {
        return Err(Error::new(
            ErrorKind::Absent,
            format!(
                "scan for {at}: there is no SCSI host {}; log in to its target again",
                at.host
            ),
        ));
    }
    let Hctl {
        channel,
        target,
        lun,
        ..
    } = at;
    sysfs.write(
        &format!("{host}/scan"),
        &format!("{channel} {target} {lun}"),
    )
}

/// Makes the kernel read size and identity of a disk again.
///
/// # Errors
/// `absent` when there is no device; `refused` when it is not the disk of this identity.
pub fn rescan(sysfs: &Sysfs, at: Hctl, wwid: &Wwid) -> Result<()> {
    let what = "rescan";
    let gone = || {
        Error::new(
            ErrorKind::Absent,
            format!("{what} {at}: there is no such device; connect the disk again"),
        )
    };
    let dir = checked(sysfs, at, wwid, what)?.ok_or_else(gone)?;
    dir.write("rescan", "1")?.ok_or_else(gone)
}

/// Takes a path off this node, without regard for what uses it. False when it was not there.
///
/// # Errors
/// `refused` when it is not the disk of this identity.
pub fn delete(sysfs: &Sysfs, at: Hctl, wwid: &Wwid) -> Result<bool> {
    match checked(sysfs, at, wwid, "delete")? {
        Some(dir) => Ok(dir.write("delete", "1")?.is_some()),
        None => Ok(false),
    }
}

/// What the kernel shall do with requests to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathState {
    /// Send them.
    Running,
    /// Fail them at once: for a dead path that something still waits for.
    Offline,
}

/// Sets the state of a path. False when it was not there.
///
/// # Errors
/// `refused` when it is not the disk of this identity; `invalid` when its state cannot change so.
pub fn set_state(sysfs: &Sysfs, at: Hctl, wwid: &Wwid, state: PathState) -> Result<bool> {
    let word = match state {
        PathState::Running => "running",
        PathState::Offline => "offline",
    };
    match checked(sysfs, at, wwid, "change the state of")? {
        Some(dir) => Ok(dir.write("state", word)?.is_some()),
        None => Ok(false),
    }
}

/// The directory of the device, when it is the disk of this identity. What is written there reaches this very device,
/// also when another one takes the address meanwhile.
fn checked<'a>(sysfs: &'a Sysfs, at: Hctl, wwid: &Wwid, what: &str) -> Result<Option<Dir<'a>>> {
    let Some(dir) = sysfs.dir(&at.dir())? else {
        return Ok(None);
    };
    let found = match carries(&dir, "", wwid)? {
        Some(true) => return Ok(Some(dir)),
        Some(false) => "another disk has that address",
        None => "its identity cannot be read",
    };
    Err(Error::new(
        ErrorKind::Refused,
        format!(
            "{what} {at} as disk {wwid}: {found}; look at {}",
            sysfs.root().join(at.dir()).display()
        ),
    ))
}
