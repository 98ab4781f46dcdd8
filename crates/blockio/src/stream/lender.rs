// SPDX-License-Identifier: AGPL-3.0-or-later
//! Passing pages to a pipe by reference.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{IoSliceRaw, PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with};

use super::buffer::Mapping;
use super::pipe_end::{PIPE_BYTES, PipeEnd};
use crate::{Error, Result};

/// Bytes of the zeros that all slots of the pipe refer to. Few enough to stay in the reader's cache.
const ZEROS: usize = 64 << 10;

/// Two pipes of our own, in front of the pipe that the receiver reads.
///
/// A pipe is locked while its reader copies and while its writer collects pages. Pages are collected in a pipe
/// that nobody else touches, and only moved on under the lock: the reader copies meanwhile.
pub struct Lender {
    staging: Pipe,
    /// Full of zeros, and stays so: they are duplicated, not taken.
    zeros: Pipe,
}

struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    bytes: usize,
}

impl Lender {
    /// Makes the pipes. What they can hold depends on the limits of the user.
    pub fn new() -> Result<Self> {
        let failed = |errno| Error::os("prepare the stream's pipes", errno);
        let staging = Pipe::new().map_err(failed)?;
        let mut zeros = Pipe::new().map_err(failed)?;
        let page = Mapping::new(ZEROS)?;
        let mut filled = 0;
        while filled < zeros.bytes {
            let length = ZEROS.min(zeros.bytes - filled);
            let slice = IoSliceRaw::from_slice(&page[..length]);
            // SAFETY: the pages that the pipe now refers to, and whoever splices on from it, are never written to; the
            // pipe holds them by itself when they are unmapped.
            match unsafe { rustix::pipe::vmsplice(&zeros.writer, &[slice], SpliceFlags::NONBLOCK) }
            {
                Ok(length) => filled += length,
                // Slots are pages, so a pipe may be full before its bytes are.
                Err(Errno::AGAIN) if filled > 0 => break,
                Err(errno) => return Err(failed(errno)),
            }
        }
        zeros.bytes = filled;
        Ok(Self { staging, zeros })
    }

    /// Passes up to `length` bytes of a page-cached file on, from `*offset`, which advances. `progress` hears
    /// of each part that arrived. The inner error is the kernel's; 0 means the file's end.
    pub fn lend(
        &self,
        sink: &PipeEnd,
        file: impl AsFd,
        offset: &mut u64,
        length: usize,
        mut progress: impl FnMut(usize),
    ) -> Result<rustix::io::Result<usize>> {
        let length = length.min(self.staging.bytes);
        let staged = match rustix::pipe::splice(
            &file,
            Some(offset),
            &self.staging.writer,
            None,
            length,
            SpliceFlags::empty(),
        ) {
            Ok(staged) => staged,
            Err(errno) => return Ok(Err(errno)),
        };
        let mut left = staged;
        while left > 0 {
            let reader = &self.staging.reader;
            match sink
                .call(|fd| rustix::pipe::splice(reader, None, fd, None, left, SpliceFlags::MOVE))?
            {
                Ok(moved) => {
                    left -= moved;
                    progress(moved);
                }
                Err(errno) => {
                    // Where another method would have to go on.
                    *offset -= left as u64;
                    return Ok(Err(errno));
                }
            }
        }
        Ok(Ok(staged))
    }

    /// Passes up to `length` zeros on, at least one. The inner error is the kernel's.
    pub fn zeros(&self, sink: &PipeEnd, length: usize) -> Result<rustix::io::Result<usize>> {
        let length = length.min(self.zeros.bytes);
        sink.call(|fd| rustix::pipe::tee(&self.zeros.reader, fd, length, SpliceFlags::empty()))
    }
}

impl Pipe {
    fn new() -> rustix::io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        // Best effort, as with the sink.
        let _ = fcntl_setpipe_size(&writer, PIPE_BYTES);
        let bytes = rustix::pipe::fcntl_getpipe_size(&writer)?;
        Ok(Self {
            reader,
            writer,
            bytes,
        })
    }
}
