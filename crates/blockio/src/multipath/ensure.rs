// SPDX-License-Identifier: AGPL-3.0-or-later
//! Making sure that a disk has its map, and the map its paths.

use std::time::{Duration, Instant};

use super::names::{check_disk, check_wwid, uuid_of};
use super::{Daemon, LOOK_AGAIN, LOOK_SELDOM, Map, Multipath, Patience, Reply};
use crate::{Error, ErrorKind, Result};

/// The daemon acts by itself on what udev reports, and better knows when; it is told what to do after this.
const BY_ITSELF: Duration = Duration::from_millis(300);
/// Pause between two rounds of telling it: first, and at last. While many disks appear at once, each question takes time
/// from the daemon that it needs for the answers.
const ROUND: Duration = Duration::from_secs(1);
const ROUND_MAX: Duration = Duration::from_secs(8);
/// The daemon cannot add what udev has not looked at; after so long without a look, udev may not run at all.
const UDEV: Duration = Duration::from_secs(15);
/// A map that works and did not change for so long is as good as it gets.
const STEADY: Duration = Duration::from_secs(5);

/// Why a disk has no map and will have none; a single path can be used instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Off {
    /// multipathd does not run.
    NotRunning,
    /// Its configuration excludes the disk.
    Excluded,
}

/// What became of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// It has a map with at least one usable path.
    Map {
        /// The map.
        map: Map,
        /// Given paths that are not in it.
        missing: Vec<String>,
    },
    /// It has none.
    Off(Off),
}

impl Multipath {
    /// Waits until the disk has a map of all the given `paths` (`sdb`) of which `wanted` are usable, and its name is
    /// below `/dev/mapper`. multipathd is told to make it unless it does so by itself, whatever `find_multipaths` says.
    /// A map that works with less is accepted at the deadline, and earlier when nothing changes any more.
    ///
    /// # Errors
    /// `timeout` when there is no map with a usable path in time, with what multipathd said; `cancelled`; `refused`
    /// when it may not be asked; `invalid` for what is no WWID or disk.
    pub fn ensure_map(
        &self,
        wwid: &str,
        paths: &[String],
        wanted: usize,
        patience: &Patience<'_>,
    ) -> Result<Ensured> {
        check_wwid(wwid)?;
        for path in paths {
            check_disk(path)?;
        }
        self.watching(patience, |patience| {
            Attempt {
                multipath: self,
                wwid,
                paths,
                wanted: wanted.max(1),
                patience,
                since: Instant::now(),
                told: String::new(),
            }
            .run()
        })
    }
}

/// One call of [`Multipath::ensure_map`].
struct Attempt<'a> {
    multipath: &'a Multipath,
    wwid: &'a str,
    paths: &'a [String],
    wanted: usize,
    patience: &'a Patience<'a>,
    since: Instant,
    /// The last thing that did not work.
    told: String,
}

impl Attempt<'_> {
    fn run(&mut self) -> Result<Ensured> {
        let mut tell_at = self.since + BY_ITSELF;
        let mut round = ROUND;
        let mut pause = LOOK_AGAIN;
        let mut steady = Steady::default();
        loop {
            let map = self.map()?;
            let missing = self.missing(map.as_ref());
            if let Some(map) = map.as_ref().filter(|map| self.works(map)) {
                let complete = missing.is_empty() && map.usable() >= self.wanted;
                if complete || steady.is_over(map) || self.patience.is_over() {
                    let map = map.clone();
                    return Ok(Ensured::Map { map, missing });
                }
            }
            if self.patience.is_over() {
                return Err(self.overdue(map.as_ref()));
            }
            if (map.is_none() || !missing.is_empty()) && Instant::now() >= tell_at {
                if let Some(off) = self.tell(map.as_ref(), &missing)? {
                    // What is there must be used: its paths cannot be, while they belong to it.
                    match map.filter(|map| self.works(map)) {
                        Some(map) => return Ok(Ensured::Map { map, missing }),
                        None if self.is_gone()? => return Ok(Ensured::Off(off)),
                        None => {}
                    }
                }
                tell_at = Instant::now() + round;
                round = (round * 2).min(ROUND_MAX);
            }
            self.patience.pause(pause)?;
            pause = (pause * 5 / 4).min(LOOK_SELDOM);
        }
    }

    /// The daemon is asked for its opinion of a map that looks good, not twenty times a second before.
    fn map(&self) -> Result<Option<Map>> {
        match self.multipath.kernel_map(self.wwid)? {
            Some(map) if self.works(&map) => self.multipath.map_of(self.wwid, self.patience),
            map => Ok(map),
        }
    }

    /// It can be opened by its name and reaches the array.
    fn works(&self, map: &Map) -> bool {
        map.usable() > 0
            && !map.suspended
            && map.size > 0
            && self.multipath.node(map).symlink_metadata().is_ok()
    }

    fn is_gone(&self) -> Result<bool> {
        Ok(self.multipath.look(&uuid_of(self.wwid))?.is_none())
    }

    fn missing(&self, map: Option<&Map>) -> Vec<String> {
        let mut missing = self.paths.to_vec();
        missing.retain(|path| !map.is_some_and(|map| map.has(path)));
        missing
    }

    /// Tells the daemon what it has not done. Gives why it never will.
    fn tell(&mut self, map: Option<&Map>, missing: &[String]) -> Result<Option<Off>> {
        let mut excluded = 0;
        let mut early = false;
        for path in missing {
            // What the kernel does not have, the daemon cannot add.
            if !self.multipath.sysfs.exists(path)? {
                self.told = format!("the kernel has no disk {path}");
                continue;
            }
            if self.since.elapsed() < UDEV && !self.multipath.udev_knows(path)? {
                self.told = format!("udev has not looked at {path}");
                early = true;
                continue;
            }
            let reply = self.ask(|daemon, patience| daemon.add_path(path, patience))?;
            match self.note(path, &reply)? {
                // More questions would only keep us from looking.
                None if reply == Reply::Busy => return Ok(None),
                Some(Off::Excluded) => excluded += 1,
                off @ Some(_) => return Ok(off),
                None => {}
            }
        }
        if !missing.is_empty() && excluded == self.paths.len() {
            return Ok(Some(Off::Excluded));
        }
        if early || map.is_some() || self.multipath.look(&uuid_of(self.wwid))?.is_some() {
            return Ok(None);
        }
        // The paths are known now, but it may not want a map of them (find_multipaths).
        let wwid = self.wwid;
        let reply = self.ask(|daemon, patience| daemon.add_map(wwid, patience))?;
        let off = self.note("the map", &reply)?;
        // 0.9 makes a map with a friendly name and then does not find it: it looks after it once it is told the name.
        if let (Reply::Failed(_), Some((seen, _))) =
            (&reply, self.multipath.look(&uuid_of(self.wwid))?)
        {
            self.ask(|daemon, patience| daemon.add_map(&seen.name, patience))?;
        }
        Ok(off)
    }

    /// A daemon that goes away is one that does not run, or will again soon.
    fn ask(&self, command: impl Fn(&Daemon, &Patience<'_>) -> Result<Reply>) -> Result<Reply> {
        let patience = Multipath::command_time(self.patience);
        match command(&self.multipath.daemon, &patience) {
            Err(error) if error.kind() == ErrorKind::Timeout => Ok(Reply::Busy),
            Err(error) if error.kind() == ErrorKind::Unreachable => {
                let problem = error.message().split(';').next();
                Ok(Reply::Failed(problem.unwrap_or_default().to_owned()))
            }
            reply => reply,
        }
    }

    /// Keeps what was wrong.
    fn note(&mut self, object: &str, reply: &Reply) -> Result<Option<Off>> {
        if let Some(problem) = reply.problem() {
            self.told = format!("{object}: {problem}");
        }
        match reply {
            Reply::Off => Ok(Some(Off::NotRunning)),
            Reply::Blacklisted => Ok(Some(Off::Excluded)),
            Reply::Denied => Err(Error::new(
                ErrorKind::Refused,
                format!(
                    "make multipath map {}: multipathd serves only root; run this as root",
                    self.wwid
                ),
            )),
            _ => Ok(None),
        }
    }

    fn overdue(&self, map: Option<&Map>) -> Error {
        let mut problem = match map {
            None => "there is none".to_owned(),
            Some(map) if map.usable() == 0 => {
                format!("none of its {} paths is usable", map.paths.len())
            }
            Some(map) if map.suspended => "it is suspended".to_owned(),
            Some(map) => format!("udev did not make /dev/mapper/{}", map.name),
        };
        if !self.told.is_empty() {
            problem = format!("{problem} ({})", self.told);
        }
        Patience::overdue(format!(
            "wait for multipath map {}: {problem}; check the paths to the array and multipathd -k'show paths'",
            self.wwid
        ))
    }
}

/// Since when a map has been what it is.
#[derive(Default)]
struct Steady(Option<(Map, Instant)>);

impl Steady {
    fn is_over(&mut self, map: &Map) -> bool {
        match &self.0 {
            Some((before, since)) if before.paths == map.paths && before.size == map.size => {
                since.elapsed() >= STEADY
            }
            _ => {
                self.0 = Some((map.clone(), Instant::now()));
                false
            }
        }
    }
}
