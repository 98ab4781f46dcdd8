// SPDX-License-Identifier: AGPL-3.0-or-later
//! A map and its paths, put together from what the kernel, the device-mapper and the daemon know.

use super::kernel::{Seen, Slave};
use super::mapper::{MapperDevice, is_queueing};
use super::show::{Shown, ShownPath};

/// Whether the kernel sends I/O down a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathState {
    /// It does.
    Active,
    /// It stopped after an error.
    Failed,
    /// Nobody could tell.
    Unknown,
}

/// What the SCSI layer thinks of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// In order (`running`; `live` of `NVMe`).
    Running,
    /// Given up (`offline`, `transport-offline`).
    Offline,
    /// I/O waits: the connection is lost, or the disk was told to (`blocked`, `quiesce`).
    Blocked,
    /// Being removed, or nothing that can be told.
    Unknown,
}

/// What the daemon's checker found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checker {
    /// It works.
    Ready,
    /// It works after a switch of controllers (`ghost`).
    Standby,
    /// It does not work (`faulty`, `i/o timeout`).
    Faulty,
    /// Under examination, or not stable (`i/o pending`, `shaky`, `delayed`).
    Unsettled,
    /// The daemon was not asked or does not know.
    Unknown,
}

/// One path of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapPath {
    /// The disk: `sdb`.
    pub name: String,
    /// SCSI address `host:channel:target:lun`; other disks have none.
    pub hctl: Option<String>,
    /// The kernel's opinion.
    pub state: PathState,
    /// The SCSI layer's.
    pub device_state: DeviceState,
    /// The daemon's.
    pub checker: Checker,
}

impl MapPath {
    /// Nothing is known that speaks against it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.state != PathState::Failed
            && matches!(
                self.device_state,
                DeviceState::Running | DeviceState::Unknown
            )
            && self.checker != Checker::Faulty
    }

    /// Given up, so that I/O on it fails or goes elsewhere. A blocked disk is not: its connection may come back.
    pub(super) fn is_dead(&self) -> bool {
        self.state == PathState::Failed || self.device_state == DeviceState::Offline
    }
}

/// A multipath map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Name below `/dev/mapper`: the WWID, `mpathN` or an alias.
    pub name: String,
    /// Identity.
    pub wwid: String,
    /// Kernel's name (`dm-3`), good for as long as the map is.
    pub device: String,
    /// Bytes.
    pub size: u64,
    /// I/O waits for somebody to resume it.
    pub suspended: bool,
    /// Without a usable path, I/O waits instead of failing; `None` when nobody could tell.
    pub queueing: Option<bool>,
    /// How often it is open; `None` when nobody could tell.
    pub open_count: Option<u32>,
    /// Its disks by name.
    pub paths: Vec<MapPath>,
}

impl Map {
    /// How many paths can be used.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.paths.iter().filter(|path| path.is_usable()).count()
    }

    /// True when this disk is a path of it.
    #[must_use]
    pub fn has(&self, disk: &str) -> bool {
        self.paths.iter().any(|path| path.name == disk)
    }

    /// The kernel's word counts; the daemon's where the kernel has none, and for what only its checker knows.
    pub(super) fn new(
        wwid: &str,
        seen: Seen,
        mapper: Option<&MapperDevice>,
        shown: Option<&Shown>,
    ) -> Self {
        let shown = shown.filter(|shown| shown.wwid == wwid);
        let paths = seen
            .slaves
            .into_iter()
            .map(|slave| {
                let of_mapper = mapper.and_then(|mapper| active(mapper, &slave.number));
                let of_daemon =
                    shown.and_then(|shown| shown.paths.iter().find(|path| path.dev == slave.name));
                MapPath::new(slave, of_mapper, of_daemon)
            })
            .collect();
        Self {
            wwid: wwid.to_owned(),
            name: seen.name,
            device: seen.device,
            size: seen.size,
            suspended: seen.suspended,
            queueing: mapper
                .map(|mapper| mapper.queueing)
                .or_else(|| shown.map(|shown| is_queueing(&shown.features))),
            open_count: mapper.map(|mapper| mapper.open_count),
            paths,
        }
    }
}

fn active(mapper: &MapperDevice, number: &str) -> Option<bool> {
    let mut paths = mapper.paths.iter();
    paths
        .find(|(device, _)| device == number)
        .map(|(_, active)| *active)
}

impl MapPath {
    fn new(slave: Slave, of_mapper: Option<bool>, of_daemon: Option<&ShownPath>) -> Self {
        let state = match (of_mapper, of_daemon.map(|path| path.dm_state.as_str())) {
            (Some(true), _) | (None, Some("active")) => PathState::Active,
            (Some(false), _) | (None, Some("failed")) => PathState::Failed,
            _ => PathState::Unknown,
        };
        let of_disk = if slave.state.is_empty() {
            of_daemon.map_or("", |path| &path.device_state)
        } else {
            &slave.state
        };
        let device_state = match of_disk {
            "running" | "live" => DeviceState::Running,
            "offline" | "transport-offline" | "dead" => DeviceState::Offline,
            "blocked" | "quiesce" | "created-blocked" => DeviceState::Blocked,
            _ => DeviceState::Unknown,
        };
        let checker = match of_daemon.map_or("", |path| &path.checker) {
            "ready" => Checker::Ready,
            "ghost" => Checker::Standby,
            "faulty" | "i/o timeout" => Checker::Faulty,
            "i/o pending" | "shaky" | "delayed" => Checker::Unsettled,
            _ => Checker::Unknown,
        };
        Self {
            name: slave.name,
            hctl: slave.hctl,
            state,
            device_state,
            checker,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slave(name: &str, number: &str, state: &str) -> Slave {
        Slave {
            name: name.to_owned(),
            number: number.to_owned(),
            hctl: Some("2:0:0:1".to_owned()),
            state: state.to_owned(),
        }
    }

    fn seen() -> Seen {
        Seen {
            device: "dm-3".to_owned(),
            name: "mpatha".to_owned(),
            size: 1 << 30,
            suspended: false,
            slaves: vec![slave("sdb", "8:16", "running"), slave("sdc", "8:32", "")],
        }
    }

    fn shown(dm_state: &str, checker: &str) -> Shown {
        Shown {
            name: "mpatha".to_owned(),
            wwid: "3600".to_owned(),
            features: "1 queue_if_no_path".to_owned(),
            paths: vec![ShownPath {
                dev: "sdc".to_owned(),
                dm_state: dm_state.to_owned(),
                device_state: "running".to_owned(),
                checker: checker.to_owned(),
            }],
        }
    }

    #[test]
    fn the_kernel_counts_more_than_the_daemon() {
        let mapper = MapperDevice {
            paths: vec![("8:16".to_owned(), true), ("8:32".to_owned(), false)],
            open_count: 2,
            ..MapperDevice::default()
        };
        let map = Map::new(
            "3600",
            seen(),
            Some(&mapper),
            Some(&shown("active", "ready")),
        );
        let [sdb, sdc] = map.paths.as_slice() else {
            panic!("{map:?}");
        };
        assert_eq!(
            (sdb.state, sdb.checker),
            (PathState::Active, Checker::Unknown)
        );
        assert_eq!(
            (sdc.state, sdc.checker),
            (PathState::Failed, Checker::Ready)
        );
        assert_eq!(
            (map.usable(), map.queueing, map.open_count),
            (1, Some(false), Some(2))
        );
        assert!(map.has("sdc") && !map.has("sda"));
    }

    #[test]
    fn without_the_mapper_the_daemon_fills_in() {
        let map = Map::new("3600", seen(), None, Some(&shown("failed", "faulty")));
        assert_eq!(map.paths[1].state, PathState::Failed);
        assert_eq!(map.paths[1].device_state, DeviceState::Running);
        assert_eq!(
            (map.usable(), map.queueing, map.open_count),
            (1, Some(true), None)
        );
    }

    #[test]
    fn what_the_daemon_says_of_another_map_does_not_count() {
        let map = Map::new("3601", seen(), None, Some(&shown("failed", "faulty")));
        assert_eq!((map.usable(), map.queueing), (2, None));
    }

    #[test]
    fn a_path_is_usable_unless_something_speaks_against_it() {
        let usable = |of_mapper, state: &str, checker: &str| {
            let shown = shown("active", checker);
            MapPath::new(slave("sdc", "8:32", state), of_mapper, shown.paths.first()).is_usable()
        };
        assert!(usable(Some(true), "running", "ready"));
        assert!(usable(Some(true), "running", "ghost"));
        assert!(usable(Some(true), "live", "i/o pending"));
        assert!(!usable(Some(false), "running", "ready"));
        assert!(!usable(Some(true), "offline", "ready"));
        assert!(!usable(Some(true), "blocked", "ready"));
        assert!(!usable(Some(true), "running", "faulty"));
    }
}
