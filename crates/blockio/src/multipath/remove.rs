// SPDX-License-Identifier: AGPL-3.0-or-later
//! Removing a map so that it is gone and stays gone, and nothing is lost that could be written.
//!
//! What is in use stays. Then everything is written out; when no path is left for that, what waits for one is let
//! fail, so that neither this nor the removal hangs. multipathd removes the map; where it cannot, the device-mapper
//! does. At last the daemon forgets the paths, or the next report about one of them would bring the map back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::kernel::Seen;
use super::names::{check_wwid, uuid_of};
use super::openers::Openers;
use super::release::Release;
use super::users::{Users, users_of};
use super::{LOOK_AGAIN, MapperDevice, Multipath, Patience, Reply, lacks_mapper};
use crate::device::{self, flush_joined, is_flushed, joined};
use crate::{Error, ErrorKind, Result};

/// udev looks into each device that appears or changes. What only has a map open, without a name for it, gets this
/// long to finish, and udev itself all the time there is.
const GRACE: Duration = Duration::from_secs(3);
/// So often it is looked who that is.
const ASK_WHO: Duration = Duration::from_millis(500);
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
        self.watching(patience, |patience| self.remove(wwid, patience))
    }

    fn remove(&self, wwid: &str, patience: &Patience<'_>) -> Result<Removed> {
        let uuid = uuid_of(wwid);
        let mut removal = Removal {
            multipath: self,
            tree: self.sysfs.tree().clone(),
            wwid,
            uuid: &uuid,
            release: Release::new(self, wwid, &uuid),
            patience,
            device: None,
            disks: BTreeSet::new(),
            flushed: None,
            failures: 0,
            problem: String::new(),
            open_since: None,
            asked_who: None,
        };
        let result = removal.run();
        if result.is_err() {
            removal.release.restore();
        }
        result
    }
}

/// One call of [`Multipath::remove_map`].
struct Removal<'a> {
    multipath: &'a Multipath,
    tree: device::Sysfs,
    wwid: &'a str,
    uuid: &'a str,
    patience: &'a Patience<'a>,
    /// What it was when it was last seen.
    device: Option<String>,
    /// Every disk that was seen in it.
    disks: BTreeSet<String>,
    flushed: Option<bool>,
    release: Release<'a>,
    /// How often the daemon did not remove it.
    failures: u32,
    /// The last thing that did not work.
    problem: String,
    /// Since when something has it open.
    open_since: Option<Instant>,
    /// When it was last looked who that is.
    asked_who: Option<Instant>,
}

impl Removal<'_> {
    fn run(&mut self) -> Result<Removed> {
        let mut found = false;
        while let Some((seen, mapper)) = self.look()? {
            found = true;
            self.device = Some(seen.device.clone());
            self.disks
                .extend(seen.slaves.iter().map(|slave| slave.name.clone()));
            if self.patience.is_over() {
                return Err(self.overdue(&seen));
            }
            self.step(&seen, mapper.as_ref())?;
        }
        Ok(Removed {
            found,
            flushed: self.flushed.unwrap_or(!found),
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
        if let Some(found) = self.multipath.look(self.uuid)? {
            return Ok(Some(found));
        }
        let sysfs = &self.multipath.sysfs;
        let seen = match &self.device {
            // Made anew, it would be in the table.
            Some(device) => sysfs.map(device, self.uuid)?,
            None => sysfs.find(self.uuid)?,
        };
        Ok(seen.map(|seen| (seen, None)))
    }

    fn step(&mut self, seen: &Seen, mapper: Option<&MapperDevice>) -> Result<()> {
        let users = users_of(&self.tree, &seen.device, self.uuid)?;
        if !users.users.is_empty() {
            return Err(self.busy(&users.users));
        }
        // An earlier flush that hangs has it open; joining it below is how that ends.
        if !is_flushed(&self.tree, &seen.device) && self.is_open(seen, mapper, &users)? {
            return self.patience.pause(LOOK_AGAIN);
        }
        if self.flushed.is_none() {
            self.flush(&seen.device)?;
        }
        // Asked with no time left, the daemon would act after our look.
        if self.patience.is_over() {
            return Ok(());
        }
        if self.ask_daemon(seen, &users)? {
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
        let mut opened = mapper.map_or(0, |mapper| mapper.open_count.saturating_sub(partitions));
        for partition in &users.partitions {
            if let Ok(Some(device)) = self.multipath.mapper.look(&partition.uuid) {
                opened = opened.saturating_add(device.open_count);
            }
        }
        if opened == 0 {
            self.open_since = None;
            return Ok(false);
        }
        self.still_open(seen, users, opened)?;
        Ok(true)
    }

    /// Who only looks at it may take its time, and must not wait for a path that will not come. Anybody else has it
    /// for good.
    fn still_open(&mut self, seen: &Seen, users: &Users, opened: u32) -> Result<()> {
        let since = *self.open_since.get_or_insert_with(Instant::now);
        if self.patience.is_over() {
            return Err(self.opened(seen, users));
        }
        if self.asked_who.unwrap_or(since).elapsed() < ASK_WHO {
            return Ok(());
        }
        self.asked_who = Some(Instant::now());
        if self.openers(seen, users).only_passing(opened) {
            return self.release.release_if_dead(self.patience);
        }
        if since.elapsed() < GRACE {
            return Ok(());
        }
        Err(self.opened(seen, users))
    }

    fn openers(&self, seen: &Seen, users: &Users) -> Openers {
        let mut devices = vec![seen.device.as_str()];
        let partitions = users.partitions.iter();
        devices.extend(partitions.map(|partition| partition.device.as_str()));
        Openers::of(&self.tree, &devices)
    }

    fn opened(&self, seen: &Seen, users: &Users) -> Error {
        self.busy(&self.openers(seen, users).names())
    }

    fn flush(&mut self, device: &str) -> Result<()> {
        let patience = self.patience;
        self.release.release_if_dead(patience)?;
        let release = &mut self.release;
        let (limit, cancel) = (patience.left(), patience.cancel());
        let meanwhile = || release.release_if_dead(patience);
        match flush_joined(&self.tree, device, limit, cancel, meanwhile) {
            Ok(()) => self.flushed = Some(true),
            // It went away; the next look tells.
            Err(error) if error.kind() == ErrorKind::Absent => {}
            Err(error) => {
                let unanswered = error.is_cancelled() || error.kind() == ErrorKind::Timeout;
                if unanswered || !self.release.is_released() {
                    return Err(error);
                }
                // Nothing can be saved any more. Keeping a dead map would not save it either.
                self.flushed = Some(false);
            }
        }
        Ok(())
    }

    /// True when the daemon says that it is done.
    fn ask_daemon(&mut self, seen: &Seen, users: &Users) -> Result<bool> {
        if self.failures >= FAILURES {
            return Ok(false);
        }
        let patience = Multipath::command_time(self.patience);
        let reply = match self.multipath.daemon.del_map(&seen.name, &patience) {
            Ok(reply) => reply,
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => {
                self.failures = FAILURES;
                // Without its advice: the error that this goes into has one.
                let problem = error.message().split(';').next();
                problem.unwrap_or_default().clone_into(&mut self.problem);
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
                self.still_open(seen, users, u32::MAX)?;
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
        if self.patience.is_over() {
            return Ok(());
        }
        // Begun in time, it gets a moment to come back.
        let patience = self.patience.for_another(self.patience.left().max(SETTLE));
        let partitions = users.partitions.iter();
        let uuids = partitions.map(|partition| partition.uuid.as_str());
        for uuid in uuids.chain([self.uuid]) {
            let (mapper, gone) = (Arc::clone(&self.multipath.mapper), uuid.to_owned());
            let work = move || mapper.remove(&gone);
            let what = format!("remove {uuid}");
            match joined(&what, patience.left(), patience.cancel(), work, || Ok(())) {
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
            let users = users_of(&self.tree, &seen.device, self.uuid);
            return self.opened(seen, &users.unwrap_or_default());
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
