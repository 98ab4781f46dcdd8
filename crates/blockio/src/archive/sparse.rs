// SPDX-License-Identifier: AGPL-3.0-or-later
//! Files with holes: which ranges have data, found on a file, and written as GNU tar's format 1.0.

use std::os::fd::AsFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::header::BLOCK;

/// A range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub length: u64,
}

impl Extent {
    /// Where it ends; ranges of archives are checked against overflow when they are read.
    pub const fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// The data of a file of `size` bytes. `None` when it has no holes, or the file system does not say.
pub fn extents(file: impl AsFd, size: u64) -> rustix::io::Result<Option<Vec<Extent>>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < size {
        let offset = match rustix::fs::seek(&file, SeekFrom::Data(at)) {
            Ok(offset) if offset < size => offset,
            Ok(_) | Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let end = match rustix::fs::seek(&file, SeekFrom::Hole(offset)) {
            Ok(end) => end.min(size),
            // Cut off in between; what is missing is filled up later.
            Err(Errno::NXIO) => size,
            Err(errno) => return Err(errno),
        };
        found.push(Extent {
            offset,
            length: end - offset,
        });
        at = end;
    }
    let whole = matches!(found.as_slice(), [only] if only.offset == 0 && only.length == size);
    Ok((!whole).then_some(found))
}

/// The map that precedes the data: decimal numbers in lines, filled up to a block. A last empty extent tells the size.
pub fn map(extents: &[Extent], size: u64) -> Vec<u8> {
    let ends = extents.last().is_some_and(|last| last.end() == size);
    let count = extents.len() + usize::from(!ends);
    let mut text = format!("{count}\n").into_bytes();
    for extent in extents {
        text.extend_from_slice(format!("{}\n{}\n", extent.offset, extent.length).as_bytes());
    }
    if !ends {
        text.extend_from_slice(format!("{size}\n0\n").as_bytes());
    }
    text.resize(text.len().next_multiple_of(BLOCK), 0);
    text
}
