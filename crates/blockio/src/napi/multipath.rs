// SPDX-License-Identifier: AGPL-3.0-or-later
//! Multipath maps for JavaScript.
//!
//! `root` has `sys`, `proc` and `dev` below it: `/`, except in tests. `socket` is multipathd's where it is not where
//! the system has it; `@` begins an abstract name.

use std::path::Path;
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::{BigInt, Object};
use napi_derive::napi;

use super::device::{DevicePath, all};
use super::{Result, bytes, cancellable, promise};
use crate::multipath::{
    Checker, DeviceState, Ensured, FindMultipaths, Map, MapPath, Multipath, Off, PathState,
    Patience, Settings, Status,
};
use crate::stream::Cancel;

/// A path of a multipath map.
#[napi(object)]
pub struct MultipathPath {
    /// The disk: `sdb`.
    pub name: String,
    /// SCSI address `host:channel:target:lun`; other disks have none.
    pub hctl: Option<String>,
    /// Nothing is known that speaks against it.
    pub usable: bool,
    /// The kernel's opinion.
    #[napi(ts_type = "'active' | 'failed' | 'unknown'")]
    pub state: String,
    /// The SCSI layer's.
    #[napi(ts_type = "'running' | 'offline' | 'blocked' | 'unknown'")]
    pub device_state: String,
    /// The daemon's.
    #[napi(ts_type = "'ready' | 'standby' | 'faulty' | 'unsettled' | 'unknown'")]
    pub checker: String,
}

impl From<MapPath> for MultipathPath {
    fn from(path: MapPath) -> Self {
        let state = match path.state {
            PathState::Active => "active",
            PathState::Failed => "failed",
            PathState::Unknown => "unknown",
        };
        let device_state = match path.device_state {
            DeviceState::Running => "running",
            DeviceState::Offline => "offline",
            DeviceState::Blocked => "blocked",
            DeviceState::Unknown => "unknown",
        };
        let checker = match path.checker {
            Checker::Ready => "ready",
            Checker::Standby => "standby",
            Checker::Faulty => "faulty",
            Checker::Unsettled => "unsettled",
            Checker::Unknown => "unknown",
        };
        Self {
            usable: path.is_usable(),
            name: path.name,
            hctl: path.hctl,
            state: state.to_owned(),
            device_state: device_state.to_owned(),
            checker: checker.to_owned(),
        }
    }
}

/// A multipath map.
#[napi(object)]
pub struct MultipathMap {
    /// Name below `/dev/mapper`: the WWID, `mpathN` or an alias.
    pub name: String,
    /// Kernel's name (`dm-3`), good for as long as the map is.
    pub node: String,
    /// Identity.
    pub wwid: String,
    /// Bytes.
    pub size: BigInt,
    /// I/O waits for somebody to resume it.
    pub suspended: bool,
    /// Without a usable path, I/O waits instead of failing; missing when nobody could tell.
    pub queueing: Option<bool>,
    /// How often it is open; missing when nobody could tell.
    pub open_count: Option<u32>,
    /// Its disks by name.
    pub paths: Vec<MultipathPath>,
}

impl From<Map> for MultipathMap {
    fn from(map: Map) -> Self {
        Self {
            name: map.name,
            node: map.device,
            wwid: map.wwid,
            size: map.size.into(),
            suspended: map.suspended,
            queueing: map.queueing,
            open_count: map.open_count,
            paths: map.paths.into_iter().map(MultipathPath::from).collect(),
        }
    }
}

/// What `multipathEnsure` is to reach.
#[napi(object)]
pub struct MultipathWanted {
    /// Where the system is.
    pub root: String,
    /// multipathd's socket.
    pub socket: Option<String>,
    /// Identity of the disk.
    pub wwid: String,
    /// Its paths: `sdb`.
    pub paths: Vec<String>,
    /// So many of them are to be usable.
    pub wanted: u32,
    /// For as long as there is time.
    pub timeout_ms: u32,
}

/// What `multipathEnsure` reached.
#[napi(object)]
pub struct MultipathEnsured {
    /// The map; missing when there is none and will be none.
    pub map: Option<MultipathMap>,
    /// Why not: multipathd does not run, or its configuration excludes the disk.
    #[napi(ts_type = "'not-running' | 'excluded'")]
    pub off: Option<String>,
    /// Given paths that are not in the map.
    pub missing: Vec<String>,
}

impl From<Ensured> for MultipathEnsured {
    fn from(ensured: Ensured) -> Self {
        match ensured {
            Ensured::Map { map, missing } => Self {
                map: Some(map.into()),
                off: None,
                missing,
            },
            Ensured::Off(off) => Self {
                map: None,
                off: Some(
                    match off {
                        Off::NotRunning => "not-running",
                        Off::Excluded => "excluded",
                    }
                    .to_owned(),
                ),
                missing: Vec::new(),
            },
        }
    }
}

/// What `multipathRemove` did.
#[napi(object)]
pub struct MultipathRemoved {
    /// There was a map.
    pub found: bool,
    /// Everything was written out; false when no path was left for that.
    pub flushed: bool,
}

/// An alias of the configuration.
#[napi(object)]
pub struct MultipathAlias {
    /// Identity.
    pub wwid: String,
    /// Name of its map.
    pub alias: String,
}

/// The part of multipathd's configuration that matters here.
#[napi(object)]
pub struct MultipathSettings {
    /// Which disks become maps by themselves; those that are asked for do in any case.
    #[napi(ts_type = "'all' | 'several' | 'wanted' | 'unknown'")]
    pub find_multipaths: String,
    /// The default; sections for arrays, maps and everything may say otherwise.
    pub user_friendly_names: bool,
    /// Maps without an alias are called by their WWID, of whatever array they are.
    pub named_by_wwid: bool,
    /// Maps with a name of their own.
    pub aliases: Vec<MultipathAlias>,
}

impl From<Settings> for MultipathSettings {
    fn from(settings: Settings) -> Self {
        let find = match settings.find_multipaths {
            FindMultipaths::All => "all",
            FindMultipaths::Several => "several",
            FindMultipaths::Wanted => "wanted",
            FindMultipaths::Unknown(_) => "unknown",
        };
        Self {
            find_multipaths: find.to_owned(),
            user_friendly_names: settings.user_friendly_names,
            named_by_wwid: settings.named_by_wwid,
            aliases: settings
                .aliases
                .into_iter()
                .map(|(wwid, alias)| MultipathAlias { wwid, alias })
                .collect(),
        }
    }
}

/// The map of a WWID as the kernel has it; null when it has none. multipathd is not asked.
#[napi(ts_return_type = "Promise<MultipathMap | null>")]
pub fn multipath_map(env: &Env, root: String, wwid: String) -> Result<Object<'_>> {
    promise(env, move || {
        let multipath = Multipath::new(Path::new(&root), None);
        Ok(multipath.kernel_map(&wwid)?.map(MultipathMap::from))
    })
}

/// The paths that the disk of an identity is used through: those of its map, all when it has none. Of a map's disk nothing
/// else of the node is looked at; a path outside of the map is in `devicePaths` only.
#[napi(ts_return_type = "Promise<Array<DevicePath>>")]
pub fn used_paths(env: &Env, root: String, wwid: String) -> Result<Object<'_>> {
    promise(env, move || {
        let multipath = Multipath::new(Path::new(&root), None);
        let paths = multipath.used_paths(&wwid.parse()?)?;
        Ok(all::<DevicePath, _>(paths))
    })
}

/// Waits until the disk has a map of all `paths` of which `wanted` are usable, and its name is below `/dev/mapper`;
/// multipathd is told to make it. A map that works with less is accepted at the deadline, and earlier when nothing
/// changes any more.
///
/// Rejects with `timeout` when there is no map with a usable path in time.
#[napi(ts_return_type = "Promise<MultipathEnsured> & { cancel(): void }")]
pub fn multipath_ensure(env: &Env, wanted: MultipathWanted) -> Result<Object<'_>> {
    cancellable(env, move |cancel| {
        let multipath = Multipath::new(Path::new(&wanted.root), wanted.socket.as_deref());
        let usable = usize::try_from(wanted.wanted).unwrap_or(usize::MAX);
        let patience = Patience::new(millis(wanted.timeout_ms), cancel);
        multipath
            .ensure_map(&wanted.wwid, &wanted.paths, usable, &patience)
            .map(MultipathEnsured::from)
    })
}

/// Makes the map have `size` bytes, which its paths have or are about to have.
///
/// Rejects with `absent` without a map, `timeout` when it has another size at the deadline, `unreachable` when
/// multipathd does not run.
#[napi(ts_return_type = "Promise<void>")]
pub fn multipath_resize(
    env: &Env,
    root: String,
    socket: Option<String>,
    wwid: String,
    size: BigInt,
    timeout_ms: u32,
) -> Result<Object<'_>> {
    let size = bytes("size", &size)?;
    promise(env, move || {
        let multipath = Multipath::new(Path::new(&root), socket.as_deref());
        within(millis(timeout_ms), |patience| {
            multipath.resize_map(&wwid, size, patience)
        })
    })
}

/// Removes the map with its partitions after everything was written out. One that is not there is fine. Its disks stay,
/// and may be deleted afterwards.
///
/// Rejects with `busy`, naming the users; with the device's error when something could not be written although a path
/// is usable; with `timeout`. The map is as it was in all these cases.
#[napi(ts_return_type = "Promise<MultipathRemoved>")]
pub fn multipath_remove(
    env: &Env,
    root: String,
    socket: Option<String>,
    wwid: String,
    timeout_ms: u32,
) -> Result<Object<'_>> {
    promise(env, move || {
        let multipath = Multipath::new(Path::new(&root), socket.as_deref());
        let removed = within(millis(timeout_ms), |patience| {
            multipath.remove_map(&wwid, patience)
        })?;
        Ok(MultipathRemoved {
            found: removed.found,
            flushed: removed.flushed,
        })
    })
}

/// Whether multipathd runs and answers.
#[napi(ts_return_type = "Promise<'running' | 'off' | 'silent'>")]
pub fn multipath_status(env: &Env, socket: Option<String>, timeout_ms: u32) -> Result<Object<'_>> {
    promise(env, move || {
        let multipath = Multipath::new(Path::new("/"), socket.as_deref());
        let status = within(millis(timeout_ms), |patience| {
            multipath.daemon().status(patience)
        })?;
        Ok(match status {
            Status::Running => "running",
            Status::Off => "off",
            Status::Silent => "silent",
        })
    })
}

/// How multipathd is configured; null when it does not run.
#[napi(ts_return_type = "Promise<MultipathSettings | null>")]
pub fn multipath_settings(
    env: &Env,
    socket: Option<String>,
    timeout_ms: u32,
) -> Result<Object<'_>> {
    promise(env, move || {
        let multipath = Multipath::new(Path::new("/"), socket.as_deref());
        let settings = within(millis(timeout_ms), |patience| {
            multipath.daemon().settings(patience)
        })?;
        Ok(settings.map(MultipathSettings::from))
    })
}

/// Calls with a deadline; nobody can cancel them.
fn within<T>(
    limit: Duration,
    work: impl FnOnce(&Patience<'_>) -> crate::Result<T>,
) -> crate::Result<T> {
    let cancel = Cancel::default();
    work(&Patience::new(limit, &cancel))
}

fn millis(count: u32) -> Duration {
    Duration::from_millis(count.into())
}
