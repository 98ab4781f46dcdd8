// SPDX-License-Identifier: AGPL-3.0-or-later
//! NVMe namespaces and the controllers through which they are reached.

use super::scsi::size_of;
use super::sysfs::{Devno, Dir, Sysfs, number_of};
use super::wwid::Wwid;
use crate::{Error, ErrorKind, Result};

const SUBSYSTEMS: &str = "sys/class/nvme-subsystem";
const CONTROLLERS: &str = "sys/class/nvme";

/// A connection to a subsystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvmeController {
    /// Name, such as `nvme3`.
    pub name: String,
    /// The kernel's word: `live`, `connecting`, `resetting`, `deleting`, `dead`, …
    pub state: String,
    /// `tcp`, `rdma`, `fc`, `pcie`, `loop`.
    pub transport: String,
    /// Address as the transport writes it: `traddr=192.0.2.1,trsvcid=4420,src_addr=192.0.2.9`.
    pub address: String,
}

/// A disk of a subsystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvmeNamespace {
    /// Name of the disk: `nvme0n1`, never that of a single path.
    pub name: String,
    /// Device number.
    pub devno: Devno,
    /// Number of the namespace in its subsystem.
    pub nsid: Option<u32>,
    /// Bytes; 0 when not known.
    pub size: u64,
    /// The kernel lets nobody write.
    pub read_only: bool,
    /// Identity that the namespace was found by.
    pub wwid: Wwid,
    /// The kernel combines all paths into this disk.
    pub multipath: bool,
    /// The paths to it.
    pub paths: Vec<NvmePath>,
}

/// A path to a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvmePath {
    /// Name of the path, such as `nvme0c3n1`.
    pub name: String,
    /// Its controller.
    pub controller: NvmeController,
    /// The kernel's word: `optimized`, `non-optimized`, `inaccessible`, …; empty when the array does not say.
    pub ana_state: String,
}

/// The controllers that are connected to a subsystem.
///
/// # Errors
/// When nothing can be learnt, such as for lack of descriptors. No controller is an empty list.
pub fn nvme_controllers(sysfs: &Sysfs, nqn: &str) -> Result<Vec<NvmeController>> {
    let mut found = Vec::new();
    for name in sysfs.names(CONTROLLERS)? {
        let theirs = sysfs.text(&format!("{CONTROLLERS}/{name}/subsysnqn"))?;
        if is_controller(&name) && theirs.as_deref() == Some(nqn) {
            found.push(controller(sysfs, &name)?);
        }
    }
    Ok(found)
}

/// The disk of a subsystem that has an identity: NGUID or EUI-64 (see [`Wwid::nvme`]), or UUID.
///
/// # Errors
/// `unsupported` when the kernel combines no paths and there are several: none of them may be used alone. No disk is
/// `None`.
pub fn nvme_namespace(sysfs: &Sysfs, nqn: &str, wwid: &Wwid) -> Result<Option<NvmeNamespace>> {
    let controllers = nvme_controllers(sysfs, nqn)?;
    for subsystem in sysfs.names(SUBSYSTEMS)? {
        let dir = format!("{SUBSYSTEMS}/{subsystem}");
        if sysfs.text(&format!("{dir}/subsysnqn"))?.as_deref() != Some(nqn) {
            continue;
        }
        for name in sysfs.names(&dir)?.iter().filter(|name| is_disk(name)) {
            if let Some(found) = disk(sysfs, &dir, name, wwid)? {
                return Ok(Some(NvmeNamespace {
                    multipath: true,
                    paths: paths(sysfs, &controllers, wwid)?,
                    ..found
                }));
            }
        }
    }
    // Without native multipath, the disk belongs to its controller.
    let mut single = Vec::new();
    for controller in &controllers {
        let dir = format!("{CONTROLLERS}/{}", controller.name);
        for name in sysfs.names(&dir)?.iter().filter(|name| is_disk(name)) {
            if let Some(mut found) = disk(sysfs, &dir, name, wwid)? {
                found.paths.push(NvmePath {
                    name: name.clone(),
                    controller: controller.clone(),
                    ana_state: String::new(),
                });
                single.push(found);
            }
        }
    }
    if single.len() > 1 {
        let names: Vec<&str> = single.iter().map(|found| found.name.as_str()).collect();
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "find disk {wwid} of '{nqn}': the kernel does not combine its paths ({}); boot with nvme_core.multipath=Y",
                names.join(", ")
            ),
        ));
    }
    Ok(single.pop())
}

/// Names of all disks of a subsystem, never those of single paths.
///
/// # Errors
/// When nothing can be learnt, such as for lack of descriptors.
pub fn nvme_disks(sysfs: &Sysfs, nqn: &str) -> Result<Vec<String>> {
    let mut dirs = Vec::new();
    for subsystem in sysfs.names(SUBSYSTEMS)? {
        let dir = format!("{SUBSYSTEMS}/{subsystem}");
        if sysfs.text(&format!("{dir}/subsysnqn"))?.as_deref() == Some(nqn) {
            dirs.push(dir);
        }
    }
    for controller in nvme_controllers(sysfs, nqn)? {
        dirs.push(format!("{CONTROLLERS}/{}", controller.name));
    }
    let mut found = Vec::new();
    for dir in dirs {
        found.extend(sysfs.names(&dir)?.into_iter().filter(|name| is_disk(name)));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Makes a controller look for disks and their sizes. It may take long when the other end is silent.
///
/// # Errors
/// `invalid` when this is no name of a controller; `absent` when it is gone.
pub fn nvme_rescan(sysfs: &Sysfs, name: &str) -> Result<()> {
    if !is_controller(name) {
        return Err(Error::invalid(format!(
            "rescan '{name}': this is no NVMe controller"
        )));
    }
    let file = format!("{CONTROLLERS}/{name}/rescan_controller");
    if !sysfs.exists(&file)? {
        return Err(Error::new(
            ErrorKind::Absent,
            format!("rescan {name}: there is no such controller; connect the disk again"),
        ));
    }
    sysfs.write(&file, "1")
}

fn controller(sysfs: &Sysfs, name: &str) -> Result<NvmeController> {
    let text = |file: &str| {
        let text = sysfs.text(&format!("{CONTROLLERS}/{name}/{file}"))?;
        Ok(text.unwrap_or_default())
    };
    Ok(NvmeController {
        name: name.to_owned(),
        state: text("state")?,
        transport: text("transport")?,
        address: text("address")?,
    })
}

/// The disk of this name, when it has this identity.
fn disk(sysfs: &Sysfs, parent: &str, name: &str, wwid: &Wwid) -> Result<Option<NvmeNamespace>> {
    let Some(dir) = sysfs.dir(&format!("{parent}/{name}"))? else {
        return Ok(None);
    };
    if !carries(&dir, wwid)? {
        return Ok(None);
    }
    // On its way in or out.
    let Some(devno) = dir.text("dev")?.and_then(|text| text.parse().ok()) else {
        return Ok(None);
    };
    Ok(Some(NvmeNamespace {
        name: name.to_owned(),
        devno,
        nsid: dir.text("nsid")?.and_then(|text| number_of(&text)),
        size: dir.text("size")?.map_or(0, |sectors| size_of(&sectors)),
        read_only: dir.text("ro")?.is_some_and(|text| text != "0"),
        wwid: wwid.clone(),
        multipath: false,
        paths: Vec::new(),
    }))
}

fn paths(sysfs: &Sysfs, controllers: &[NvmeController], wwid: &Wwid) -> Result<Vec<NvmePath>> {
    let mut found = Vec::new();
    for controller in controllers {
        let dir = format!("{CONTROLLERS}/{}", controller.name);
        for name in sysfs.names(&dir)?.into_iter().filter(|name| is_path(name)) {
            let Some(path) = sysfs.dir(&format!("{dir}/{name}"))? else {
                continue;
            };
            if carries(&path, wwid)? {
                let ana_state = path.text("ana_state")?;
                found.push(NvmePath {
                    name,
                    controller: controller.clone(),
                    ana_state: ana_state.unwrap_or_default(),
                });
            }
        }
    }
    Ok(found)
}

/// True when a namespace has this identity. The kernel's `wwid` shows the UUID first, then the NGUID, then the EUI-64.
fn carries(dir: &Dir<'_>, wanted: &Wwid) -> Result<bool> {
    let kernels = dir
        .text("wwid")?
        .and_then(|text| Wwid::from_kernel(&text).ok());
    if let Some(found) = kernels.filter(|found| found.resembles(wanted)) {
        return Ok(found == *wanted);
    }
    for file in ["nguid", "eui"] {
        let found = dir.text(file)?.and_then(|text| Wwid::nvme(&text).ok());
        if found.as_ref() == Some(wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `nvme3`
fn is_controller(name: &str) -> bool {
    numbers(name, &["nvme"])
}

/// `nvme0n1`
fn is_disk(name: &str) -> bool {
    numbers(name, &["nvme", "n"])
}

/// `nvme0c3n1`
fn is_path(name: &str) -> bool {
    numbers(name, &["nvme", "c", "n"])
}

/// True when `name` is made of these words with a number behind each.
fn numbers(name: &str, words: &[&str]) -> bool {
    let mut rest = name;
    for word in words {
        let Some(behind) = rest.strip_prefix(word) else {
            return false;
        };
        rest = behind.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() == behind.len() {
            return false;
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_paths_and_controllers_differ_by_their_names() {
        assert!(is_controller("nvme12") && !is_controller("nvme") && !is_controller("nvme1n1"));
        assert!(is_disk("nvme0n1") && !is_disk("nvme0c1n1") && !is_disk("nvme0n1p1"));
        assert!(is_path("nvme0c12n3") && !is_path("nvme0n1") && !is_path("nvme0c1n"));
        assert!(!is_disk("ng0n1") && !is_disk(""));
    }
}
