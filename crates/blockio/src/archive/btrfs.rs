// SPDX-License-Identifier: AGPL-3.0-or-later
//! Subvolumes of Btrfs: directories whose snapshot is one call.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

/// Number of the file system (`linux/magic.h`).
const MAGIC: u64 = 0x9123_683e;
/// Inode number of the root of each subvolume.
const ROOT_INODE: u64 = 256;

/// `_IOW(0x94, NUMBER, 4096 bytes)`.
const fn request(number: u64) -> u64 {
    (1 << 30) | (4096 << 16) | (0x94 << 8) | number
}
const CREATE: u64 = request(14);
const DESTROY: u64 = request(15);
const SNAPSHOT: u64 = request(23);

/// `struct btrfs_ioctl_vol_args` and `struct btrfs_ioctl_vol_args_v2` are of this size; the name is at their end.
const ARGUMENTS: usize = 4096;
const NAME: usize = 8;
const NAME_V2: usize = 56;

/// True when the directory is on Btrfs.
pub fn is_btrfs(dir: impl AsFd) -> rustix::io::Result<bool> {
    #[allow(
        clippy::cast_sign_loss,
        clippy::cast_lossless,
        reason = "its type differs between machines"
    )]
    rustix::fs::fstatfs(dir).map(|found| found.f_type as u64 == MAGIC)
}

/// True when the directory is a subvolume.
pub fn is_subvolume(dir: impl AsFd) -> rustix::io::Result<bool> {
    Ok(rustix::fs::fstat(&dir)?.st_ino == ROOT_INODE && is_btrfs(dir)?)
}

/// Makes an empty subvolume `name` in `parent`.
pub fn create(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<()> {
    call(parent, CREATE, -1, NAME, name)
}

/// Makes a writable snapshot of a subvolume as `name` in `parent`.
pub fn snapshot(parent: impl AsFd, name: &[u8], source: impl AsFd) -> rustix::io::Result<()> {
    call(
        parent,
        SNAPSHOT,
        source.as_fd().as_raw_fd().into(),
        NAME_V2,
        name,
    )
}

/// Deletes the subvolume `name` in `parent`; `NOTEMPTY` when others are in it.
pub fn destroy(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<()> {
    call(parent, DESTROY, -1, NAME, name)
}

fn call(
    parent: impl AsFd,
    request: u64,
    fd: i64,
    at: usize,
    name: &[u8],
) -> rustix::io::Result<()> {
    let mut arguments = [0_u8; ARGUMENTS];
    arguments[..8].copy_from_slice(&fd.to_ne_bytes());
    // A zero stays behind the name.
    if name.len() >= ARGUMENTS - at {
        return Err(Errno::NAMETOOLONG);
    }
    arguments[at..at + name.len()].copy_from_slice(name);
    // SAFETY: the kernel reads the 4096 bytes that the request's number announces.
    let result = unsafe {
        libc::ioctl(
            parent.as_fd().as_raw_fd(),
            request as libc::Ioctl,
            arguments.as_ptr(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    }
}
