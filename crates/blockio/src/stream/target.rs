// SPDX-License-Identifier: AGPL-3.0-or-later
//! What an import writes to.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{FallocateFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::method::WriteMethod;
use super::write_behind::WriteBehind;
use crate::block::ioctl;
use crate::fs::NewFile;
use crate::{Error, Result};

/// What kind of target an import has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A new file, which appears under its name when the import succeeded.
    Create,
    /// An existing regular file, which gets the size of the volume.
    File,
    /// A block device at least as large as the volume. What lies behind the volume's end is not touched.
    Device,
}

/// Permission bits of created images: guests' data is root's business.
const IMAGE_MODE: u32 = 0o600;
/// Alignment that `O_DIRECT` needs of memory, offset and length.
const DIRECT_ALIGN: u64 = 4096;
/// Zeros of this length and more are left out of files: with less, files of alternating data and zeros take several
/// times as long to write and fall to pieces.
const FILE_BLOCK: usize = 16 << 10;
/// Zeros of this length and more get a call of their own, or are skipped, on devices and in files with old content.
const DEVICE_BLOCK: usize = 64 << 10;

enum File {
    New(NewFile),
    Existing(OwnedFd),
}

/// An opened target, prepared for a volume of a known size. Shared by the writing threads.
pub struct Target {
    file: File,
    /// The same device or file without the page cache.
    direct: Option<OwnedFd>,
    method: WriteMethod,
    kind: TargetKind,
    name: String,
    size: u64,
    /// From here on the target reads as zeros without our help.
    blank_from: u64,
    /// How many ways to zero a range this target has refused.
    zeroing: AtomicU8,
}

impl Target {
    /// Opens `path` for a volume of `size` bytes. `zeroed`: the caller knows that all of it reads as zeros.
    pub fn open(
        kind: TargetKind,
        path: &Path,
        size: u64,
        zeroed: bool,
        method: WriteMethod,
    ) -> Result<Self> {
        let name = path.display().to_string();
        let failed = |errno| Error::os(format!("open {name}"), errno);
        let resize = |file: BorrowedFd<'_>| {
            rustix::fs::ftruncate(file, size)
                .map_err(|errno| Error::os(format!("resize {name} to {size} bytes"), errno))
        };
        let (file, blank_from) = match kind {
            TargetKind::Create => {
                let new = NewFile::create(path, IMAGE_MODE)?;
                resize(new.as_fd())?;
                (File::New(new), 0)
            }
            TargetKind::File => {
                let (file, stat) = open_existing(path, OFlags::empty())?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Err(Error::invalid(format!(
                        "open {name}: it is not a regular file"
                    )));
                }
                resize(file.as_fd())?;
                (
                    File::Existing(file),
                    u64::try_from(stat.st_size).unwrap_or_default(),
                )
            }
            TargetKind::Device => {
                // EXCL: busy when it is mounted or part of something.
                let (file, stat) = open_existing(path, OFlags::EXCL)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::BlockDevice {
                    return Err(Error::invalid(format!(
                        "open {name}: it is not a block device"
                    )));
                }
                let capacity = ioctl::size(&file).map_err(failed)?;
                if capacity < size {
                    return Err(Error::invalid(format!(
                        "import to {name}: the volume has {size} bytes but the device only {capacity}; use a larger one"
                    )));
                }
                (File::Existing(file), capacity)
            }
        };
        let method = match (method, kind) {
            (WriteMethod::Auto, TargetKind::Device) => WriteMethod::Direct { in_flight: 8 },
            (WriteMethod::Auto, _) => WriteMethod::WriteBehind,
            (method, _) => method,
        };
        let itself = match &file {
            File::New(new) => new.as_fd(),
            File::Existing(file) => file.as_fd(),
        };
        let direct = match method {
            WriteMethod::Direct { .. } => reopen_direct(itself),
            _ => None,
        };
        let blank_from = if zeroed { 0 } else { blank_from };
        Ok(Self {
            file,
            direct,
            method,
            kind,
            name,
            size,
            blank_from,
            zeroing: AtomicU8::new(0),
        })
    }

    /// Granularity of looking for zeros in data that was read.
    pub const fn zero_block(&self) -> usize {
        match self.kind {
            TargetKind::Create => FILE_BLOCK,
            TargetKind::File if self.blank_from == 0 => FILE_BLOCK,
            TargetKind::File | TargetKind::Device => DEVICE_BLOCK,
        }
    }

    /// Writes that may run at the same time. Buffered writes to one file exclude each other in the kernel.
    pub fn writers(&self) -> usize {
        match (&self.direct, self.method) {
            (Some(_), WriteMethod::Direct { in_flight }) => in_flight.max(1),
            _ => 1,
        }
    }

    /// What the only writer has to tell its position to.
    pub fn write_behind(&self) -> Option<WriteBehind<'_>> {
        match self.method {
            WriteMethod::WriteBehind => Some(WriteBehind::new(self.as_fd())),
            _ => None,
        }
    }

    /// Writes all of `bytes` at `offset`.
    pub fn write(&self, mut bytes: &[u8], mut offset: u64) -> Result<()> {
        if let Some(direct) = &self.direct {
            let aligned = bytes.len() as u64 / DIRECT_ALIGN * DIRECT_ALIGN;
            let mut left = if offset % DIRECT_ALIGN == 0 {
                usize::try_from(aligned).unwrap_or_default()
            } else {
                0
            };
            while left > 0 {
                match rustix::io::pwrite(direct, &bytes[..left], offset) {
                    // A device with larger sectors, or a short write to an odd place: without the flag then.
                    Err(Errno::INVAL) => break,
                    Ok(0) => return Err(self.failed(Errno::IO)),
                    Ok(written) => {
                        bytes = &bytes[written..];
                        offset += written as u64;
                        left -= written;
                    }
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(self.failed(errno)),
                }
            }
        }
        while !bytes.is_empty() {
            match rustix::io::pwrite(self, bytes, offset) {
                Ok(0) => return Err(self.failed(Errno::IO)),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.failed(errno)),
            }
        }
        Ok(())
    }

    /// Makes a range read as zeros; skips what does so anyway.
    pub fn zero(&self, offset: u64, length: u64) -> Result<()> {
        let end = (offset + length).min(self.blank_from);
        if end <= offset {
            return Ok(());
        }
        // Devices zero whole sectors only. Ranges start aligned; the volume may end anywhere.
        let whole = match self.kind {
            TargetKind::Device => offset + (end - offset) / DIRECT_ALIGN * DIRECT_ALIGN,
            TargetKind::Create | TargetKind::File => end,
        };
        if whole > offset {
            self.zero_whole(offset, whole - offset)?;
        }
        self.write_zeros(whole, end - whole)
    }

    /// Zeroes by the best means that this target has not refused yet.
    fn zero_whole(&self, offset: u64, length: u64) -> Result<()> {
        let is_device = self.kind == TargetKind::Device;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        loop {
            let attempt = self.zeroing.load(Ordering::Relaxed);
            let result = match (is_device, attempt) {
                // Gives thin storage its space back; on devices it is refused unless zeros are guaranteed.
                (_, 0) => rustix::fs::fallocate(self, hole, offset, length),
                (true, 1) => ioctl::zero(self, offset, length),
                (false, 1) => {
                    rustix::fs::fallocate(self, FallocateFlags::ZERO_RANGE, offset, length)
                }
                _ => return self.write_zeros(offset, length),
            };
            match result {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL | Errno::NOSYS) => {
                    // Another thread may have come to the same conclusion.
                    let _ = self.zeroing.compare_exchange(
                        attempt,
                        attempt + 1,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                }
                Err(errno) => {
                    return Err(Error::os(format!("zero {} at {offset}", self.name), errno));
                }
            }
        }
    }

    fn write_zeros(&self, mut offset: u64, mut length: u64) -> Result<()> {
        #[repr(align(4096))]
        struct Zeros([u8; 64 << 10]);
        static ZEROS: Zeros = Zeros([0; 64 << 10]);
        while length > 0 {
            let step = ZEROS
                .0
                .len()
                .min(usize::try_from(length).unwrap_or(usize::MAX));
            self.write(&ZEROS.0[..step], offset)?;
            offset += step as u64;
            length -= step as u64;
        }
        Ok(())
    }

    /// Makes everything durable, and gives a new file its name.
    pub fn finish(self) -> Result<()> {
        match self.file {
            File::New(new) => new.publish(),
            File::Existing(file) => rustix::fs::fsync(&file)
                .map_err(|errno| Error::os(format!("sync {}", self.name), errno)),
        }
    }

    /// The size of the volume.
    pub const fn size(&self) -> u64 {
        self.size
    }

    fn failed(&self, errno: Errno) -> Error {
        Error::os(format!("write {}", self.name), errno)
    }
}

impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.file {
            File::New(new) => new.as_fd(),
            File::Existing(file) => file.as_fd(),
        }
    }
}

/// A descriptor of the same file that writes around the page cache, where that is possible. Through /proc, so that
/// it is this very file whatever name it has or has not.
fn reopen_direct(file: BorrowedFd<'_>) -> Option<OwnedFd> {
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::open(
        itself,
        OFlags::WRONLY | OFlags::CLOEXEC | OFlags::DIRECT,
        Mode::empty(),
    )
    .ok()
}

fn open_existing(path: &Path, extra: OFlags) -> Result<(OwnedFd, rustix::fs::Stat)> {
    let failed = |errno| Error::os(format!("open {}", path.display()), errno);
    // NONBLOCK: a FIFO in this place must not block us; it has no effect on files and devices.
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | extra;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
    let stat = rustix::fs::fstat(&file).map_err(failed)?;
    Ok((file, stat))
}
