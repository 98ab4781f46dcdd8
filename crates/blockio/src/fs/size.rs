// SPDX-License-Identifier: AGPL-3.0-or-later
//! Size of what a path names.

use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use crate::block::ioctl;
use crate::{Error, Result};

/// Size in bytes of a block device (as the kernel knows it now) or of a regular file.
///
/// # Errors
/// `absent` when nothing is there; `invalid` when it is neither a block device nor a regular file.
pub fn block_size(path: &Path) -> Result<u64> {
    let failed = |errno| Error::os(format!("read the size of {}", path.display()), errno);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
    let stat = rustix::fs::fstat(&file).map_err(failed)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::BlockDevice => ioctl::size(&file).map_err(failed),
        FileType::RegularFile => Ok(u64::try_from(stat.st_size).unwrap_or_default()),
        _ => Err(Error::invalid(format!(
            "read the size of {}: neither a block device nor a regular file",
            path.display()
        ))),
    }
}
