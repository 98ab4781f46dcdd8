// SPDX-License-Identifier: AGPL-3.0-or-later
//! Names in a directory.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::{FileType, RawDir};

use super::stat::stat;

/// Bytes of one look into a directory.
const BUFFER: usize = 64 << 10;

/// A name and what it is; `Unknown` when it has vanished already.
pub type Entry = (Vec<u8>, FileType);

/// All names but `.` and `..`, in the order of their bytes. The descriptor must be at the directory's start, and is there
/// again afterwards.
pub fn entries(dir: impl AsFd) -> rustix::io::Result<Vec<Entry>> {
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
    let mut found = Vec::new();
    let mut reader = RawDir::new(&dir, &mut buffer);
    while let Some(entry) = reader.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push((name.to_vec(), entry.file_type()));
        }
    }
    rustix::fs::seek(&dir, rustix::fs::SeekFrom::Start(0))?;
    // Some file systems do not keep types beside names.
    for (name, kind) in &mut found {
        if *kind == FileType::Unknown {
            *kind = stat(&dir, name).map_or(FileType::Unknown, |stat| stat.kind);
        }
    }
    found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}
