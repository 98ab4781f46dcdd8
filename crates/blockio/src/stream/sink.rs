// SPDX-License-Identifier: AGPL-3.0-or-later
//! Where an export writes to.

use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{OFlags, SeekFrom};
use rustix::io::{Errno, IoSlice};

use super::buffer::Mapping;
use super::lender::Lender;
use super::pipe_end::{Kind, PIPE_BYTES, PipeEnd};
use super::rate::Limiter;
use super::{Control, HEADER_BYTES};
use crate::{Error, Result};

/// Bytes moved by one call at most: what fits into the pipe.
const PIECE: usize = PIPE_BYTES;

/// Zeros for descriptors that are not pipes.
const ZEROS: usize = 64 << 10;
/// Segments of one write of zeros; together one pipe full.
const ZERO_SEGMENTS: usize = PIECE / ZEROS;

/// The receiving end of an export, with the limit and the counters of the stream.
pub struct Sink {
    end: PipeEnd,
    zeros: Mapping,
    /// Where page references wait for a pipe.
    lender: Option<Lender>,
    limiter: Limiter,
    control: Control,
    /// A regular file that ends where we write: holes can stay holes.
    sparse: bool,
}

impl Sink {
    /// Takes over `fd` and finds out what it can do.
    pub fn new(fd: OwnedFd, rate: Option<NonZeroU64>, control: Control) -> Result<Self> {
        let end = PipeEnd::writer(fd, control.cancel.clone())?;
        let sparse = end.kind() == Kind::File && ends_here(&end)?;
        let zeros = Mapping::new(ZEROS)?;
        let lender = (end.kind() == Kind::Pipe).then(Lender::new).transpose()?;
        Ok(Self {
            end,
            zeros,
            lender,
            limiter: Limiter::new(rate),
            control,
            sparse,
        })
    }

    /// What the descriptor is.
    pub const fn kind(&self) -> Kind {
        self.end.kind()
    }

    /// Writes the stream's header.
    pub fn header(&mut self, size: u64) -> Result<()> {
        let header: [u8; HEADER_BYTES] = size.to_le_bytes();
        self.write_fully(&header)
    }

    /// Writes payload.
    pub fn data(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let piece = self.limiter.piece(PIECE).min(bytes.len());
            self.limiter.wait(piece, &self.control.cancel)?;
            self.write_fully(&bytes[..piece])?;
            self.control.meter.add(piece as u64);
            bytes = &bytes[piece..];
        }
        Ok(())
    }

    /// Writes `length` zeros, in the cheapest way the descriptor has.
    pub fn zeros(&mut self, length: u64) -> Result<()> {
        if self.sparse {
            self.control.cancel.check()?;
            let distance = i64::try_from(length)
                .map_err(|_| Error::invalid("write stream: the hole is too large"))?;
            rustix::fs::seek(&self.end, SeekFrom::Current(distance))
                .map_err(|errno| self.failed(errno))?;
            self.control.meter.add(length);
            return Ok(());
        }
        let mut left = length;
        while left > 0 {
            let piece = usize::try_from(left)
                .unwrap_or(PIECE)
                .min(self.limiter.piece(PIECE));
            self.limiter.wait(piece, &self.control.cancel)?;
            let mut done = 0;
            while done < piece {
                done += self.some_zeros(piece - done)?;
            }
            self.control.meter.add(piece as u64);
            left -= piece as u64;
        }
        Ok(())
    }

    /// Moves up to `length` bytes of a page-cached file without copying them, from `*offset`, which advances.
    /// Returns `None` when the kernel cannot do that between these two descriptors, else the bytes moved:
    /// 0 at the file's end.
    pub fn lend(&mut self, file: impl AsFd, offset: &mut u64, length: u64) -> Result<Option<u64>> {
        let piece = usize::try_from(length)
            .unwrap_or(PIECE)
            .min(self.limiter.piece(PIECE));
        self.limiter.wait(piece, &self.control.cancel)?;
        let Some(lender) = &self.lender else {
            return Ok(None);
        };
        let progress = |moved| self.control.meter.add(moved as u64);
        let moved = lender.lend(&self.end, file, offset, piece, progress)?;
        match moved {
            Ok(moved) => Ok(Some(moved as u64)),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(self.failed(errno)),
        }
    }

    /// Makes the result complete. A file is made durable too: its writer's last chance to learn of an error.
    pub fn finish(self) -> Result<()> {
        if self.kind() == Kind::File {
            if self.sparse {
                let end = rustix::fs::tell(&self.end).map_err(|errno| self.failed(errno))?;
                rustix::fs::ftruncate(&self.end, end).map_err(|errno| self.failed(errno))?;
            }
            rustix::fs::fsync(&self.end).map_err(|errno| self.failed(errno))?;
        }
        Ok(())
    }

    fn write_fully(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let written = self
                .end
                .call(|fd| rustix::io::write(fd, bytes))?
                .map_err(|errno| self.failed(errno))?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    fn some_zeros(&self, length: usize) -> Result<usize> {
        let written = if let Some(lender) = &self.lender {
            lender.zeros(&self.end, length)?
        } else {
            let segments = length.div_ceil(ZEROS).min(ZERO_SEGMENTS);
            let last = length.saturating_sub((segments - 1) * ZEROS).min(ZEROS);
            let mut slices = [IoSlice::new(&self.zeros); ZERO_SEGMENTS];
            slices[segments - 1] = IoSlice::new(&self.zeros[..last]);
            self.end
                .call(|fd| rustix::io::writev(fd, &slices[..segments]))?
        };
        written.map_err(|errno| self.failed(errno))
    }

    fn failed(&self, errno: Errno) -> Error {
        let done = self.control.meter.bytes();
        match errno {
            Errno::PIPE | Errno::CONNRESET => Error::new(
                crate::ErrorKind::Unreachable,
                format!("write stream: the receiver went away after {done} bytes; see its log"),
            ),
            errno => Error::os(format!("write stream after {done} bytes"), errno),
        }
    }
}

/// True when nothing lies behind the write position of a file, so that skipping makes a hole.
fn ends_here(file: impl AsFd) -> Result<bool> {
    let failed = |errno| Error::os("examine the stream's file", errno);
    let flags = rustix::fs::fcntl_getfl(&file).map_err(failed)?;
    let position = rustix::fs::tell(&file).map_err(failed)?;
    let size = rustix::fs::fstat(&file).map_err(failed)?.st_size;
    Ok(!flags.contains(OFlags::APPEND) && u64::try_from(size).is_ok_and(|size| size <= position))
}
