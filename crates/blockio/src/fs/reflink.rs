// SPDX-License-Identifier: AGPL-3.0-or-later
//! Copies that share their blocks with the original (XFS, Btrfs).

use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::NewFile;
use crate::{Error, ErrorKind, Result};

/// How to make a reflink copy. The default is a writable copy under a name that must be free.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReflinkOptions {
    /// Take the name from the file that has it, atomically.
    pub replace: bool,
    /// Nobody may write the copy; otherwise its owner may, so that a copy of a read-only snapshot is usable.
    pub read_only: bool,
    /// Permission bits of the copy instead of the source's.
    pub mode: Option<u32>,
}

/// Copies `source` to `copy` by sharing its blocks: instantly, whatever the size. The copy has the source's
/// permission bits, but for what `options` say, and appears complete or not at all.
///
/// # Errors
/// `unsupported` when the file system cannot share blocks between the two; `exists` when the name is taken and is
/// not to be replaced; `absent`.
pub fn reflink(source: &Path, copy: &Path, options: ReflinkOptions) -> Result<()> {
    let failed = |errno| Error::os(format!("open {}", source.display()), errno);
    let from = rustix::fs::open(
        source,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
    )
    .map_err(failed)?;
    let own = rustix::fs::fstat(&from).map_err(failed)?.st_mode & 0o7777;
    let mode = match options {
        ReflinkOptions {
            mode: Some(mode), ..
        } => mode,
        ReflinkOptions {
            read_only: true, ..
        } => own & !0o222,
        _ => own | 0o200,
    };
    let new = if options.replace {
        NewFile::create_over(copy, mode)?
    } else {
        NewFile::create(copy, mode)?
    };
    match rustix::fs::ioctl_ficlone(&new, &from) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::INVAL | Errno::NOSYS) => {
            let message = format!(
                "clone {} to {}: the file system cannot share blocks between them; use XFS or Btrfs",
                source.display(),
                copy.display()
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Err(errno) => {
            return Err(Error::os(
                format!("clone {} to {}", source.display(), copy.display()),
                errno,
            ));
        }
    }
    if options.replace {
        new.publish_over()
    } else {
        new.publish()
    }
}

/// True when files of this directory can share blocks. Tried on two nameless files, because a file system's name
/// says too little (XFS may be made without it).
///
/// # Errors
/// `absent` when the directory is missing; whatever creating a file reports.
pub fn reflink_supported(dir: &Path) -> Result<bool> {
    const BLOCK: [u8; 4096] = [1; 4096];
    let failed = |errno| Error::os(format!("test reflinks in {}", dir.display()), errno);
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE;
    let open = || rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR);
    let from = match open() {
        Ok(file) => file,
        // The file systems that share blocks have nameless files, NFS 4.2 aside, which shares them on the server
        // but leaves files behind when a test is interrupted.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => return Ok(false),
        Err(errno) => return Err(failed(errno)),
    };
    let to = open().map_err(failed)?;
    rustix::io::write(&from, &BLOCK).map_err(failed)?;
    match rustix::fs::ioctl_ficlone(&to, &from) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::INVAL | Errno::NOSYS) => {
            Ok(false)
        }
        Err(errno) => Err(failed(errno)),
    }
}
