// SPDX-License-Identifier: AGPL-3.0-or-later
//! Giving what was created its owner, permissions, attributes and times.

use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::archive::meta::{Meta, Time, printable};
use crate::archive::notes::Notes;
use crate::archive::xattr::{self, Named, Open, Subject};

/// What this process can and should do.
pub struct Powers {
    /// Owners and everything else is restored.
    pub privileged: bool,
    /// User and group that new files get by themselves; unknown where the group depends on the directory.
    own: Option<(u32, u32)>,
    umask: u32,
}

impl Powers {
    /// What holds below `root`.
    pub fn new(root: impl AsFd) -> rustix::io::Result<Self> {
        let uid = rustix::process::geteuid();
        let gid = rustix::process::getegid().as_raw();
        let stat = rustix::fs::fstat(root)?;
        // Directories are given their set-group-ID bit at their end; what is left is a file system mounted that way.
        let plain = stat.st_gid == gid && stat.st_mode & 0o2000 == 0;
        Ok(Self {
            privileged: uid.is_root(),
            own: plain.then_some((uid.as_raw(), gid)),
            umask: umask(),
        })
    }

    /// Permissions to create a file with.
    pub fn creation_mode(&self, meta: &Meta) -> Mode {
        if self.created_right(meta) {
            Mode::from_raw_mode(meta.mode)
        } else {
            Mode::RUSR | Mode::WUSR
        }
    }

    /// True when creating it gives all permissions.
    fn created_right(&self, meta: &Meta) -> bool {
        self.right_owner(meta) && meta.mode & !0o777 == 0 && meta.mode & self.umask == 0
    }

    fn right_owner(&self, meta: &Meta) -> bool {
        !self.privileged || self.own == Some((meta.uid, meta.gid))
    }

    /// Completes a regular file that was created with [`creation_mode`](Self::creation_mode).
    pub fn finish_file(
        &self,
        file: impl AsFd,
        meta: &Meta,
        path: &dyn Fn() -> String,
        notes: &Notes,
    ) -> rustix::io::Result<()> {
        if !self.right_owner(meta) {
            rustix::fs::fchown(&file, Some(uid(meta)), Some(gid(meta)))?;
        }
        if !self.created_right(meta) {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(meta.mode))?;
        }
        // After the owner: a change of that takes capabilities away.
        self.attributes(&Open(&file), meta, path, notes)?;
        Self::acls(&Open(&file), meta, path, notes)?;
        rustix::fs::futimens(&file, &times(meta.mtime))
    }

    /// Completes a directory.
    pub fn finish_directory(
        &self,
        dir: impl AsFd,
        meta: &Meta,
        path: &dyn Fn() -> String,
        notes: &Notes,
    ) -> rustix::io::Result<()> {
        if self.privileged {
            rustix::fs::fchown(&dir, Some(uid(meta)), Some(gid(meta)))?;
        }
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(meta.mode))?;
        Self::acls(&Open(&dir), meta, path, notes)?;
        rustix::fs::futimens(&dir, &times(meta.mtime))
    }

    /// Completes a symbolic link.
    pub fn finish_link(&self, dir: impl AsFd, name: &[u8], meta: &Meta) -> rustix::io::Result<()> {
        if !self.right_owner(meta) {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(&dir, name, Some(uid(meta)), Some(gid(meta)), flags)?;
        }
        rustix::fs::utimensat(&dir, name, &times(meta.mtime), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Completes a device or named pipe.
    pub fn finish_special(
        &self,
        dir: impl AsFd,
        name: &[u8],
        meta: &Meta,
        path: &dyn Fn() -> String,
        notes: &Notes,
    ) -> rustix::io::Result<()> {
        self.finish_owner(&dir, name, meta)?;
        // Not opened, which would be an access to the device.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let itself = rustix::fs::openat(&dir, name, flags, Mode::empty())?;
        let way = format!("/proc/self/fd/{}", itself.as_raw_fd());
        rustix::fs::chmod(way, Mode::from_raw_mode(meta.mode))?;
        Self::acls(&Named::new(&dir, name), meta, path, notes)?;
        rustix::fs::utimensat(&dir, name, &times(meta.mtime), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn finish_owner(&self, dir: impl AsFd, name: &[u8], meta: &Meta) -> rustix::io::Result<()> {
        if self.right_owner(meta) {
            return Ok(());
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(&dir, name, Some(uid(meta)), Some(gid(meta)), flags)
    }

    /// Sets extended attributes.
    pub fn attributes(
        &self,
        subject: &impl Subject,
        meta: &Meta,
        path: &dyn Fn() -> String,
        notes: &Notes,
    ) -> rustix::io::Result<()> {
        for (name, value) in &meta.attributes.xattrs {
            if self.privileged || name.starts_with(b"user.") {
                set(subject, name, value, path, notes)?;
            }
        }
        Ok(())
    }

    /// Sets ACLs; after the permissions, which would change them.
    fn acls(
        subject: &impl Subject,
        meta: &Meta,
        path: &dyn Fn() -> String,
        notes: &Notes,
    ) -> rustix::io::Result<()> {
        let attributes = &meta.attributes;
        for (name, value) in [
            (xattr::ACCESS_ACL, &attributes.access_acl),
            (xattr::DEFAULT_ACL, &attributes.default_acl),
        ] {
            if let Some(value) = value {
                set(subject, name.as_bytes(), value, path, notes)?;
            }
        }
        Ok(())
    }
}

/// Sets an attribute; where the file system has none of its kind, a note says so.
fn set(
    subject: &impl Subject,
    name: &[u8],
    value: &[u8],
    path: &dyn Fn() -> String,
    notes: &Notes,
) -> rustix::io::Result<()> {
    match subject.set(name, value) {
        Err(
            errno @ (Errno::OPNOTSUPP | Errno::PERM | Errno::TOOBIG | Errno::RANGE | Errno::INVAL),
        ) => {
            notes.add(|| {
                format!(
                    "{}: attribute {} was not set ({errno})",
                    path(),
                    printable(name)
                )
            });
            Ok(())
        }
        result => result,
    }
}

/// The modification time; the time of the last access stays as it is.
pub fn times(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: mtime.seconds,
            tv_nsec: mtime.nanos.into(),
        },
    }
}

fn uid(meta: &Meta) -> Uid {
    Uid::from_raw(meta.uid)
}

fn gid(meta: &Meta) -> Gid {
    Gid::from_raw(meta.gid)
}

/// The process's mask of permissions, which cannot be asked for without setting it otherwise.
fn umask() -> u32 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("Umask:"))?;
            u32::from_str_radix(line.trim(), 8).ok()
        })
        .unwrap_or(0o777)
}
