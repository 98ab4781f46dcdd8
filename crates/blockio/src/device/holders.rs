// SPDX-License-Identifier: AGPL-3.0-or-later
//! Who uses a disk.

use super::mounts::{Use, uses};
use super::sysfs::{Devno, Sysfs};
use crate::{Error, Result};

const BLOCK: &str = "sys/class/block";

/// Who uses a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// In words for a message, such as `LVM volume vg-root on it`; empty when nobody does. Programs that only opened
    /// it are not among them: see [`is_busy`](crate::block::is_busy).
    pub by: Vec<String>,
    /// Devices that are made of it or of its partitions.
    pub holders: Vec<Holder>,
    /// Its partitions as the kernel sees them. They use nothing by themselves.
    pub partitions: Vec<String>,
}

/// A device that is made of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Name of the device, such as `dm-3`.
    pub name: String,
    /// What it is made of: the disk or one of its partitions.
    pub of: String,
    /// Name of a device mapper map, below `/dev/mapper`.
    pub map: Option<String>,
    /// UUID of a device mapper map: `mpath-…`, `part1-mpath-…`, `LVM-…`.
    pub uuid: Option<String>,
}

/// Who uses a disk or partition, by its name (`sdb`, `dm-3`) or number (`8:16`).
///
/// # Errors
/// `absent` when there is no such device; `invalid` when this is no name of one.
pub fn holders(sysfs: &Sysfs, device: &str) -> Result<InUse> {
    holders_but(sysfs, device, |_| false)
}

/// As [`holders`]; a device on it that is `no_user` counts as none, and is only listed.
///
/// # Errors
/// As [`holders`].
pub(crate) fn holders_but(
    sysfs: &Sysfs,
    device: &str,
    no_user: impl Fn(&Holder) -> bool,
) -> Result<InUse> {
    let name = name_of(sysfs, device)?;
    let mut found = InUse::default();
    let mut parts = vec![name.clone()];
    for entry in sysfs.names(&format!("{BLOCK}/{name}"))? {
        // A partition has its disk's name and this file.
        if entry.starts_with(&name) && sysfs.exists(&format!("{BLOCK}/{name}/{entry}/partition"))? {
            parts.push(entry.clone());
            found.partitions.push(entry);
        }
    }
    let uses = uses(sysfs)?;
    let loops = loops(sysfs)?;
    for part in &parts {
        let whose = if *part == name {
            String::new()
        } else {
            format!("partition {part} ")
        };
        for holder in sysfs.names(&format!("{BLOCK}/{part}/holders"))? {
            let holder = holder_of(sysfs, holder, part)?;
            if !no_user(&holder) {
                found.by.push(describe(&holder, &whose));
            }
            found.holders.push(holder);
        }
        // The kernel follows links before it notes the path.
        let node = format!("/dev/{}", part.replace('!', "/"));
        for (name, _) in loops.iter().filter(|(_, backing)| *backing == node) {
            found.by.push(on(&format!("loop device {name}"), &whose));
        }
        let map = sysfs.text(&format!("{BLOCK}/{part}/dm/name"))?;
        let devno = sysfs
            .text(&format!("{BLOCK}/{part}/dev"))?
            .and_then(|text| text.parse::<Devno>().ok());
        for Use { what, .. } in uses
            .iter()
            .filter(|found| found.is_of(part, map.as_deref(), devno))
        {
            found.by.push(format!("{whose}{what}"));
        }
    }
    Ok(found)
}

/// Name and number of a disk or partition, by either.
pub(super) fn named_devno_of(sysfs: &Sysfs, device: &str) -> Result<(String, Devno)> {
    let name = name_of(sysfs, device)?;
    let text = sysfs.text(&format!("{BLOCK}/{name}/dev"))?;
    let devno = text.and_then(|text| text.parse().ok());
    devno
        .map(|devno| (name, devno))
        .ok_or_else(|| absent(device))
}

/// Loop devices in use and the path of what lies behind.
fn loops(sysfs: &Sysfs) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for name in sysfs.names("sys/block")? {
        if name.starts_with("loop") {
            let backing = sysfs.text(&format!("sys/block/{name}/loop/backing_file"))?;
            found.extend(backing.map(|backing| (name, backing)));
        }
    }
    Ok(found)
}

fn name_of(sysfs: &Sysfs, device: &str) -> Result<String> {
    if let Ok(devno) = device.parse::<Devno>() {
        let path = sysfs.link(&format!("sys/dev/block/{devno}"))?;
        let name = path.as_ref().and_then(|path| path.file_name()?.to_str());
        return name.map(str::to_owned).ok_or_else(|| absent(device));
    }
    if device.is_empty() || device.contains('/') || device.starts_with('.') {
        return Err(Error::invalid(format!(
            "look who uses '{device}': a name such as sdb or a number such as 8:16 is needed"
        )));
    }
    if sysfs.exists(&format!("{BLOCK}/{device}"))? {
        Ok(device.to_owned())
    } else {
        Err(absent(device))
    }
}

fn absent(device: &str) -> Error {
    Error::new(
        crate::ErrorKind::Absent,
        format!("look who uses {device}: there is no such device"),
    )
}

fn holder_of(sysfs: &Sysfs, name: String, of: &str) -> Result<Holder> {
    let text = |file: &str| {
        let found = sysfs.text(&format!("{BLOCK}/{name}/dm/{file}"))?;
        Ok(found.filter(|text| !text.is_empty()))
    };
    Ok(Holder {
        map: text("name")?,
        uuid: text("uuid")?,
        of: of.to_owned(),
        name,
    })
}

fn describe(holder: &Holder, whose: &str) -> String {
    let name = holder.map.as_ref().unwrap_or(&holder.name);
    let uuid = holder.uuid.as_deref().unwrap_or_default();
    let kind = match uuid.split_once('-').map_or("", |(kind, _)| kind) {
        "LVM" => "LVM volume",
        "mpath" => "multipath map",
        "CRYPT" => "encrypted volume",
        part if part.starts_with("part") => "partition map",
        _ if holder.map.is_some() => "device mapper map",
        _ if name.starts_with("md") => "RAID",
        _ if name.starts_with("bcache") => "cache",
        _ => "device",
    };
    on(&format!("{kind} {name}"), whose)
}

fn on(what: &str, whose: &str) -> String {
    if whose.is_empty() {
        format!("{what} on it")
    } else {
        format!("{what} on {}", whose.trim_end())
    }
}
