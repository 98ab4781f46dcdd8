// SPDX-License-Identifier: AGPL-3.0-or-later
//! Renaming that never takes a name away from another file, and the exchange of two names.

use std::path::Path;

use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

use super::create::{open_parent, sync_dir};
use crate::{Error, ErrorKind, Result};

/// Renames a file or directory, durably.
///
/// # Errors
/// `exists` when `to` is taken; `absent` when `from` or the new directory is missing; `unsupported` for a directory
/// on a file system that cannot rename exclusively; `refused` when it is immutable.
pub fn rename_exclusive(from: &Path, to: &Path) -> Result<()> {
    let failed = |errno| {
        Error::os(
            format!("rename {} to {}", from.display(), to.display()),
            errno,
        )
    };
    let (from_dir, from_name) = open_parent(from)?;
    let (to_dir, to_name) = open_parent(to)?;
    let renamed = match rustix::fs::renameat_with(
        &from_dir,
        &from_name,
        &to_dir,
        &to_name,
        RenameFlags::NOREPLACE,
    ) {
        // NFS and others do not know the flag. A second name and then one less is exclusive too, for files.
        Err(Errno::INVAL | Errno::NOSYS) => {
            match rustix::fs::linkat(&from_dir, &from_name, &to_dir, &to_name, AtFlags::empty()) {
                Err(Errno::PERM) => Err(Errno::OPNOTSUPP),
                linked => linked
                    .and_then(|()| rustix::fs::unlinkat(&from_dir, &from_name, AtFlags::empty())),
            }
        }
        renamed => renamed,
    };
    match renamed {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            let message = format!(
                "rename {} to {}: the name is taken; choose another one",
                from.display(),
                to.display()
            );
            return Err(Error::new(ErrorKind::Exists, message));
        }
        Err(errno) => return Err(failed(errno)),
    }
    sync_dir(&to_dir, to)?;
    sync_dir(&from_dir, from)
}

/// Exchanges the names of two files or directories in one step, durably.
///
/// # Errors
/// `absent` when one of them is missing; `unsupported` on file systems that cannot (NFS).
pub fn rename_exchange(one: &Path, other: &Path) -> Result<()> {
    let failed = |errno| {
        // Which is how file systems say that they do not know the flag.
        let errno = if errno == Errno::INVAL {
            Errno::OPNOTSUPP
        } else {
            errno
        };
        let what = format!("exchange {} and {}", one.display(), other.display());
        Error::os(what, errno)
    };
    let (one_dir, one_name) = open_parent(one)?;
    let (other_dir, other_name) = open_parent(other)?;
    rustix::fs::renameat_with(
        &one_dir,
        &one_name,
        &other_dir,
        &other_name,
        RenameFlags::EXCHANGE,
    )
    .map_err(failed)?;
    sync_dir(&one_dir, one)?;
    sync_dir(&other_dir, other)
}
