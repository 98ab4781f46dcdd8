// SPDX-License-Identifier: AGPL-3.0-or-later
//! Sending a directory as a `tar+size` stream.

mod plan;
mod read;
mod send;

use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::fs::{Mode, OFlags};

use self::plan::{Planner, Step};
use self::read::{Job, Reader};
use self::send::Sender;
use super::Summary;
use super::node::Node;
use super::notes::Notes;
use super::queue::Budget;
use super::stat::{Stat, stat};
use crate::stream::{self, Control, Sink};
use crate::{Error, Result};

/// Reading threads. They wait for disks most of the time, so that their number is not that of the processors.
const READERS: usize = 16;
/// Steps that are planned ahead.
const AHEAD: usize = 256;
/// Bytes of file contents that are read ahead.
const MEMORY: usize = 48 << 20;

/// What to export and how.
pub struct ExportOptions {
    /// A directory; a link is not followed.
    pub source: PathBuf,
    /// Where the stream goes: a pipe, a socket or a file. Closed at the end.
    pub sink: OwnedFd,
    /// Limit in bytes per second.
    pub rate: Option<NonZeroU64>,
}

/// What all threads of an export share.
struct Shared {
    /// The tree's root.
    root: Stat,
    notes: Notes,
    budget: Budget,
    members: AtomicU64,
    /// Memory that goes round between readers and sender.
    spare: Mutex<Vec<Vec<u8>>>,
}

/// Spare buffers that are kept, and the bytes of one.
const SPARE: usize = 32;
const SPARE_BYTES: usize = 256 << 10;

impl Shared {
    /// An empty buffer.
    fn buffer(&self) -> Vec<u8> {
        let spare = self
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        spare.unwrap_or_else(|| Vec::with_capacity(SPARE_BYTES))
    }

    /// Takes a buffer back.
    fn give_back(&self, mut buffer: Vec<u8>) {
        if (SPARE_BYTES..=2 * SPARE_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            if spare.len() < SPARE {
                spare.push(buffer);
            }
        }
    }
}

/// Writes header and archive of the directory. Blocks until done, failed, or stopped through `control`.
///
/// Sockets are left out, and so is what is mounted below the directory. A file that vanishes, shrinks or changes while it
/// is read leaves a note, and the archive stays valid.
///
/// # Errors
/// `absent` for a missing directory; `invalid` when it is none; `refused` for a file that may not be read; `unreachable` when
/// the receiver goes away or the file system fails; `no-space`; `cancelled`.
pub fn export(options: ExportOptions, control: &Control) -> Result<Summary> {
    let _interruptible = control.cancel.enter();
    let started = Instant::now();
    let failed = |errno| {
        Error::os(
            format!("read directory {}", options.source.display()),
            errno,
        )
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(&options.source, flags, Mode::empty()).map_err(failed)?;
    let shared = Shared {
        root: stat(&fd, b"").map_err(failed)?,
        notes: Notes::default(),
        budget: Budget::new(MEMORY),
        members: AtomicU64::new(0),
        spare: Mutex::default(),
    };
    let root = Node::root(fd).map_err(failed)?;
    let mut sink = Sink::new(options.sink, options.rate, control.clone())?;
    sink.header(0)?;
    run(&shared, root, &mut sink, control)?;
    sink.finish()?;
    Ok(Summary {
        stream: stream::Summary {
            bytes: control.meter.bytes(),
            data_bytes: control.meter.data_bytes(),
            seconds: started.elapsed().as_secs_f64(),
            sha256: None,
        },
        members: shared.members.into_inner(),
        notes: shared.notes.into_lines(),
    })
}

/// Ends the waits of all other threads, also when this one fails.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.budget.end();
    }
}

fn run(shared: &Shared, root: Arc<Node>, sink: &mut Sink, control: &Control) -> Result<()> {
    let failed = |error: std::io::Error| Error::internal(format!("start a thread: {error}"));
    std::thread::scope(|scope| {
        let _ending = Ending(shared);
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..READERS {
            let queue = Arc::clone(&queue);
            let cancel = control.cancel.clone();
            std::thread::Builder::new()
                .name("blockio-read".into())
                .spawn_scoped(scope, move || {
                    let reader = Reader::new(shared);
                    loop {
                        // In a statement of its own, so that the lock is not held while reading.
                        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(job) = job else { return };
                        // Once it is stopped the queue is only emptied.
                        if !cancel.is_stopped() {
                            reader.perform(job);
                        }
                    }
                })
                .map_err(failed)?;
        }
        let (steps, plan) = sync_channel::<Result<Step>>(AHEAD);
        std::thread::Builder::new()
            .name("blockio-plan".into())
            .spawn_scoped(scope, move || {
                let mut planner = Planner::new(shared, jobs, &steps);
                if let Err(Some(error)) = planner.run(root) {
                    let _ = steps.send(Err(error));
                }
            })
            .map_err(failed)?;
        let mut sender = Sender::new(shared, sink, control);
        for step in plan {
            sender.send(step?)?;
        }
        sender.end()
    })
}
