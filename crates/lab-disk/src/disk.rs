// SPDX-License-Identifier: AGPL-3.0-or-later
//! The file.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, fallocate};

/// Bytes of a sector.
pub const SECTOR: u64 = 512;

/// A file as a disk. When another file takes its name (a rollback), that one is served from the next command on.
pub struct Disk {
    path: PathBuf,
    file: File,
    number: u64,
    /// Identity: EUI-64.
    pub eui: [u8; 8],
    /// Nobody may write.
    pub read_only: bool,
}

impl Disk {
    /// `eui` is 16 hexadecimal digits.
    pub fn open(path: PathBuf, eui: &str, read_only: bool) -> io::Result<Self> {
        let eui = u64::from_str_radix(eui, 16)
            .ok()
            .filter(|_| eui.len() == 16)
            .ok_or_else(|| io::Error::other(format!("'{eui}' is no EUI-64 of 16 digits")))?;
        let (file, number) = open(&path, read_only)?;
        Ok(Self {
            path,
            file,
            number,
            eui: eui.to_be_bytes(),
            read_only,
        })
    }

    /// The file that has the name now.
    pub fn file(&mut self) -> io::Result<&File> {
        if std::fs::metadata(&self.path)?.ino() != self.number {
            (self.file, self.number) = open(&self.path, self.read_only)?;
        }
        Ok(&self.file)
    }

    /// Whole sectors.
    pub fn sectors(&mut self) -> io::Result<u64> {
        Ok(self.file()?.metadata()?.len() / SECTOR)
    }

    /// Makes a range zeros without space.
    pub fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(self.file()?, flags, offset, length)?)
    }
}

fn open(path: &PathBuf, read_only: bool) -> io::Result<(File, u64)> {
    let file = File::options().read(true).write(!read_only).open(path)?;
    let number = file.metadata()?.ino();
    Ok((file, number))
}
