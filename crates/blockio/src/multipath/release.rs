// SPDX-License-Identifier: AGPL-3.0-or-later
//! Letting I/O fail that waits for a path of a dead map.

use std::time::Duration;

use super::{Map, MapPath, Multipath, Patience, Reply};
use crate::Result;

/// The daemon is told as a precaution, which is not worth more than this.
const TELL: Duration = Duration::from_secs(2);

/// Whether a map queues for the time being.
pub(super) struct Release<'a> {
    multipath: &'a Multipath,
    wwid: &'a str,
    uuid: &'a str,
    released: Option<Released>,
}

struct Released {
    name: String,
    was_queueing: bool,
}

impl<'a> Release<'a> {
    pub fn new(multipath: &'a Multipath, wwid: &'a str, uuid: &'a str) -> Self {
        Self {
            multipath,
            wwid,
            uuid,
            released: None,
        }
    }

    /// True when I/O was let fail.
    pub fn is_released(&self) -> bool {
        self.released.is_some()
    }

    /// Lets I/O fail if the map has no path that could come back by itself.
    pub fn release_if_dead(&mut self, patience: &Patience<'_>) -> Result<()> {
        if self.is_released() {
            return Ok(());
        }
        let Some((seen, mapper)) = self.multipath.look(self.uuid)? else {
            return Ok(());
        };
        let map = Map::new(self.wwid, seen, mapper.as_ref(), None);
        if !map.paths.iter().all(MapPath::is_dead) {
            return Ok(());
        }
        self.released = Some(Released {
            name: map.name.clone(),
            was_queueing: map.queueing == Some(true),
        });
        // Both: the kernel must do it now, and the daemon would undo it.
        let patience = patience.at_most(TELL);
        let told = self.multipath.daemon.disable_queueing(&map.name, &patience);
        // Where it does not work, the deadline is what ends the wait.
        let _ = self.multipath.mapper.set_queueing(self.uuid, false);
        told.map_or_else(
            |error| {
                if error.is_cancelled() {
                    Err(error)
                } else {
                    Ok(())
                }
            },
            |_| Ok(()),
        )
    }

    /// The map queues as before.
    pub fn restore(&self) {
        let Some(released) = &self.released else {
            return;
        };
        // Also for a caller who cancelled.
        let cancel = crate::stream::Cancel::default();
        let patience = Patience::new(TELL, &cancel);
        let restored = self
            .multipath
            .daemon
            .restore_queueing(&released.name, &patience);
        if released.was_queueing && !matches!(restored, Ok(Reply::Ok)) {
            // Nothing is left to be tried; the error under way says more than one from here.
            let _ = self.multipath.mapper.set_queueing(self.uuid, true);
        }
    }
}
