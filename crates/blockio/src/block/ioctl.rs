// SPDX-License-Identifier: AGPL-3.0-or-later
//! Requests to block devices that rustix does not wrap.

use std::ffi::c_int;
use std::os::fd::AsFd;

use rustix::io::Result;
use rustix::ioctl::{self, Getter, NoArg, Opcode, Setter};

const BLKROGET: Opcode = ioctl::opcode::none(0x12, 94);
const BLKFLSBUF: Opcode = ioctl::opcode::none(0x12, 97);
const BLKGETSIZE64: Opcode = ioctl::opcode::read::<usize>(0x12, 114);
const BLKDISCARD: Opcode = ioctl::opcode::none(0x12, 119);
const BLKZEROOUT: Opcode = ioctl::opcode::none(0x12, 127);

/// Size in bytes.
pub fn size(device: impl AsFd) -> Result<u64> {
    // SAFETY: BLKGETSIZE64 writes one u64 and reads nothing.
    unsafe { ioctl::ioctl(device, Getter::<BLKGETSIZE64, u64>::new()) }
}

/// Whether the kernel refuses to write.
pub fn is_read_only(device: impl AsFd) -> Result<bool> {
    // SAFETY: BLKROGET writes one int and reads nothing.
    unsafe { ioctl::ioctl(device, Getter::<BLKROGET, c_int>::new()) }.map(|flag| flag != 0)
}

/// Drops what the page cache has of the device, after writing it. Errors of that are not told: call fsync first.
pub fn drop_cache(device: impl AsFd) -> Result<()> {
    // SAFETY: BLKFLSBUF takes no argument.
    unsafe { ioctl::ioctl(device, NoArg::<BLKFLSBUF>::new()) }
}

/// Tells the device that a range is not needed; what it reads as then is up to the device.
/// `offset` and `length` are bytes and must be multiples of the logical block size.
pub fn discard(device: impl AsFd, offset: u64, length: u64) -> Result<()> {
    // SAFETY: BLKDISCARD reads two u64.
    unsafe {
        ioctl::ioctl(
            device,
            Setter::<BLKDISCARD, [u64; 2]>::new([offset, length]),
        )
    }
}

/// Makes a range read as zeros, by the device's own means where it has some.
/// `offset` and `length` are bytes and must be multiples of 512.
pub fn zero(device: impl AsFd, offset: u64, length: u64) -> Result<()> {
    // SAFETY: BLKZEROOUT reads two u64.
    unsafe {
        ioctl::ioctl(
            device,
            Setter::<BLKZEROOUT, [u64; 2]>::new([offset, length]),
        )
    }
}
