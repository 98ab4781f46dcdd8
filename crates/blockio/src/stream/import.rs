// SPDX-License-Identifier: AGPL-3.0-or-later
//! Receiving a `raw+size` stream into a file or block device.

use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::buffer::{Buf, Pool};
use super::digest::Hashing;
use super::method::WriteMethod;
use super::pipe_end::PipeEnd;
use super::rate::Limiter;
use super::target::{Target, TargetKind};
use super::write_behind::WriteBehind;
use super::zero::{is_zero, runs};
use super::{Control, Summary, header};
use crate::{Error, Result};

/// What to import and where to.
pub struct ImportOptions {
    /// The stream: a pipe, a socket or a file. Closed at the end.
    pub stream: OwnedFd,
    /// The announced size in bytes, when the header has been read already (see [`super::read_header`]).
    pub size: Option<u64>,
    /// What kind of target `path` is.
    pub kind: TargetKind,
    /// Where to write.
    pub path: PathBuf,
    /// The target is known to read as zeros: zero blocks are skipped. When in doubt say no, or old data shows
    /// through; then zero blocks are zeroed by the device's or file system's own means.
    pub zeroed: bool,
    /// Compute the SHA-256 of the payload. Costs one processor; off unless somebody compares it.
    pub digest: bool,
    /// Limit in bytes per second.
    pub rate: Option<NonZeroU64>,
    /// Leave this at its default, but for measurements.
    pub method: WriteMethod,
}

impl ImportOptions {
    /// An import with header, without digest and limit, to a target of which nothing is known.
    #[must_use]
    pub fn new(stream: OwnedFd, kind: TargetKind, path: PathBuf) -> Self {
        let method = WriteMethod::default();
        Self {
            stream,
            size: None,
            kind,
            path,
            zeroed: false,
            digest: false,
            rate: None,
            method,
        }
    }
}

/// Bytes per buffer; a buffer of zeros is used again at once, while it is in the processor's cache.
const BUFFER: usize = 256 << 10;
/// Buffers between reader and writers: 4 MiB. More did not make anything faster.
const BUFFERS: usize = 16;
/// Longest range that is zeroed by one call, which cannot be cancelled.
const ZERO_STEP: u64 = 128 << 20;

/// Work for a writing thread.
enum Work {
    Data(u64, Arc<Buf>),
    Zero(u64, u64),
}

/// Receives `options.stream` into the target. Blocks until done, failed, or stopped through `control`. When it
/// returns successfully, the stream had exactly the announced length and everything is durable.
///
/// # Errors
/// `invalid` for a stream that is too short or too long, a bad header, or an unfit target; `exists` when the name
/// of a new file is taken; `no-space`; `cancelled`. After an error a file or device holds part of the stream; of a
/// new file nothing is left.
pub fn import(options: ImportOptions, control: &Control) -> Result<Summary> {
    let _interruptible = control.cancel.enter();
    let started = Instant::now();
    let stream = PipeEnd::reader(options.stream, control.cancel.clone())?;
    let size = match options.size {
        Some(size) => header::check(size)?,
        None => header::read_from(&stream)?,
    };
    let target = Target::open(
        options.kind,
        &options.path,
        size,
        options.zeroed,
        options.method,
    )?;
    let limiter = Limiter::new(options.rate);
    let sha256 = copy(&stream, &target, limiter, options.digest, control)?;
    target.finish()?;
    Ok(Summary {
        bytes: size,
        data_bytes: control.meter.data_bytes(),
        seconds: started.elapsed().as_secs_f64(),
        sha256,
    })
}

fn copy(
    stream: &PipeEnd,
    target: &Target,
    limiter: Limiter,
    digest: bool,
    control: &Control,
) -> Result<Option<String>> {
    let pool = Pool::new(BUFFERS, BUFFER)?;
    let (sender, receiver) = channel();
    let writers = Writers {
        target,
        control,
        work: Mutex::new(receiver),
        failure: Mutex::new(None),
    };
    let read = std::thread::scope(|scope| {
        for _ in 0..target.writers() {
            std::thread::Builder::new()
                .name("blockio-write".into())
                .spawn_scoped(scope, || writers.run())
                .map_err(|error| Error::internal(format!("start a thread: {error}")))?;
        }
        let hashing = Hashing::start(scope, digest)?;
        let mut reader = Reader {
            stream,
            pool,
            sender,
            hashing,
            limiter,
            control,
            zeros: 0..0,
        };
        reader.run(target.size())?;
        reader.hashing.finish()
    });
    // The reader was only told to stop; the writer knows why.
    match writers
        .failure
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
    {
        Some(error) => Err(error),
        None => read,
    }
}

/// The reading side: fills buffers, sorts out the zeros.
struct Reader<'a, 'scope> {
    stream: &'a PipeEnd,
    pool: Arc<Pool>,
    sender: Sender<Work>,
    hashing: Hashing<'scope>,
    limiter: Limiter,
    control: &'a Control,
    /// Zeros read but not passed on yet, so that many small ones become one call.
    zeros: std::ops::Range<u64>,
}

impl Reader<'_, '_> {
    fn run(&mut self, size: u64) -> Result<()> {
        let mut at = 0;
        let mut buffer = self.pool.take();
        while at < size {
            let want = BUFFER.min(usize::try_from(size - at).unwrap_or(BUFFER));
            let got = self.fill(&mut buffer, want)?;
            if got < want {
                return Err(Error::invalid(format!(
                    "stream ended after {} of {size} bytes; see the sender's log",
                    at + got as u64
                )));
            }
            let end = at + got as u64;
            if is_zero(&buffer) {
                self.hashing.zeros(got as u64)?;
                if self.zeros.end - self.zeros.start >= ZERO_STEP {
                    self.pass_zeros()?;
                }
                if self.zeros.is_empty() {
                    self.zeros.start = at;
                }
                self.zeros.end = end;
            } else {
                self.pass_zeros()?;
                let filled = Arc::new(std::mem::replace(&mut buffer, self.pool.take()));
                self.hashing.data(&filled)?;
                self.pass(Work::Data(at, filled))?;
            }
            at = end;
        }
        self.pass_zeros()?;
        self.expect_end(size)
    }

    /// Reads until `want` bytes are there or the stream ends.
    fn fill(&mut self, buffer: &mut Buf, want: usize) -> Result<usize> {
        let mut got = 0;
        while got < want {
            let piece = self.limiter.piece(want).min(want - got);
            self.limiter.wait(piece, &self.control.cancel)?;
            let more = self.read(&mut buffer.space()[got..got + piece])?;
            if more == 0 {
                break;
            }
            got += more;
            self.control.meter.add(more as u64);
        }
        buffer.set_filled(0..got);
        Ok(got)
    }

    fn read(&self, space: &mut [u8]) -> Result<usize> {
        self.stream
            .call(|fd| rustix::io::read(fd, &mut *space))?
            .map_err(|errno| {
                Error::os(
                    format!("read stream after {} bytes", self.control.meter.bytes()),
                    errno,
                )
            })
    }

    fn expect_end(&self, size: u64) -> Result<()> {
        match self.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(Error::invalid(format!(
                "stream goes on after the announced {size} bytes; check the format and the sender's log"
            ))),
        }
    }

    fn pass_zeros(&mut self) -> Result<()> {
        let range = std::mem::replace(&mut self.zeros, 0..0);
        if range.is_empty() {
            Ok(())
        } else {
            self.pass(Work::Zero(range.start, range.end - range.start))
        }
    }

    fn pass(&self, work: Work) -> Result<()> {
        self.sender
            .send(work)
            .map_err(|_| Error::internal("the writer threads ended early"))
    }
}

/// The writing side.
struct Writers<'a> {
    target: &'a Target,
    control: &'a Control,
    work: Mutex<Receiver<Work>>,
    failure: Mutex<Option<Error>>,
}

impl Writers<'_> {
    fn run(&self) {
        let mut behind = self.target.write_behind();
        loop {
            // In a statement of its own, so that the lock is not held while writing.
            let work = self
                .work
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv();
            let Ok(work) = work else { return };
            // After a failure the queue is emptied, so that the reader gets its buffers back and sees the switch.
            if self.control.cancel.is_stopped() {
                continue;
            }
            // A panic must end the stream as an error does, or the reader would wait for its buffers for ever.
            let result = catch_unwind(AssertUnwindSafe(|| self.perform(&work, behind.as_mut())))
                .unwrap_or_else(|_| Err(Error::internal("the writer thread failed")));
            drop(work);
            if let Err(error) = result {
                self.failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(error);
                self.control.cancel.stop();
            }
        }
    }

    fn perform(&self, work: &Work, behind: Option<&mut WriteBehind<'_>>) -> Result<()> {
        match work {
            Work::Zero(offset, length) => self.target.zero(*offset, *length),
            Work::Data(offset, buffer) => {
                for run in runs(buffer, self.target.zero_block()) {
                    let at = offset + run.range.start as u64;
                    if run.zero {
                        self.target
                            .zero(at, (run.range.end - run.range.start) as u64)?;
                    } else {
                        self.control
                            .meter
                            .add_data((run.range.end - run.range.start) as u64);
                        self.target.write(&buffer[run.range], at)?;
                    }
                }
                if let Some(behind) = behind {
                    behind.reached(offset + buffer.len() as u64);
                }
                Ok(())
            }
        }
    }
}
