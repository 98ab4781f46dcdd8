// SPDX-License-Identifier: AGPL-3.0-or-later
//! Giving a map the new size of its disk.

use std::time::{Duration, Instant};

use super::names::check_wwid;
use super::{LOOK_AGAIN, Map, Multipath, Patience, Reply};
use crate::{Error, ErrorKind, Result};

/// Pause before the daemon is told again; it refuses while udev has not finished with a map.
const ROUND: Duration = Duration::from_millis(500);

impl Multipath {
    /// Makes the map have `size` bytes, which its paths have already or are about to have. Verified in the kernel.
    ///
    /// # Errors
    /// `absent` without a map; `timeout` when it has another size at the deadline, with the reason as far as it is
    /// known; `unreachable` when multipathd does not run; `refused` when it may not be asked; `cancelled`.
    pub fn resize_map(&self, wwid: &str, size: u64, patience: &Patience<'_>) -> Result<()> {
        check_wwid(wwid)?;
        self.watching(patience, |patience| self.resize(wwid, size, patience))
    }

    fn resize(&self, wwid: &str, size: u64, patience: &Patience<'_>) -> Result<()> {
        let mut told = String::new();
        let mut tell_at = Instant::now();
        loop {
            let Some(map) = self.kernel_map(wwid)? else {
                return Err(Error::new(
                    ErrorKind::Absent,
                    format!("resize multipath map {wwid}: there is none; activate the volume"),
                ));
            };
            if map.size == size {
                return Ok(());
            }
            let other = self.other_sizes(&map, size)?;
            if patience.is_over() {
                return Err(overdue(&map, size, &other, &told));
            }
            // With paths of different sizes, multipathd refuses (new) or looks at the first one only (old).
            if other.is_empty() && Instant::now() >= tell_at {
                told = self.tell_size(&map, patience)?;
                tell_at = Instant::now() + ROUND;
                continue;
            }
            patience.pause(LOOK_AGAIN)?;
        }
    }

    /// Paths that do not have this size.
    fn other_sizes(&self, map: &Map, size: u64) -> Result<Vec<String>> {
        let mut other = Vec::new();
        for path in &map.paths {
            if let Some(has) = self.sysfs.size(&path.name)? {
                if has != size {
                    other.push(format!("{} has {has}", path.name));
                }
            }
        }
        Ok(other)
    }

    fn tell_size(&self, map: &Map, patience: &Patience<'_>) -> Result<String> {
        let reply = match self
            .daemon
            .resize_map(&map.name, &Self::command_time(patience))
        {
            Err(error) if error.kind() == ErrorKind::Timeout => {
                return Ok(error.message().to_owned());
            }
            reply => reply?,
        };
        let failed = |kind, next: &str| {
            let problem = reply.problem().unwrap_or_default();
            let message = format!("resize multipath map {}: {problem}; {next}", map.wwid);
            Err(Error::new(kind, message))
        };
        match &reply {
            Reply::Off => failed(ErrorKind::Unreachable, "start multipathd"),
            Reply::Denied => failed(ErrorKind::Refused, "run this as root"),
            reply => {
                // Made by somebody else, and not seen yet.
                if matches!(reply, Reply::NotFound | Reply::Failed(_)) {
                    self.daemon.add_map(&map.name, patience)?;
                }
                Ok(reply.problem().unwrap_or_default().to_owned())
            }
        }
    }
}

fn overdue(map: &Map, size: u64, other: &[String], told: &str) -> Error {
    let reason = if !other.is_empty() {
        format!("{} bytes; rescan these paths", other.join(", "))
    } else if told.is_empty() {
        "look at systemctl status multipathd".to_owned()
    } else {
        format!("{told}; look at systemctl status multipathd")
    };
    Patience::overdue(format!(
        "resize multipath map {}: it has {} bytes instead of {size}: {reason}",
        map.wwid, map.size
    ))
}
