// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the kernel says of a file.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, StatxTimestamp};

use super::meta::{Meta, Time};

/// The parts of a file's status that matter here.
#[derive(Clone, Debug)]
pub struct Stat {
    pub kind: FileType,
    pub meta: Meta,
    pub size: u64,
    /// Bytes that it occupies.
    pub allocated: u64,
    pub links: u32,
    pub changed: Time,
    /// Device and inode.
    pub identity: (u64, u64),
    /// The mount that it was found on.
    pub mount: u64,
    /// For devices.
    pub major: u32,
    pub minor: u32,
}

/// The status of `name` in `dir`, or of `dir` itself when the name is empty. Links are not followed.
pub fn stat(dir: impl AsFd, name: &[u8]) -> rustix::io::Result<Stat> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::EMPTY_PATH;
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    rustix::fs::statx(dir, name, flags, wanted).map(|found| Stat::from(&found))
}

impl From<&Statx> for Stat {
    fn from(found: &Statx) -> Self {
        let mode = u32::from(found.stx_mode);
        Self {
            kind: FileType::from_raw_mode(mode),
            meta: Meta {
                mode: mode & 0o7777,
                uid: found.stx_uid,
                gid: found.stx_gid,
                mtime: time(found.stx_mtime),
                ..Meta::default()
            },
            size: found.stx_size,
            allocated: found.stx_blocks.saturating_mul(512),
            links: found.stx_nlink,
            changed: time(found.stx_ctime),
            identity: (
                rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor),
                found.stx_ino,
            ),
            mount: found.stx_mnt_id,
            major: found.stx_rdev_major,
            minor: found.stx_rdev_minor,
        }
    }
}

fn time(time: StatxTimestamp) -> Time {
    Time {
        seconds: time.tv_sec,
        nanos: time.tv_nsec,
    }
}
