// SPDX-License-Identifier: AGPL-3.0-or-later
//! The immutable attribute (`chattr +i`).

use std::path::Path;

use rustix::fs::{IFlags, Mode, OFlags};

use crate::{Error, Result};

/// Sets or clears the immutable attribute; does nothing when it is so already.
///
/// # Errors
/// `unsupported` on file systems without it (NFS, tmpfs of old kernels); `refused` without `CAP_LINUX_IMMUTABLE`.
pub fn set_immutable(path: &Path, on: bool) -> Result<()> {
    let verb = if on { "make immutable" } else { "make mutable" };
    let failed = |errno| Error::os(format!("{verb} {}", path.display()), errno);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
    let old = rustix::fs::ioctl_getflags(&file).map_err(failed)?;
    let mut new = old;
    new.set(IFlags::IMMUTABLE, on);
    if new == old {
        Ok(())
    } else {
        rustix::fs::ioctl_setflags(&file, new).map_err(failed)
    }
}
