// SPDX-License-Identifier: AGPL-3.0-or-later
//! Disks of arrays. `root` is the directory below which `sys`, `dev` and `proc` are: `/` except in tests. Times are in
//! milliseconds.

use std::time::{Duration, Instant};

use napi::Env;
use napi::bindgen_prelude::{BigInt, Object};
use napi_derive::napi;

use super::{Result, cancellable, promise};
use crate::device::{self, Sysfs, Wwid};
use crate::stream::Cancel;

/// udev is done with a disk by then, or hangs at it.
const USERS_GRACE: Duration = Duration::from_secs(3);
/// `deviceBusy` waits this long, unless told otherwise.
const BUSY_TIMEOUT: u32 = 10_000;

/// Address of a SCSI device, in the kernel's numbers.
#[napi(object)]
#[derive(Clone, Copy)]
pub struct Hctl {
    pub host: u32,
    pub channel: u32,
    pub target: u32,
    pub lun: i64,
}

impl TryFrom<Hctl> for device::Hctl {
    type Error = crate::Error;

    fn try_from(at: Hctl) -> crate::Result<Self> {
        let lun = u64::try_from(at.lun)
            .map_err(|_| crate::Error::invalid(format!("LUN {}: it is negative", at.lun)))?;
        Ok(Self {
            host: at.host,
            channel: at.channel,
            target: at.target,
            lun,
        })
    }
}

impl From<device::Hctl> for Hctl {
    fn from(at: device::Hctl) -> Self {
        Self {
            host: at.host,
            channel: at.channel,
            target: at.target,
            lun: i64::try_from(at.lun).unwrap_or(i64::MAX),
        }
    }
}

/// One path to a disk: `/dev/NAME`.
#[napi(object)]
pub struct DevicePath {
    /// Missing as long as the kernel has made no disk of the device.
    pub name: Option<String>,
    /// `MAJOR:MINOR` of the disk.
    pub dev: Option<String>,
    pub hctl: Hctl,
    /// Identity, of several the one that udev and multipath take; missing when the device tells none.
    pub wwid: Option<String>,
    /// Further identities of the same disk.
    pub aliases: Vec<String>,
    /// Bytes; 0 when not known.
    pub size: BigInt,
    pub read_only: bool,
    /// `running`, `offline`, `blocked`, `transport-offline`, …
    pub state: String,
    /// Number of the iSCSI session.
    pub session: Option<u32>,
    /// Where the iSCSI session was made, `address:port`, IPv6 in brackets.
    pub portal: Option<String>,
    pub vendor: String,
    pub model: String,
}

impl From<device::ScsiPath> for DevicePath {
    fn from(path: device::ScsiPath) -> Self {
        Self {
            name: path.name,
            dev: path.devno.map(|devno| devno.to_string()),
            hctl: path.hctl.into(),
            wwid: path.wwid.map(|wwid| wwid.to_string()),
            aliases: path.aliases.iter().map(ToString::to_string).collect(),
            size: path.size.into(),
            read_only: path.read_only,
            state: path.state,
            session: path.session,
            portal: path.portal,
            vendor: path.vendor,
            model: path.model,
        }
    }
}

/// What `waitPaths` found.
#[napi(object)]
pub struct FoundPaths {
    /// Paths to the disk, with a device node and a size.
    pub there: Vec<DevicePath>,
    /// No disk there, or not yet.
    pub missing: Vec<Hctl>,
    /// At the right address, but another disk, or one that does not say which.
    pub foreign: Vec<DevicePath>,
}

/// A session of this node with an iSCSI target.
#[napi(object)]
pub struct IscsiSession {
    pub id: u32,
    pub target_name: String,
    pub host: u32,
    pub channel: u32,
    pub target: u32,
    /// `LOGGED_IN`, `FAILED` or `FREE`.
    pub state: String,
    /// Portal group of the target.
    pub tpgt: Option<u32>,
    /// `address:port`, IPv6 in brackets: where the session was made, not where the target redirected it.
    pub portals: Vec<String>,
    /// LUNs that are devices here.
    pub luns: Vec<i64>,
}

impl From<device::IscsiSession> for IscsiSession {
    fn from(session: device::IscsiSession) -> Self {
        Self {
            id: session.id,
            target_name: session.target_name,
            host: session.host,
            channel: session.channel,
            target: session.target,
            state: session.state,
            tpgt: session.tpgt,
            portals: session.portals,
            luns: session
                .luns
                .into_iter()
                .map(|at| Hctl::from(at).lun)
                .collect(),
        }
    }
}

/// Who uses a disk.
#[napi(object)]
pub struct DeviceHolders {
    /// In words for a message; empty when nobody does. Programs that only opened it are not among them.
    pub by: Vec<String>,
    pub holders: Vec<DeviceHolder>,
    /// Partitions as the kernel sees them. They use nothing by themselves.
    pub partitions: Vec<String>,
}

/// A device that is made of another one.
#[napi(object)]
pub struct DeviceHolder {
    /// Such as `dm-3`.
    pub name: String,
    /// What it is made of: the disk or one of its partitions.
    pub of: String,
    /// Name of a device mapper map.
    pub map: Option<String>,
    /// UUID of a device mapper map.
    pub uuid: Option<String>,
}

/// A connection to an NVMe subsystem.
#[napi(object)]
pub struct NvmeController {
    /// Such as `nvme3`.
    pub name: String,
    /// `live`, `connecting`, `resetting`, `deleting`, …
    pub state: String,
    /// `tcp`, `rdma`, `fc`, …
    pub transport: String,
    /// `traddr=192.0.2.1,trsvcid=4420,…`
    pub address: String,
}

impl From<device::NvmeController> for NvmeController {
    fn from(controller: device::NvmeController) -> Self {
        Self {
            name: controller.name,
            state: controller.state,
            transport: controller.transport,
            address: controller.address,
        }
    }
}

/// A disk of an NVMe subsystem: `/dev/NAME`.
#[napi(object)]
pub struct NvmeNamespace {
    /// Such as `nvme0n1`, never a single path.
    pub name: String,
    /// `MAJOR:MINOR`.
    pub dev: String,
    pub nsid: Option<u32>,
    /// Bytes; 0 when not known.
    pub size: BigInt,
    pub read_only: bool,
    /// The kernel combines all paths into this disk.
    pub multipath: bool,
    pub paths: Vec<NvmePath>,
}

/// A path to an NVMe namespace.
#[napi(object)]
pub struct NvmePath {
    /// Such as `nvme0c3n1`.
    pub name: String,
    pub controller: NvmeController,
    /// `optimized`, `non-optimized`, `inaccessible`, …; empty when the array does not say.
    pub ana_state: String,
}

impl From<device::NvmeNamespace> for NvmeNamespace {
    fn from(namespace: device::NvmeNamespace) -> Self {
        Self {
            name: namespace.name,
            dev: namespace.devno.to_string(),
            nsid: namespace.nsid,
            size: namespace.size.into(),
            read_only: namespace.read_only,
            multipath: namespace.multipath,
            paths: namespace
                .paths
                .into_iter()
                .map(|path| NvmePath {
                    name: path.name,
                    controller: path.controller.into(),
                    ana_state: path.ana_state,
                })
                .collect(),
        }
    }
}

/// A port of an array, as one Fibre Channel host of this node sees it.
#[napi(object)]
pub struct FcTarget {
    pub host: u32,
    pub channel: u32,
    pub target: u32,
    /// World-wide name of the array's port, 16 hexadecimal digits.
    pub port_name: String,
    /// `Online`, `Blocked`, …
    pub state: String,
    /// World-wide name of the host's port.
    pub host_port_name: Option<String>,
    /// `Online`, `Linkdown`, …
    pub host_state: Option<String>,
}

impl From<device::FcTarget> for FcTarget {
    fn from(target: device::FcTarget) -> Self {
        Self {
            host: target.host,
            channel: target.channel,
            target: target.target,
            port_name: target.port_name,
            state: target.state,
            host_port_name: target.host_port_name,
            host_state: target.host_state,
        }
    }
}

/// All paths to the disk of an identity, found by asking each device of the node; `wwid` in the form of udev and
/// multipath, or the kernel's.
#[napi(ts_return_type = "Promise<Array<DevicePath>>")]
pub fn device_paths(env: &Env, root: String, wwid: String) -> Result<Object<'_>> {
    promise(env, move || {
        let paths = device::paths_of(&Sysfs::new(root), &wwid.parse()?)?;
        Ok(all::<DevicePath, _>(paths))
    })
}

/// The sessions with a target.
#[napi(ts_return_type = "Promise<Array<IscsiSession>>")]
pub fn iscsi_sessions(env: &Env, root: String, target_name: String) -> Result<Object<'_>> {
    promise(env, move || {
        let sessions = device::sessions(&Sysfs::new(root), &target_name)?;
        Ok(all::<IscsiSession, _>(sessions))
    })
}

/// Makes the kernel look for one LUN. `absent` when the host is gone.
#[napi(ts_return_type = "Promise<void>")]
pub fn scan_lun(env: &Env, root: String, hctl: Hctl, timeout_ms: u32) -> Result<Object<'_>> {
    promise(env, move || {
        let root = Sysfs::new(root);
        device::scan_within(&root, hctl.try_into()?, millis(timeout_ms), &never())
    })
}

/// Waits until there is a disk at each of these addresses, and tells at the end of the time what is there. `cancel()`
/// of the promise stops it.
#[napi(ts_return_type = "Promise<FoundPaths> & { cancel(): void }")]
pub fn wait_paths(
    env: &Env,
    root: String,
    wwid: String,
    hctls: Vec<Hctl>,
    timeout_ms: u32,
) -> Result<Object<'_>> {
    // Before the thread starts: the caller's time runs.
    let deadline = Instant::now() + millis(timeout_ms);
    cancellable(env, move |cancel| {
        let at: crate::Result<Vec<_>> = hctls.into_iter().map(TryInto::try_into).collect();
        let (root, wwid): (_, Wwid) = (Sysfs::new(root), wwid.parse()?);
        let found = device::wait_paths(&root, &wwid, &at?, deadline, cancel)?;
        Ok(FoundPaths {
            there: all(found.there),
            missing: all(found.missing),
            foreign: all(found.foreign),
        })
    })
}

/// Makes the kernel read the size of a disk again. `refused` when the device is another disk.
#[napi(ts_return_type = "Promise<void>")]
pub fn rescan_path(
    env: &Env,
    root: String,
    hctl: Hctl,
    wwid: String,
    timeout_ms: u32,
) -> Result<Object<'_>> {
    promise(env, move || {
        let (root, at) = (Sysfs::new(root), hctl.try_into()?);
        device::rescan_within(&root, at, &wwid.parse()?, millis(timeout_ms), &never())
    })
}

/// Takes a path off this node, without regard for what uses it. False when it was not there. `refused` when the device
/// is another disk.
#[napi(ts_return_type = "Promise<boolean>")]
pub fn delete_path(
    env: &Env,
    root: String,
    hctl: Hctl,
    wwid: String,
    timeout_ms: u32,
) -> Result<Object<'_>> {
    promise(env, move || {
        let (root, at) = (Sysfs::new(root), hctl.try_into()?);
        device::delete_within(&root, at, &wwid.parse()?, millis(timeout_ms), &never())
    })
}

/// Who uses a disk or partition; `name` such as `sdb` or `8:16`.
#[napi(ts_return_type = "Promise<DeviceHolders>")]
pub fn device_holders(env: &Env, root: String, name: String) -> Result<Object<'_>> {
    promise(env, move || {
        let found = device::holders(&Sysfs::new(root), &name)?;
        Ok(DeviceHolders {
            by: found.by,
            holders: found
                .holders
                .into_iter()
                .map(|holder| DeviceHolder {
                    name: holder.name,
                    of: holder.of,
                    map: holder.map,
                    uuid: holder.uuid,
                })
                .collect(),
            partitions: found.partitions,
        })
    })
}

/// Writes what the page cache has of a block device, and drops it.
#[napi(ts_return_type = "Promise<void>")]
pub fn flush_device(env: &Env, path: String, timeout_ms: u32) -> Result<Object<'_>> {
    promise(env, move || {
        device::flush_within(path.as_ref(), millis(timeout_ms), &never())
    })
}

/// Whether somebody has a block device for himself (a mount, a map, another program). 10 s, unless told otherwise.
#[napi(ts_return_type = "Promise<boolean>")]
pub fn device_busy(env: &Env, path: String, timeout_ms: Option<u32>) -> Result<Object<'_>> {
    let timeout = millis(timeout_ms.unwrap_or(BUSY_TIMEOUT));
    promise(env, move || {
        device::is_busy_within(path.as_ref(), timeout, &never())
    })
}

/// The disk of an NVMe subsystem with this NGUID (or EUI-64, or `uuid.…`), and its paths. `unsupported` when the kernel
/// does not combine several paths.
#[napi(ts_return_type = "Promise<NvmeNamespace | null>")]
pub fn nvme_namespace(env: &Env, root: String, nqn: String, nguid: String) -> Result<Object<'_>> {
    promise(env, move || {
        let found = device::nvme_namespace(&Sysfs::new(root), &nqn, &Wwid::nvme(&nguid)?)?;
        Ok(found.map(NvmeNamespace::from))
    })
}

/// The controllers that are connected to an NVMe subsystem.
#[napi(ts_return_type = "Promise<Array<NvmeController>>")]
pub fn nvme_controllers(env: &Env, root: String, nqn: String) -> Result<Object<'_>> {
    promise(env, move || {
        let controllers = device::nvme_controllers(&Sysfs::new(root), &nqn)?;
        Ok(all::<NvmeController, _>(controllers))
    })
}

/// Where the Fibre Channel port of an array can be scanned for LUNs.
#[napi(ts_return_type = "Promise<Array<FcTarget>>")]
pub fn fc_targets(env: &Env, root: String, wwpn: String) -> Result<Object<'_>> {
    promise(env, move || {
        let targets = device::fc_targets(&Sysfs::new(root), &wwpn)?;
        Ok(all::<FcTarget, _>(targets))
    })
}

pub(super) fn all<To: From<From_>, From_>(found: Vec<From_>) -> Vec<To> {
    found.into_iter().map(To::from).collect()
}

fn millis(timeout: u32) -> Duration {
    Duration::from_millis(timeout.into())
}

/// These have a limit of time instead.
fn never() -> Cancel {
    Cancel::default()
}

/// Who uses a disk (`sdb`), in words: what is made of it, mounts, programs that have it open; empty when nobody does.
/// Who only looks at it, as udev does, is waited for up to 3 s.
#[napi(ts_return_type = "Promise<Array<string>>")]
pub fn device_users(env: &Env, root: String, name: String) -> Result<Object<'_>> {
    promise(env, move || {
        let sysfs = Sysfs::new(root);
        device::users_within(&sysfs, &name, USERS_GRACE)
    })
}

/// Names of all disks of an NVMe subsystem, never those of single paths.
#[napi(ts_return_type = "Promise<Array<string>>")]
pub fn nvme_disks(env: &Env, root: String, nqn: String) -> Result<Object<'_>> {
    promise(env, move || device::nvme_disks(&Sysfs::new(root), &nqn))
}

/// Makes an NVMe controller (`nvme3`) look for disks and their sizes. `timeout` when it is not done in time.
#[napi(ts_return_type = "Promise<void>")]
pub fn nvme_rescan(
    env: &Env,
    root: String,
    controller: String,
    timeout_ms: u32,
) -> Result<Object<'_>> {
    promise(env, move || {
        let sysfs = Sysfs::new(root);
        device::nvme_rescan_within(&sysfs, &controller, millis(timeout_ms), &never())
    })
}
