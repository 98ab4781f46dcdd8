// SPDX-License-Identifier: AGPL-3.0-or-later
//! Kernel calls that rustix does not wrap.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::{Errno, Result};
use rustix::ioctl::{self, Getter, Opcode, Setter};

const BLKGETSIZE64: Opcode = ioctl::opcode::read::<usize>(0x12, 114);
const BLKZEROOUT: Opcode = ioctl::opcode::none(0x12, 127);

/// Size of a block device in bytes.
pub fn device_size(device: impl AsFd) -> Result<u64> {
    // SAFETY: BLKGETSIZE64 writes one u64 and reads nothing.
    unsafe { ioctl::ioctl(device, Getter::<BLKGETSIZE64, u64>::new()) }
}

/// Makes a range of a block device read as zeros, by the device's own means where it has some.
/// `offset` and `length` are bytes and must be multiples of 512.
pub fn device_zero(device: impl AsFd, offset: u64, length: u64) -> Result<()> {
    // SAFETY: BLKZEROOUT reads two u64.
    unsafe {
        ioctl::ioctl(
            device,
            Setter::<BLKZEROOUT, [u64; 2]>::new([offset, length]),
        )
    }
}

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
