// SPDX-License-Identifier: AGPL-3.0-or-later
//! Multipath maps: finding, making, growing and removing one of them.
//!
//! The kernel decides what is there (sysfs, device-mapper); multipathd is asked to act, through its socket. Nothing
//! here looks at the other maps of a node more than it must, runs a program, or waits without a deadline.
//!
//! A map is known by the WWID of its disk. Its name is whatever the administrator configured, and its number changes.

mod control;
mod daemon;
mod ensure;
mod kernel;
mod mapper;
mod model;
mod names;
mod openers;
mod paths;
mod patience;
mod release;
mod remove;
mod resize;
mod settings;
mod show;
mod socket;
mod users;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use control::ControlNode;
pub use daemon::{Daemon, Reply, Status};
pub use ensure::{Ensured, Off};
pub use mapper::{DeviceMapper, MapperDevice};
pub use model::{Checker, DeviceState, Map, MapPath, PathState};
pub use patience::{Patience, WakeUp};
pub use remove::Removed;
pub use settings::{FindMultipaths, Settings};

use crate::device::{self, Watch};
use crate::{ErrorKind, Result};
use kernel::{Seen, Sysfs};

/// Pause between two looks at something that is about to change.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The same, when it takes its time.
const LOOK_SELDOM: Duration = Duration::from_millis(500);
/// A daemon that is busy for longer is asked again, or done without.
const DAEMON_LIMIT: Duration = Duration::from_secs(5);
/// What the daemon only adds to the kernel's word is not worth more than this.
const OPINION: Duration = Duration::from_secs(1);

/// The maps of one system.
#[derive(Clone)]
pub struct Multipath {
    sysfs: Sysfs,
    daemon: Daemon,
    mapper: Arc<dyn DeviceMapper>,
}

impl fmt::Debug for Multipath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multipath")
            .field("root", &self.root())
            .field("daemon", &self.daemon)
            .finish_non_exhaustive()
    }
}

impl Multipath {
    /// Of the system whose `sys`, `proc` and `dev` are below `root`: `/`, except in tests. `socket` is multipathd's
    /// if it is not where the system has it; `@` begins an abstract name.
    #[must_use]
    pub fn new(root: &Path, socket: Option<&str>) -> Self {
        Self::with_mapper(root, socket, Arc::new(ControlNode::below(root)))
    }

    /// The same with another device-mapper.
    #[must_use]
    pub fn with_mapper(root: &Path, socket: Option<&str>, mapper: Arc<dyn DeviceMapper>) -> Self {
        Self {
            sysfs: Sysfs::of(device::Sysfs::new(root)),
            daemon: Daemon::new(socket),
            mapper,
        }
    }

    /// The same, looking at the kernel's files through `tree`, which may record that.
    #[must_use]
    pub fn seen_through(self, tree: device::Sysfs) -> Self {
        Self {
            sysfs: Sysfs::of(tree),
            ..self
        }
    }

    /// multipathd itself.
    #[must_use]
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The map of a WWID; `None` when the kernel has none. The daemon's opinion of the paths is in it unless that
    /// takes long.
    ///
    /// # Errors
    /// `cancelled`; `invalid` for what is no WWID; what sysfs says.
    pub fn map_of(&self, wwid: &str, patience: &Patience<'_>) -> Result<Option<Map>> {
        names::check_wwid(wwid)?;
        let uuid = names::uuid_of(wwid);
        let Some((seen, mapper)) = self.look(&uuid)? else {
            return Ok(None);
        };
        let opinion = patience.at_most(OPINION);
        let shown = match self.daemon.show(&seen.name, &opinion) {
            Ok(shown) => shown,
            Err(error) if error.is_cancelled() => return Err(error),
            // It only adds to what the kernel knows.
            Err(_) => None,
        };
        Ok(Some(Map::new(wwid, seen, mapper.as_ref(), shown.as_ref())))
    }

    /// Runs what waits for devices: its pauses end when the kernel announces a change of one.
    fn watching<T>(
        &self,
        patience: &Patience<'_>,
        work: impl FnOnce(&Patience<'_>) -> Result<T>,
    ) -> Result<T> {
        // Before the first look: what happens in between is not missed.
        let watch = Watch::of(self.sysfs.tree());
        let cancel = patience.cancel();
        let wake = |pause| {
            // Whoever cancelled is told by the next look at the switch.
            let _ = watch.pause(pause, cancel);
        };
        work(&patience.or_woken_by(&wake))
    }

    /// True once udev has finished with a disk, or when there is no udev to wait for.
    fn udev_knows(&self, disk: &str) -> Result<bool> {
        let data = self.root().join("run/udev/data");
        if !data.exists() {
            return Ok(true);
        }
        let number = self.sysfs.number(disk)?;
        Ok(number.is_some_and(|number| data.join(format!("b{number}")).exists()))
    }

    fn root(&self) -> &Path {
        self.sysfs.tree().root()
    }

    /// The map's device file.
    fn node(&self, map: &Map) -> PathBuf {
        self.root().join("dev/mapper").join(&map.name)
    }

    /// Time for one command: enough is left to do without the daemon.
    fn command_time<'a>(patience: &Patience<'a>) -> Patience<'a> {
        patience.at_most(DAEMON_LIMIT.min(patience.left() / 2))
    }

    /// The map of a WWID as the kernel has it, without the daemon's opinion and so without a wait; `None` when it has none.
    ///
    /// # Errors
    /// `invalid` for what is no WWID; what sysfs says.
    pub fn kernel_map(&self, wwid: &str) -> Result<Option<Map>> {
        names::check_wwid(wwid)?;
        let found = self.look(&names::uuid_of(wwid))?;
        Ok(found.map(|(seen, mapper)| Map::new(wwid, seen, mapper.as_ref(), None)))
    }

    /// The kernel's view of a map. Knowing its number from the device-mapper, this reads nothing about other maps.
    fn look(&self, uuid: &str) -> Result<Option<(Seen, Option<MapperDevice>)>> {
        match self.mapper.look(uuid) {
            Ok(None) => Ok(None),
            Ok(Some(device)) => {
                let name = format!("dm-{}", device.minor);
                let seen = self.sysfs.map(&name, uuid)?;
                Ok(seen.map(|seen| (seen, Some(device))))
            }
            Err(error) if lacks_mapper(error.kind()) => {
                Ok(self.sysfs.find(uuid)?.map(|seen| (seen, None)))
            }
            Err(error) => Err(error),
        }
    }
}

/// The device-mapper cannot be asked; sysfs has most of what it would say.
fn lacks_mapper(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unsupported | ErrorKind::Refused)
}
