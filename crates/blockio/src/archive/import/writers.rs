// SPDX-License-Identifier: AGPL-3.0-or-later
//! Creating small files on several threads.

use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;

use super::frame::{Common, Frame};
use super::member::Holes;
use super::place::Powers;
use crate::archive::meta::{Meta, printable};
use crate::archive::queue::Budget;
use crate::stream::Control;
use crate::{Error, Result};

/// A small file, with its content.
pub struct Job {
    pub frame: Arc<Frame>,
    pub path: Vec<u8>,
    /// Where the last part of the path begins.
    pub name: usize,
    pub meta: Meta,
    pub content: Vec<u8>,
    pub holes: Option<Holes>,
    /// Memory that was taken for it.
    pub weight: usize,
}

/// What the threads share.
pub struct Writers<'a> {
    pub common: Common,
    pub budget: Budget,
    pub control: &'a Control,
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
}

impl<'a> Writers<'a> {
    pub fn new(common: Common, memory: usize, control: &'a Control) -> Self {
        Self {
            common,
            budget: Budget::new(memory),
            control,
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
        }
    }

    /// True when the rest need not be tried.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Why, if so.
    pub fn failure(&self) -> Option<Error> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Works until there are no more jobs. After a failure the queue is only emptied.
    pub fn run(&self, jobs: &Receiver<Job>) {
        for job in jobs {
            let weight = job.weight;
            if !self.has_failed() {
                // A panic must end the import as an error does.
                let result = catch_unwind(AssertUnwindSafe(|| self.perform(job)))
                    .unwrap_or_else(|_| Err(Error::internal("a writer thread failed")));
                if let Err(error) = result {
                    self.fail(error);
                }
            }
            self.budget.give_back(weight);
        }
    }

    fn fail(&self, error: Error) {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.failed.store(true, Ordering::Relaxed);
        // The reader may be waiting for the sender.
        self.control.cancel.stop();
    }

    fn perform(&self, job: Job) -> Result<()> {
        self.file(&job).map_err(|error| failed(&job.path, error))?;
        self.control.meter.add_data(job.content.len() as u64);
        Frame::release(job.frame, &self.common)
    }

    fn file(&self, job: &Job) -> rustix::io::Result<()> {
        let dir = job.frame.node.fd()?;
        let file = create(&*dir, &job.path[job.name..], &self.common.powers, &job.meta)?;
        match &job.holes {
            None => write_at(&file, &job.content, 0)?,
            Some(holes) => {
                rustix::fs::ftruncate(&file, holes.size)?;
                let mut rest = job.content.as_slice();
                for extent in &holes.extents {
                    // The content is as long as all of them together.
                    let length = usize::try_from(extent.length).unwrap_or(0).min(rest.len());
                    let (data, more) = rest.split_at(length);
                    write_at(&file, data, extent.offset)?;
                    rest = more;
                }
            }
        }
        let path = || printable(&job.path);
        self.common
            .powers
            .finish_file(&file, &job.meta, &path, &self.common.notes)
    }
}

/// The error of a member.
pub fn failed(path: &[u8], errno: Errno) -> Error {
    match errno {
        Errno::ISDIR | Errno::NOTDIR | Errno::LOOP => Error::invalid(format!(
            "unpack {}: the archive has something of another kind in that place; see the sender's log",
            printable(path)
        )),
        errno => Error::os(format!("unpack {}", printable(path)), errno),
    }
}

/// Creates a file that is certainly new, in the place of an earlier member of that name.
pub fn create(
    dir: impl AsFd,
    name: &[u8],
    powers: &Powers,
    meta: &Meta,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = powers.creation_mode(meta);
    replacing(&dir, name, || rustix::fs::openat(&dir, name, flags, mode))
}

/// Repeats a creation after having removed what has the name: an earlier member, which is no directory.
pub fn replacing<T>(
    dir: impl AsFd,
    name: &[u8],
    mut create: impl FnMut() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    match create() {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(&dir, name, AtFlags::empty())?;
            create()
        }
        result => result,
    }
}

pub fn write_at(file: impl AsFd, mut data: &[u8], mut offset: u64) -> rustix::io::Result<()> {
    while !data.is_empty() {
        match rustix::io::pwrite(&file, data, offset) {
            Ok(written) => {
                data = &data[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
