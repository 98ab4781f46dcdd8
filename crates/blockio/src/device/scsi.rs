// SPDX-License-Identifier: AGPL-3.0-or-later
//! SCSI disks, one path each.

use std::path::{Component, Path};

use super::designator::identities;
use super::hctl::{DEVICES, Hctl};
use super::sweep::sweep;
use super::sysfs::{Devno, Dir, Sysfs};
use super::wwid::{Kind, Wwid};
use super::{iscsi, sysfs};
use crate::Result;

/// Sizes in sysfs are in these units, whatever the sectors of the disk are.
pub(super) const SECTOR: u64 = 512;
/// Where all disks are.
pub(crate) const BLOCKS: &str = "sys/block";

/// One path to a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScsiPath {
    /// Address.
    pub hctl: Hctl,
    /// Name of the disk (`sdb`); `None` as long as the kernel has made none of the device.
    pub name: Option<String>,
    /// Device number of the disk.
    pub devno: Option<Devno>,
    /// Identity, the one of several that udev and multipath take; `None` when the device tells none.
    pub wwid: Option<Wwid>,
    /// Further identities of the same disk.
    pub aliases: Vec<Wwid>,
    /// Bytes; 0 when not known.
    pub size: u64,
    /// The kernel lets nobody write.
    pub read_only: bool,
    /// The kernel's word: `running`, `offline`, `blocked`, `transport-offline`, …
    pub state: String,
    /// Number of the iSCSI session.
    pub session: Option<u32>,
    /// Where the iSCSI session was made, `address:port`, IPv6 in brackets.
    pub portal: Option<String>,
    /// Who made the disk.
    pub vendor: String,
    /// What its maker calls it.
    pub model: String,
}

impl ScsiPath {
    /// True when it is the disk of this identity.
    #[must_use]
    pub fn is(&self, wwid: &Wwid) -> bool {
        self.wwid.as_ref() == Some(wwid) || self.aliases.contains(wwid)
    }
}

/// All paths to the disk of an identity. Looks at one file of each device, and at more of its own paths only.
///
/// # Errors
/// When nothing can be learnt, such as for lack of descriptors. No path is an empty list.
pub fn paths_of(sysfs: &Sysfs, wwid: &Wwid) -> Result<Vec<ScsiPath>> {
    let names = sysfs.names(DEVICES)?;
    let mut all: Vec<Hctl> = names.iter().filter_map(|name| name.parse().ok()).collect();
    all.sort_unstable();
    let mut found = Vec::new();
    for hctl in sweep(sysfs, &all, wwid)? {
        found.extend(describe(sysfs, hctl, Some(wwid))?.filter(|path| path.is(wwid)));
    }
    Ok(found)
}

/// The devices with a LUN on any target of a host. Looks at no others.
///
/// # Errors
/// As [`paths_of`].
pub fn paths_at(sysfs: &Sysfs, host: u32, lun: u64) -> Result<Vec<ScsiPath>> {
    let names = sysfs.names(DEVICES)?;
    let mut found = Vec::new();
    for hctl in names.iter().filter_map(|name| name.parse::<Hctl>().ok()) {
        if (hctl.host, hctl.lun) == (host, lun) {
            found.extend(path_at(sysfs, hctl)?);
        }
    }
    Ok(found)
}

/// The device at an address. Looks at no other.
///
/// # Errors
/// As [`paths_of`]. No device is `None`.
pub fn path_at(sysfs: &Sysfs, hctl: Hctl) -> Result<Option<ScsiPath>> {
    describe(sysfs, hctl, None)
}

/// The path that is the disk `name` (`sdb`); `None` unless the kernel says that it is one to the disk of this identity.
/// Looks at no other.
///
/// # Errors
/// As [`paths_of`].
pub(crate) fn path_called(sysfs: &Sysfs, name: &str, wwid: &Wwid) -> Result<Option<ScsiPath>> {
    let device = sysfs.link(&format!("{BLOCKS}/{name}/device"))?;
    let Some(hctl) = device.as_deref().and_then(address_in) else {
        return Ok(None);
    };
    let path = describe(sysfs, hctl, Some(wwid))?;
    Ok(path.filter(|path| path.name.as_deref() == Some(name) && path.is(wwid)))
}

/// The address that a disk's link to its device ends with.
pub(crate) fn address_in(device: &Path) -> Option<Hctl> {
    device.file_name()?.to_str()?.parse().ok()
}

/// What an open device directory says about its identity. `below` is the device's directory in `dir`, with a slash.
pub(super) fn carries(dir: &Dir<'_>, below: &str, wanted: &Wwid) -> Result<Option<bool>> {
    let kernels = kernels_identity(dir, below)?;
    if let Some(found) = &kernels {
        if found == wanted {
            return Ok(Some(true));
        }
        if found.resembles(wanted) {
            return Ok(Some(false));
        }
    }
    // The kernel may have preferred an identity of another kind.
    let others = identities_of_page(dir, below)?;
    if kernels.is_none() && others.is_empty() {
        return Ok(None);
    }
    Ok(Some(others.contains(wanted)))
}

/// Everything about the device at an address; `wanted` spares the look at identities of other kinds.
pub(super) fn describe(
    sysfs: &Sysfs,
    hctl: Hctl,
    wanted: Option<&Wwid>,
) -> Result<Option<ScsiPath>> {
    let Some(dir) = sysfs.dir(&hctl.dir())? else {
        return Ok(None);
    };
    let (wwid, aliases) = all_identities(&dir, wanted)?;
    let disk = disk_of(&dir)?;
    let session = session_of(sysfs, hctl)?;
    let portal = match session {
        Some(session) => iscsi::portals(sysfs, session)?.into_iter().next(),
        None => None,
    };
    let text = |name| Ok(dir.text(name)?.unwrap_or_default());
    let path = ScsiPath {
        hctl,
        wwid,
        aliases,
        size: disk.as_ref().map_or(0, |disk| disk.size),
        read_only: disk.as_ref().is_some_and(|disk| disk.read_only),
        devno: disk.as_ref().map(|disk| disk.devno),
        name: disk.map(|disk| disk.name),
        state: text("state")?,
        session,
        portal,
        vendor: text("vendor")?,
        model: text("model")?,
    };
    // Without a state it was on its way out, and what was read may be half.
    Ok((!path.state.is_empty()).then_some(path))
}

/// The identity that udev takes, and the others.
fn all_identities(dir: &Dir<'_>, wanted: Option<&Wwid>) -> Result<(Option<Wwid>, Vec<Wwid>)> {
    let kernels = kernels_identity(dir, "")?;
    let naa = |wwid: &&Wwid| wwid.kind() == Kind::Naa;
    if let (Some(found), Some(_)) = (kernels.as_ref().filter(naa), wanted.filter(naa)) {
        return Ok((Some(found.clone()), Vec::new()));
    }
    let mut all = identities_of_page(dir, "")?;
    match kernels {
        Some(found) if found.kind() == Kind::Naa || all.is_empty() => {
            all.retain(|other| *other != found);
            all.insert(0, found);
        }
        Some(found) if !all.contains(&found) => all.push(found),
        _ => {}
    }
    let mut all = all.into_iter();
    Ok((all.next(), all.collect()))
}

fn kernels_identity(dir: &Dir<'_>, below: &str) -> Result<Option<Wwid>> {
    let text = dir.text(&format!("{below}wwid"))?;
    Ok(text.and_then(|text| Wwid::from_kernel(&text).ok()))
}

fn identities_of_page(dir: &Dir<'_>, below: &str) -> Result<Vec<Wwid>> {
    let page = dir.binary(&format!("{below}vpd_pg83"))?;
    Ok(page.map(|page| identities(&page)).unwrap_or_default())
}

struct Disk {
    name: String,
    devno: Devno,
    size: u64,
    read_only: bool,
}

fn disk_of(dir: &Dir<'_>) -> Result<Option<Disk>> {
    // A device has one disk; which of several to take, nobody could say.
    let names = dir.names("block")?;
    let [name] = names.as_slice() else {
        return Ok(None);
    };
    let text = |file: &str| dir.text(&format!("block/{name}/{file}"));
    let Some(devno) = text("dev")?.and_then(|dev| dev.parse().ok()) else {
        return Ok(None);
    };
    Ok(Some(Disk {
        devno,
        size: text("size")?.map_or(0, |sectors| size_of(&sectors)),
        read_only: text("ro")?.is_some_and(|text| text != "0"),
        name: name.clone(),
    }))
}

/// Bytes of a size in sysfs; 0 when it makes no sense.
pub(super) fn size_of(sectors: &str) -> u64 {
    sysfs::number_of::<u64>(sectors)
        .and_then(|sectors| sectors.checked_mul(SECTOR))
        .unwrap_or(0)
}

/// The session is a part of the device's path: `…/host3/session1/target3:0:0/3:0:0:1`.
fn session_of(sysfs: &Sysfs, hctl: Hctl) -> Result<Option<u32>> {
    let Some(path) = sysfs.link(&hctl.dir())? else {
        return Ok(None);
    };
    Ok(path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .find_map(|name| sysfs::number_of(name.strip_prefix("session")?)))
}
