// SPDX-License-Identifier: AGPL-3.0-or-later
//! One end of a stream: a descriptor whose blocking calls can be cancelled.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::Cancel;
use crate::{Error, Result};

/// Pipe capacity to ask for: what an unprivileged process may have by default.
pub const PIPE_BYTES: usize = 1 << 20;

/// What a descriptor is; settled when it is opened, not per block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pipe or FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// A regular file.
    File,
    /// Anything else that takes reads and writes (terminal, character device, block device).
    Other,
}

/// A descriptor with its kind and the switch that interrupts it.
pub struct PipeEnd {
    fd: OwnedFd,
    kind: Kind,
    ready: PollFlags,
    cancel: Cancel,
}

impl PipeEnd {
    /// An end that is read from.
    pub fn reader(fd: OwnedFd, cancel: Cancel) -> Result<Self> {
        Self::new(fd, PollFlags::IN, cancel)
    }

    /// An end that is written to.
    pub fn writer(fd: OwnedFd, cancel: Cancel) -> Result<Self> {
        Self::new(fd, PollFlags::OUT, cancel)
    }

    fn new(fd: OwnedFd, ready: PollFlags, cancel: Cancel) -> Result<Self> {
        let stat = rustix::fs::fstat(&fd)
            .map_err(|errno| Error::os("examine the stream's descriptor", errno))?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Fifo => Kind::Pipe,
            FileType::Socket => Kind::Socket,
            FileType::RegularFile => Kind::File,
            _ => Kind::Other,
        };
        if kind == Kind::Pipe {
            // Best effort: the system's limit may be lower, and a smaller pipe only costs time.
            let _ = rustix::pipe::fcntl_setpipe_size(&fd, PIPE_BYTES);
        }
        Ok(Self {
            fd,
            kind,
            ready,
            cancel,
        })
    }

    /// What the descriptor is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Runs a call on the descriptor until it does something. Another holder of the same open file may have set
    /// `O_NONBLOCK`, so `EAGAIN` is answered by waiting.
    ///
    /// The outer error is cancellation, the inner one the call's.
    pub fn call<T>(
        &self,
        mut op: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> Result<rustix::io::Result<T>> {
        loop {
            self.cancel.check()?;
            match op(self.fd.as_fd()) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&self.fd, self.ready)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(errno) => return Ok(Err(errno)),
                },
                result => return Ok(result),
            }
        }
    }
}

impl AsFd for PipeEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
