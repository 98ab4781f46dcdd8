// SPDX-License-Identifier: AGPL-3.0-or-later
//! Removing a map so that it is gone and stays gone, and nothing is lost that could be written.
//!
//! What is in use stays. Then everything is written out; when no path is left for that, what waits for one is let
//! fail, so that neither this nor the removal hangs. multipathd removes the map; where it cannot, the device-mapper
//! does. At last the daemon forgets the paths, or the next report about one of them would bring the map back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::kernel::Seen;
use super::names::{check_wwid, uuid_of};
use super::users::{Census, Users};
use super::{
    LOOK_AGAIN, Map, MapPath, MapperDevice, Multipath, Patience, Reply, aside, flush, lacks_mapper,
};
use crate::{Error, ErrorKind, Result};

/// udev looks into each device that appears or changes. What only has a map open, without a name for it, gets this
/// long to finish.
const GRACE: Duration = Duration::from_secs(3);
/// Forgetting a path is a precaution and not worth more than this.
const FORGET_LIMIT: Duration = Duration::from_secs(2);
/// A map that was made anew within this time was removed in vain.
const SETTLE: Duration = Duration::from_millis(200);
/// So often the daemon may fail before the device-mapper is asked.
const FAILURES: u32 = 2;

/// What removing a map did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// There was one.
    pub found: bool,
    /// Everything was written out; false when no path was left for that.
    pub flushed: bool,
}

impl Multipath {
    /// Removes the map of a WWID with its partitions, after everything was written out. Its disks stay, and may be
    /// deleted afterwards.
    ///
    /// # Errors
    /// `busy`, naming the users; the device's error when something could not be written although a path is usable;
    /// `timeout`, `cancelled`. The map is there and queues as before in all these cases.
    pub fn remove_map(&self, wwid: &str, patience: &Patience<'_>) -> Result<Removed> {
        check_wwid(wwid)?;
        let mut removal = Removal {
            multipath: self,
            census: Census::below(&self.root),
            wwid,
            uuid: uuid_of(wwid),
            patience,
            disks: BTreeSet::new(),
            flushed: None,
            released: None,
            failures: 0,
            problem: String::new(),
            open_since: None,
        };
        let result = removal.run();
        if result.is_err() {
            removal.restore();
        }
        result
    }

    /// The map's device file.
    pub(super) fn node(&self, map: &Map) -> PathBuf {
        self.root.join("dev/mapper").join(&map.name)
    }
}

/// One call of [`Multipath::remove_map`].
struct Removal<'a> {
    multipath: &'a Multipath,
    census: Census,
    wwid: &'a str,
    uuid: String,
    patience: &'a Patience<'a>,
    /// Every disk that was seen in it.
    disks: BTreeSet<String>,
    flushed: Option<bool>,
    /// Set when I/O that waits for a path was let fail.
    released: Option<Released>,
    /// How often the daemon did not remove it.
    failures: u32,
    /// The last thing that did not work.
    problem: String,
    /// Since when something unknown has it open.
    open_since: Option<Instant>,
}

/// A map that does not queue for now.
struct Released {
    name: String,
    was_queueing: bool,
}

impl Removal<'_> {
    fn run(&mut self) -> Result<Removed> {
        let mut found = false;
        while let Some((seen, mapper)) = self.look()? {
            found = true;
            self.disks
                .extend(seen.slaves.iter().map(|slave| slave.name.clone()));
            if self.patience.is_over() {
                return Err(self.overdue(&seen));
            }
            self.step(&seen, mapper.as_ref())?;
        }
        Ok(Removed {
            found,
            flushed: self.flushed.unwrap_or(true),
        })
    }

    /// The map, or nothing once it is certain that it will not come back by itself.
    fn look(&mut self) -> Result<Option<(Seen, Option<MapperDevice>)>> {
        if let Some(found) = self.everywhere()? {
            return Ok(Some(found));
        }
        if self.disks.is_empty() {
            return Ok(None);
        }
        self.forget_paths()?;
        let settle = self.patience.for_another(SETTLE);
        loop {
            if let Some(found) = self.everywhere()? {
                "it was made anew".clone_into(&mut self.problem);
                return Ok(Some(found));
            }
            if settle.is_over() {
                return Ok(None);
            }
            settle.pause(LOOK_AGAIN)?;
        }
    }

    /// A device leaves the device-mapper's table before sysfs, so both must be without it.
    fn everywhere(&self) -> Result<Option<(Seen, Option<MapperDevice>)>> {
        if let Some(found) = self.multipath.look(&self.uuid)? {
            return Ok(Some(found));
        }
        let seen = self.multipath.sysfs.find(&self.uuid)?;
        Ok(seen.map(|seen| (seen, None)))
    }

    fn step(&mut self, seen: &Seen, mapper: Option<&MapperDevice>) -> Result<()> {
        let users = self.census.users(&seen.device, &self.uuid)?;
        if !users.users.is_empty() {
            return Err(self.busy(&users.users));
        }
        let node = self.multipath.root.join("dev").join(&seen.device);
        // An earlier flush that hangs has it open; joining it below is how that ends.
        if !flush::is_under_way(&node) && self.is_open(seen, mapper, &users)? {
            return self.patience.pause(LOOK_AGAIN);
        }
        if self.flushed.is_none() {
            self.flush(seen, &node)?;
        }
        // Asked with no time left, the daemon would act after our look.
        if self.patience.is_over() {
            return Ok(());
        }
        if self.ask_daemon(seen)? {
            return Ok(());
        }
        self.ask_mapper(&users)?;
        self.patience.pause(LOOK_AGAIN)
    }

    /// True while something may still close it; an error when it does not.
    fn is_open(
        &mut self,
        seen: &Seen,
        mapper: Option<&MapperDevice>,
        users: &Users,
    ) -> Result<bool> {
        // Each partition has its map open.
        let partitions = u32::try_from(users.partitions.len()).unwrap_or(u32::MAX);
        let mut open = mapper.is_some_and(|mapper| mapper.open_count > partitions);
        for partition in &users.partitions {
            open |= matches!(self.multipath.mapper.look(partition), Ok(Some(device)) if device.open_count > 0);
        }
        if !open {
            self.open_since = None;
            return Ok(false);
        }
        self.still_open(seen)?;
        Ok(true)
    }

    fn still_open(&mut self, seen: &Seen) -> Result<()> {
        let since = *self.open_since.get_or_insert_with(Instant::now);
        if since.elapsed() < GRACE && !self.patience.is_over() {
            return Ok(());
        }
        Err(self.opened(seen))
    }

    fn opened(&self, seen: &Seen) -> Error {
        let partitions = self.census.partition_devices(&seen.device, &self.uuid);
        let mut devices = vec![seen.device.as_str()];
        devices.extend(partitions.iter().map(String::as_str));
        let mut users = self.census.processes(&devices);
        if users.is_empty() {
            users.push("something has it open".to_owned());
        }
        self.busy(&users)
    }

    fn flush(&mut self, seen: &Seen, node: &Path) -> Result<()> {
        self.release_if_dead(&seen.name)?;
        let patience = self.patience;
        let result = flush::flush(node, patience, || self.release_if_dead(&seen.name));
        match result {
            Ok(()) => self.flushed = Some(true),
            // It went away; the next look tells.
            Err(error) if error.kind() == ErrorKind::Absent => {}
            // Nothing can be saved any more. Keeping a dead map would not save it either.
            Err(error) if self.released.is_some() && error.kind() != ErrorKind::Timeout => {
                if error.is_cancelled() {
                    return Err(error);
                }
                self.flushed = Some(false);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Lets what waits for a path fail, when none is left.
    fn release_if_dead(&mut self, name: &str) -> Result<()> {
        if self.released.is_some() {
            return Ok(());
        }
        let Some((seen, mapper)) = self.multipath.look(&self.uuid)? else {
            return Ok(());
        };
        let map = Map::new(self.wwid, seen, mapper.as_ref(), None);
        if !map.paths.iter().all(MapPath::is_dead) {
            return Ok(());
        }
        self.released = Some(Released {
            name: name.to_owned(),
            was_queueing: map.queueing == Some(true),
        });
        // Both: the kernel must do it now, and the daemon would undo it.
        let daemon = self
            .multipath
            .daemon
            .disable_queueing(name, &self.patience.at_most(FORGET_LIMIT));
        let mapper = self.multipath.mapper.set_queueing(&self.uuid, false);
        match (daemon, mapper) {
            (Err(error), _) | (_, Err(error)) if error.is_cancelled() => Err(error),
            _ => Ok(()),
        }
    }

    /// True when the daemon says that it is done.
    fn ask_daemon(&mut self, seen: &Seen) -> Result<bool> {
        if self.failures >= FAILURES {
            return Ok(false);
        }
        let patience = Multipath::command_time(self.patience);
        let reply = match self.multipath.daemon.del_map(&seen.name, &patience) {
            Ok(reply) => reply,
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => {
                self.failures = FAILURES;
                error.message().clone_into(&mut self.problem);
                return Ok(false);
            }
        };
        if let Some(problem) = reply.problem() {
            problem.clone_into(&mut self.problem);
        }
        match reply {
            Reply::Ok | Reply::Text(_) | Reply::Delayed => {
                // It believes to be done; if the map is still there, it may not try for ever.
                self.failures += 1;
                self.wait_gone()?;
                Ok(true)
            }
            Reply::Off | Reply::NotFound | Reply::Busy | Reply::Denied => {
                self.failures = FAILURES;
                Ok(false)
            }
            Reply::InUse => {
                self.still_open(seen)?;
                self.patience.pause(LOOK_AGAIN)?;
                Ok(true)
            }
            _ => {
                self.failures += 1;
                Ok(false)
            }
        }
    }

    /// The kernel takes a moment, without that being a failure.
    fn wait_gone(&self) -> Result<()> {
        let moment = self.patience.at_most(SETTLE);
        while self.everywhere()?.is_some() && !moment.is_over() {
            moment.pause(LOOK_AGAIN)?;
        }
        Ok(())
    }

    fn ask_mapper(&mut self, users: &Users) -> Result<()> {
        if self.failures < FAILURES {
            return Ok(());
        }
        for uuid in users.partitions.iter().chain([&self.uuid]) {
            let (mapper, gone) = (Arc::clone(&self.multipath.mapper), uuid.clone());
            let work = move || mapper.remove(&gone);
            match aside::run(&format!("remove {uuid}"), work, self.patience, || Ok(())) {
                Ok(()) => {}
                // Opened since the look at it; the next one tells by whom.
                Err(error) if error.kind() == ErrorKind::Busy => {
                    "it is in use".clone_into(&mut self.problem);
                    return Ok(());
                }
                Err(error) if lacks_mapper(error.kind()) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn forget_paths(&self) -> Result<()> {
        let limit = self.patience.left().clamp(SETTLE, FORGET_LIMIT);
        let patience = self.patience.for_another(limit);
        for disk in &self.disks {
            match self.multipath.daemon.del_path(disk, &patience) {
                Ok(Reply::Off) => return Ok(()),
                Err(error) if error.is_cancelled() => return Err(error),
                // It is a precaution, and the look afterwards counts.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// After a failure, the map is as it was.
    fn restore(&self) {
        let Some(released) = &self.released else {
            return;
        };
        // Also for a caller who cancelled.
        let cancel = crate::stream::Cancel::default();
        let patience = Patience::new(FORGET_LIMIT, &cancel);
        let restored = self
            .multipath
            .daemon
            .restore_queueing(&released.name, &patience);
        if released.was_queueing && !matches!(restored, Ok(Reply::Ok)) {
            // Nothing is left to be tried; the error under way says more than one from here.
            let _ = self.multipath.mapper.set_queueing(&self.uuid, true);
        }
    }

    fn busy(&self, users: &[String]) -> Error {
        Error::new(
            ErrorKind::Busy,
            format!(
                "remove multipath map {}: it is in use ({}); stop that first",
                self.wwid,
                users.join(", ")
            ),
        )
    }

    fn overdue(&self, seen: &Seen) -> Error {
        if self.open_since.is_some() {
            return self.opened(seen);
        }
        let problem = if self.problem.is_empty() {
            "it is still there"
        } else {
            &self.problem
        };
        Patience::overdue(format!(
            "remove multipath map {}: {problem}; look at systemctl status multipathd",
            self.wwid
        ))
    }
}
