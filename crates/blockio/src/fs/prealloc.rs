// SPDX-License-Identifier: AGPL-3.0-or-later
//! Making and growing image files.

use std::ops::Range;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use super::NewFile;
use crate::stream::Cancel;
use crate::{Error, Result};

/// How much of a new file, or of the new part of a file, is allocated at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prealloc {
    /// Nothing: one hole.
    Off,
    /// The blocks are reserved and read as zeros; written out where the file system cannot reserve.
    Falloc,
    /// Zeros are written.
    Full,
}

/// Creates a file of `size` bytes that reads as zeros, with permission bits `mode`. It appears complete or not at all.
///
/// # Errors
/// `exists` when the name is taken; `no-space`; `invalid` when the file system has no files of that size; `cancelled`.
pub fn create_file(
    path: &Path,
    size: u64,
    prealloc: Prealloc,
    mode: u32,
    cancel: &Cancel,
) -> Result<()> {
    let _interruptible = cancel.enter();
    let new = NewFile::create(path, mode)?;
    let failed = |errno| {
        Error::os(
            format!("create {} with {size} bytes", path.display()),
            errno,
        )
    };
    rustix::fs::ftruncate(&new, size).map_err(failed)?;
    allocate(&new, prealloc, 0..size, cancel)?.map_err(failed)?;
    new.publish()
}

/// Extends a file to `size` bytes; the new part reads as zeros. Undone when it fails.
///
/// # Errors
/// `absent`; `invalid` when the file is larger or the file system has no files of that size; `no-space`; `cancelled`.
pub fn grow_file(path: &Path, size: u64, prealloc: Prealloc, cancel: &Cancel) -> Result<()> {
    let _interruptible = cancel.enter();
    let failed = |errno| Error::os(format!("grow {} to {size} bytes", path.display()), errno);
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
    let old = u64::try_from(rustix::fs::fstat(&file).map_err(failed)?.st_size).unwrap_or_default();
    if size < old {
        return Err(Error::invalid(format!(
            "grow {}: it has {old} bytes, which is more than {size}",
            path.display()
        )));
    }
    rustix::fs::ftruncate(&file, size).map_err(failed)?;
    let grown = allocate(&file, prealloc, old..size, cancel).and_then(|result| {
        result
            .and_then(|()| rustix::fs::fsync(&file))
            .map_err(failed)
    });
    if grown.is_err() {
        // The first error is the one to report.
        let _ = rustix::fs::ftruncate(&file, old);
    }
    grown
}

fn allocate(
    file: impl AsFd,
    prealloc: Prealloc,
    range: Range<u64>,
    cancel: &Cancel,
) -> Result<rustix::io::Result<()>> {
    match prealloc {
        Prealloc::Off => Ok(Ok(())),
        Prealloc::Falloc => reserve(file, range, cancel),
        Prealloc::Full => write_zeros(file, range, cancel),
    }
}

/// Reserves in steps: one call for terabytes could not be cancelled.
fn reserve(file: impl AsFd, range: Range<u64>, cancel: &Cancel) -> Result<rustix::io::Result<()>> {
    const STEP: u64 = 16 << 30;
    let mut at = range.start;
    while at < range.end {
        cancel.check()?;
        let step = STEP.min(range.end - at);
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), at, step) {
            Ok(()) => at += step,
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                return write_zeros(file, at..range.end, cancel);
            }
            Err(errno) => return Ok(Err(errno)),
        }
    }
    Ok(Ok(()))
}

fn write_zeros(
    file: impl AsFd,
    range: Range<u64>,
    cancel: &Cancel,
) -> Result<rustix::io::Result<()>> {
    const STEP: usize = 1 << 20;
    let zeros = vec![0_u8; STEP];
    let mut at = range.start;
    while at < range.end {
        cancel.check()?;
        let step = usize::try_from(range.end - at).unwrap_or(STEP).min(STEP);
        match rustix::io::pwrite(&file, &zeros[..step], at) {
            Ok(written) => at += written as u64,
            Err(Errno::INTR) => {}
            Err(errno) => return Ok(Err(errno)),
        }
    }
    Ok(Ok(()))
}
