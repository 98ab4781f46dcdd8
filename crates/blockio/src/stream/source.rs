// SPDX-License-Identifier: AGPL-3.0-or-later
//! What an export reads: a file or a block device, as a sequence of data and holes.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Advice, FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use crate::block::ioctl;
use crate::{Error, Result, sys};

/// A part of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Bytes that must be read.
    Data(Range<u64>),
    /// Bytes that are known to be zero.
    Hole(Range<u64>),
}

/// An opened source. Its size is that of the moment when it was opened.
pub struct Source {
    file: OwnedFd,
    name: String,
    size: u64,
    is_device: bool,
}

impl Source {
    /// Opens a regular file or a block device.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let failed = |errno| Error::os(format!("open {name}"), errno);
        // Without NONBLOCK, opening a FIFO would wait for a writer; it has no effect on files and devices.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        let (size, is_device) = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => (u64::try_from(stat.st_size).unwrap_or_default(), false),
            FileType::BlockDevice => (ioctl::size(&file).map_err(failed)?, true),
            _ => {
                return Err(Error::invalid(format!(
                    "open {name}: neither a regular file nor a block device"
                )));
            }
        };
        if size == 0 {
            return Err(Error::invalid(format!(
                "open {name}: it is empty, and an empty volume cannot be exported"
            )));
        }
        // Twice the usual readahead; a refusal costs nothing but that.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::Sequential);
        Ok(Self {
            file,
            name,
            size,
            is_device,
        })
    }

    /// Size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// True for a block device, false for a regular file.
    pub const fn is_device(&self) -> bool {
        self.is_device
    }

    /// All parts from an offset on, in order.
    pub const fn extents(&self, from: u64) -> Extents<'_> {
        Extents {
            source: self,
            at: from,
            knows_holes: !self.is_device,
        }
    }

    /// Fails when the file became shorter since it was opened.
    pub fn check_size(&self) -> Result<()> {
        if self.is_device {
            return Ok(());
        }
        let stat = rustix::fs::fstat(&self.file).map_err(|errno| self.failed(errno))?;
        let now = u64::try_from(stat.st_size).unwrap_or_default();
        if now < self.size {
            Err(self.ended_at(now))
        } else {
            Ok(())
        }
    }

    /// The error of a source that ended before its size.
    pub fn ended_at(&self, offset: u64) -> Error {
        Error::invalid(format!(
            "read {}: it ended at {offset} of {} bytes, something truncated it; export it again when it is not in use",
            self.name, self.size
        ))
    }

    /// True when most of the data of a file lies in the page cache. Looks at samples: asking about every page of a large file takes longer than sending a good part of it.
    pub fn is_cached(&self) -> bool {
        const SAMPLES: u64 = 64;
        const SAMPLE_BYTES: u64 = 64 << 10;
        let (mut looked, mut cached) = (0, 0);
        for sample in 0..SAMPLES {
            let from = self.size / SAMPLES * sample;
            let at = match rustix::fs::seek(&self.file, SeekFrom::Data(from)) {
                Ok(at) => at,
                Err(Errno::NXIO) => break,
                Err(_) => from,
            };
            let length = SAMPLE_BYTES.min(self.size.saturating_sub(at));
            // Kernels before 6.5 cannot tell; the page cache is the safe choice.
            let Ok(found) = sys::cached_bytes(&self.file, at, length) else {
                return true;
            };
            looked += length;
            cached += found.min(length);
        }
        cached >= looked / 2
    }

    /// A second descriptor that reads around the page cache, where the file system can.
    pub fn open_direct(&self) -> Option<OwnedFd> {
        use std::os::fd::AsRawFd;
        // Through /proc, so that it is this very file even if the name was given to another one.
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::open(
            path,
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECT,
            Mode::empty(),
        )
        .ok()
    }

    /// A system call on the source failed.
    pub fn failed(&self, errno: Errno) -> Error {
        Error::os(format!("read {}", self.name), errno)
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The parts of a source, looked up as they are needed.
pub struct Extents<'a> {
    source: &'a Source,
    at: u64,
    /// False once the file system has said that it does not know about holes.
    knows_holes: bool,
}

impl Extents<'_> {
    /// The next part, or `None` at the end.
    pub fn next(&mut self) -> Result<Option<Extent>> {
        if self.at == self.source.size {
            return Ok(None);
        }
        let extent = self.look()?;
        let (Extent::Data(range) | Extent::Hole(range)) = &extent;
        self.at = range.end;
        Ok(Some(extent))
    }

    fn look(&mut self) -> Result<Extent> {
        let (source, at, size) = (self.source, self.at, self.source.size);
        if !self.knows_holes {
            return Ok(Extent::Data(at..size));
        }
        match rustix::fs::seek(&source.file, SeekFrom::Data(at)) {
            Ok(data) if data > at => self.hole(data.min(size)),
            Ok(_) => {
                let end = rustix::fs::seek(&source.file, SeekFrom::Hole(at))
                    .map_err(|errno| source.failed(errno))?;
                Ok(Extent::Data(at..end.clamp(at + 1, size)))
            }
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => self.hole(size),
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOTTY) => {
                self.knows_holes = false;
                Ok(Extent::Data(at..size))
            }
            Err(errno) => Err(source.failed(errno)),
        }
    }

    /// The end of a truncated file looks like a hole, so a hole is believed only while the size is.
    fn hole(&self, end: u64) -> Result<Extent> {
        self.source.check_size()?;
        Ok(Extent::Hole(self.at..end))
    }
}
