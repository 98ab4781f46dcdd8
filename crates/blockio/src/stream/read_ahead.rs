// SPDX-License-Identifier: AGPL-3.0-or-later
//! Reads of a source on threads of their own, several in flight, delivered in order.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use rustix::io::Errno;

use super::buffer::{Buf, Pool};
use super::digest;
use super::source::Source;
use crate::{Error, Result};

/// Bytes per read.
pub const SEGMENT: usize = 512 << 10;
/// Alignment that suits `O_DIRECT` on every device with sectors of up to 4 KiB.
const ALIGN: u64 = 4096;

type Job = (Range<u64>, Buf);
type Done = Result<Buf>;

/// What comes next in the stream.
enum Pending {
    Hole(u64),
    /// Read by this reader.
    Data(usize),
}

/// An item of the stream, in order.
pub enum Item {
    /// So many zeros.
    Hole(u64),
    /// Bytes.
    Data(Arc<Buf>),
}

/// Reader threads and the items that are under way.
pub struct ReadAhead {
    readers: Vec<(Sender<Job>, Receiver<Done>)>,
    pending: VecDeque<Pending>,
    pool: Arc<Pool>,
    next_reader: usize,
    in_flight: usize,
}

impl ReadAhead {
    /// Starts `in_flight` readers of `source`, around the page cache when `direct` is a descriptor for that.
    pub fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        source: &'env Source,
        direct: Option<&'env OwnedFd>,
        in_flight: usize,
    ) -> Result<Self> {
        let count = in_flight.max(1);
        let pool = Pool::new(2 * count + digest::QUEUE + 2, SEGMENT)?;
        let mut readers = Vec::with_capacity(count);
        for _ in 0..count {
            let (jobs, queue) = channel::<Job>();
            let (results, done) = channel();
            std::thread::Builder::new()
                .name("blockio-read".into())
                .spawn_scoped(scope, move || {
                    for (range, buffer) in queue {
                        if results.send(read(source, direct, &range, buffer)).is_err() {
                            break;
                        }
                    }
                })
                .map_err(|error| Error::internal(format!("start a thread: {error}")))?;
            readers.push((jobs, done));
        }
        Ok(Self {
            readers,
            pending: VecDeque::new(),
            pool,
            next_reader: 0,
            in_flight: 0,
        })
    }

    /// True while another read should be queued.
    pub fn has_room(&self) -> bool {
        self.in_flight < 2 * self.readers.len()
    }

    /// Queues zeros.
    pub fn push_hole(&mut self, length: u64) {
        self.pending.push_back(Pending::Hole(length));
    }

    /// Queues the read of at most one segment from the start of `range`; returns where it ends.
    pub fn push_data(&mut self, range: &Range<u64>) -> Result<u64> {
        // Later segments start aligned, whatever the first one does.
        let end = ((range.start / ALIGN * ALIGN) + SEGMENT as u64).min(range.end);
        let reader = self.next_reader;
        self.next_reader = (reader + 1) % self.readers.len();
        self.readers[reader]
            .0
            .send((range.start..end, self.pool.take()))
            .map_err(|_| ended())?;
        self.pending.push_back(Pending::Data(reader));
        self.in_flight += 1;
        Ok(end)
    }

    /// The next item, in the order of the pushes. Reads are waited for.
    pub fn pop(&mut self, source: &Source) -> Result<Option<Item>> {
        match self.pending.pop_front() {
            None => Ok(None),
            Some(Pending::Hole(length)) => {
                source.check_size()?;
                Ok(Some(Item::Hole(length)))
            }
            Some(Pending::Data(reader)) => {
                self.in_flight -= 1;
                let buffer = self.readers[reader].1.recv().map_err(|_| ended())??;
                Ok(Some(Item::Data(Arc::new(buffer))))
            }
        }
    }
}

/// Fills `buffer` with `range` of the source.
fn read(source: &Source, direct: Option<&OwnedFd>, range: &Range<u64>, mut buffer: Buf) -> Done {
    let start = range.start / ALIGN * ALIGN;
    let skip = usize_of(range.start - start)?;
    let want = usize_of(range.end - start)?;
    let mut got = 0;
    if let Some(direct) = direct {
        let whole = want.next_multiple_of(usize_of(ALIGN)?);
        while got < want {
            match rustix::io::pread(direct, &mut buffer.space()[got..whole], start + got as u64) {
                Ok(0) | Err(Errno::INVAL) => break,
                Ok(more) => got += more,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(source.failed(errno)),
            }
        }
    }
    // All of it without O_DIRECT, or what O_DIRECT refused: an unaligned tail, or the file's end.
    while got < want {
        match rustix::io::pread(source, &mut buffer.space()[got..want], start + got as u64) {
            Ok(0) => return Err(source.ended_at(start + got as u64)),
            Ok(more) => got += more,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(source.failed(errno)),
        }
    }
    buffer.set_filled(skip..want);
    Ok(buffer)
}

fn usize_of(bytes: u64) -> Result<usize> {
    usize::try_from(bytes)
        .map_err(|_| Error::internal("a segment is larger than the address space"))
}

fn ended() -> Error {
    Error::internal("a reader thread ended early")
}
