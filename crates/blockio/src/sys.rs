// SPDX-License-Identifier: AGPL-3.0-or-later
//! Kernel calls that rustix does not wrap.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::{Errno, Result};

/// Starts writing the dirty pages of a range; with `wait`, returns when they are written.
pub fn write_back(file: impl AsFd, offset: u64, length: u64, wait: bool) -> Result<()> {
    let flags = if wait {
        libc::SYNC_FILE_RANGE_WAIT_BEFORE
            | libc::SYNC_FILE_RANGE_WRITE
            | libc::SYNC_FILE_RANGE_WAIT_AFTER
    } else {
        libc::SYNC_FILE_RANGE_WRITE
    };
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else {
        return Err(Errno::INVAL);
    };
    // SAFETY: takes no pointers.
    let result = unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), offset, length, flags) };
    if result == 0 {
        Ok(())
    } else {
        Err(last_errno())
    }
}

/// Bytes of `[offset, offset + length)` that are in the page cache (Linux 6.5, otherwise `NOSYS`).
pub fn cached_bytes(file: impl AsFd, offset: u64, length: u64) -> Result<u64> {
    const SYS_CACHESTAT: libc::c_long = 451;
    let range = [offset, length];
    let mut stat = [0_u64; 5];
    // SAFETY: the kernel reads two u64 from `range` and writes five u64 to `stat`.
    let result = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            file.as_fd().as_raw_fd(),
            range.as_ptr(),
            stat.as_mut_ptr(),
            0_u32,
        )
    };
    if result == 0 {
        Ok(stat[0] * rustix::param::page_size() as u64)
    } else {
        Err(last_errno())
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
