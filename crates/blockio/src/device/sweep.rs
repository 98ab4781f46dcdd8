// SPDX-License-Identifier: AGPL-3.0-or-later
//! Asking every SCSI device for its identity: thousands of small files.

use std::num::NonZeroUsize;
use std::thread::{Builder, available_parallelism, scope};

use super::hctl::{DEVICES, Hctl};
use super::scsi::carries;
use super::sysfs::{Dir, Sysfs};
use super::wwid::Wwid;
use crate::{Error, Result};

/// A thread is not worth its start for fewer devices.
const DEVICES_PER_THREAD: usize = 256;
const THREADS_MAX: usize = 8;

/// Those of the sorted addresses whose device has this identity.
pub(super) fn sweep(sysfs: &Sysfs, all: &[Hctl], wanted: &Wwid) -> Result<Vec<Hctl>> {
    let processors = available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = (all.len() / DEVICES_PER_THREAD).clamp(1, processors.min(THREADS_MAX));
    let mut parts = all.chunks(all.len().div_ceil(threads).max(1));
    let own = parts.next().unwrap_or_default();
    scope(|scope| {
        let mut running = Vec::new();
        let mut left = Vec::new();
        for part in parts {
            let work = move || sweep_part(sysfs, part, wanted);
            match Builder::new()
                .name("blockio-sweep".into())
                .spawn_scoped(scope, work)
            {
                Ok(thread) => running.push(thread),
                Err(_) => left.push(part),
            }
        }
        let mut found = sweep_part(sysfs, own, wanted)?;
        for part in left {
            found.extend(sweep_part(sysfs, part, wanted)?);
        }
        for thread in running {
            let part = thread
                .join()
                .map_err(|_| Error::internal("look for a disk: a thread failed"))?;
            found.extend(part?);
        }
        found.sort_unstable();
        Ok(found)
    })
}

fn sweep_part(sysfs: &Sysfs, part: &[Hctl], wanted: &Wwid) -> Result<Vec<Hctl>> {
    let mut found = Vec::new();
    let Some(bus) = sysfs.dir(DEVICES)? else {
        return Ok(found);
    };
    // From the directory of the target the kernel has two steps to go, from that of the bus a dozen.
    let mut target: Option<(String, Option<Dir<'_>>)> = None;
    for hctl in part {
        let name = hctl.target_name();
        let dir = match &target {
            Some((known, dir)) if *known == name => dir,
            _ => {
                let dir = sysfs.dir(&format!("{DEVICES}/{name}"))?;
                &target.insert((name, dir)).1
            }
        };
        let below = format!("{hctl}/");
        let mut answer = match dir {
            Some(dir) => carries(dir, &below, wanted)?,
            None => None,
        };
        if answer.is_none() {
            answer = carries(&bus, &below, wanted)?;
        }
        if answer == Some(true) {
            found.push(*hctl);
        }
    }
    Ok(found)
}
