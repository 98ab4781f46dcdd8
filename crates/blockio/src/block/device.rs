// SPDX-License-Identifier: AGPL-3.0-or-later
//! An open block device.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::ioctl;
use crate::stream::Cancel;
use crate::{Error, ErrorKind, Result};

/// Discarding and zeroing a range cannot be interrupted, so it is done in pieces of this many bytes.
const PIECE: u64 = 1 << 30;

/// An open block device.
#[derive(Debug)]
pub struct BlockDevice {
    file: OwnedFd,
    path: PathBuf,
}

/// True when somebody has a device for himself: a mount, a device mapper map, swap, another program.
///
/// # Errors
/// `absent` when there is no such device; `invalid` when it is not a block device.
pub fn is_busy(path: &Path) -> Result<bool> {
    match BlockDevice::open_exclusively(path) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == ErrorKind::Busy => Ok(true),
        Err(error) => Err(error),
    }
}

impl BlockDevice {
    /// Opens a device to ask it things and to flush it.
    ///
    /// # Errors
    /// `absent` when there is no such device; `invalid` when it is not a block device.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_as(path, OFlags::RDONLY)
    }

    /// As [`open`](Self::open), unless somebody has it for himself; keeps others from that as long as it is open.
    /// Not for writing: closing what was open for writing makes udev look at the device again.
    ///
    /// # Errors
    /// `busy` when somebody has it for himself; as [`open`](Self::open).
    pub fn open_exclusively(path: &Path) -> Result<Self> {
        Self::open_as(path, OFlags::RDONLY | OFlags::EXCL)
    }

    /// Opens a device to write to it, unless somebody has it for himself.
    ///
    /// # Errors
    /// As [`open_exclusively`](Self::open_exclusively).
    pub fn open_writable(path: &Path) -> Result<Self> {
        Self::open_as(path, OFlags::RDWR | OFlags::EXCL)
    }

    fn open_as(path: &Path, flags: OFlags) -> Result<Self> {
        let failed = |errno| Error::os(format!("open {}", path.display()), errno);
        let no_device =
            || Error::invalid(format!("open {}: it is not a block device", path.display()));
        // Not blocking, should it be a pipe.
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()));
        let file = match file {
            Err(Errno::ISDIR) => return Err(no_device()),
            file => file.map_err(failed)?,
        };
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::BlockDevice {
            return Err(no_device());
        }
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Size in bytes.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn size(&self) -> Result<u64> {
        ioctl::size(&self.file).map_err(|errno| self.failed("read the size of", errno))
    }

    /// True when the kernel refuses to write.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn is_read_only(&self) -> Result<bool> {
        ioctl::is_read_only(&self.file).map_err(|errno| self.failed("examine", errno))
    }

    /// The smallest unit that can be read or written, in bytes.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn logical_block_size(&self) -> Result<u32> {
        rustix::fs::ioctl_blksszget(&self.file)
            .map_err(|errno| self.failed("read the block size of", errno))
    }

    /// Writes what the page cache has of the device, and drops it.
    ///
    /// # Errors
    /// When something could not be written, also since before this device was opened, unless it was told already.
    pub fn flush(&self) -> Result<()> {
        rustix::fs::fsync(&self.file).map_err(|errno| self.failed("flush", errno))?;
        ioctl::drop_cache(&self.file)
            .map_err(|errno| self.failed("drop the cached content of", errno))
    }

    /// Tells the device that `length` bytes from `offset` are not needed. What they read as then is up to the device.
    ///
    /// # Errors
    /// `unsupported` when the device cannot do that; `invalid` unless both are multiples of the logical block size and
    /// within the device; `cancelled`.
    pub fn discard(&self, offset: u64, length: u64, cancel: &Cancel) -> Result<()> {
        self.in_pieces(offset, length, cancel, |offset, length| {
            ioctl::discard(&self.file, offset, length)
                .map_err(|errno| self.failed("discard a part of", errno))
        })
    }

    /// Makes `length` bytes from `offset` read as zeros.
    ///
    /// # Errors
    /// `invalid` unless both are multiples of the logical block size and within the device; `cancelled`.
    pub fn zero(&self, offset: u64, length: u64, cancel: &Cancel) -> Result<()> {
        self.in_pieces(offset, length, cancel, |offset, length| {
            ioctl::zero(&self.file, offset, length)
                .map_err(|errno| self.failed("zero a part of", errno))
        })
    }

    fn in_pieces(
        &self,
        offset: u64,
        length: u64,
        cancel: &Cancel,
        step: impl Fn(u64, u64) -> Result<()>,
    ) -> Result<()> {
        let unit = u64::from(self.logical_block_size()?).max(1);
        let end = offset
            .checked_add(length)
            .filter(|_| offset % unit == 0 && length % unit == 0);
        let size = self.size()?;
        let Some(end) = end.filter(|end| *end <= size) else {
            return Err(Error::invalid(format!(
                "change {length} bytes at {offset} of {}: whole blocks of {unit} bytes within its {size} bytes are needed",
                self.path.display()
            )));
        };
        let mut at = offset;
        while at < end {
            cancel.check()?;
            let piece = PIECE.min(end - at);
            step(at, piece)?;
            at += piece;
        }
        Ok(())
    }

    fn failed(&self, what: &str, errno: Errno) -> Error {
        Error::os(format!("{what} {}", self.path.display()), errno)
    }
}
