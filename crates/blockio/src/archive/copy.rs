// SPDX-License-Identifier: AGPL-3.0-or-later
//! Copies of directories that share the blocks of files.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::btrfs;
use super::import::Powers;
use super::list::{Entry, entries};
use super::meta::printable;
use super::node::Node;
use super::notes::Notes;
use super::remove::remove_tree;
use super::stat::{Stat, stat};
use super::xattr::{self, Named, Open};
use crate::stream::Cancel;
use crate::{Error, ErrorKind, Result};

/// Levels of a tree whose directories stay open.
const OPEN_LEVELS: usize = 50;

/// Makes an empty directory with permission bits `mode`; on Btrfs a subvolume, so that its snapshots are instant.
///
/// # Errors
/// `exists` when the name is taken; `absent`, `no-space`.
pub fn create_tree(path: &Path, mode: u32) -> Result<()> {
    let failed = |errno| Error::os(format!("create directory {}", path.display()), errno);
    let (parent, name) = split(path)?;
    let parent = open(parent).map_err(failed)?;
    let plain = || rustix::fs::mkdirat(&parent, name.as_bytes(), Mode::RWXU);
    if btrfs::is_btrfs(&parent).map_err(failed)? {
        match btrfs::create(&parent, name.as_bytes()) {
            // Not everybody may make subvolumes.
            Err(Errno::PERM | Errno::NOTTY) => plain(),
            result => result,
        }
    } else {
        plain()
    }
    .map_err(failed)?;
    // Not by the creation, which the umask would cut.
    open(path)
        .and_then(|dir| rustix::fs::fchmod(dir, Mode::from_raw_mode(mode)))
        .map_err(failed)
}

/// Copies the directory `source` with all that is in it to `copy`. A subvolume of Btrfs is copied by a snapshot, anything
/// else file by file, each sharing its blocks. What is mounted below is left out, and so are sockets.
///
/// # Errors
/// `unsupported` when the file system cannot share blocks; `exists`; `absent`; `cancelled`. Nothing is left after an error.
pub fn copy_tree(source: &Path, copy: &Path, cancel: &Cancel) -> Result<()> {
    let failed = |errno| Error::os(format!("open {}", source.display()), errno);
    let from = open(source).map_err(failed)?;
    let (parent, name) = split(copy)?;
    let into =
        open(parent).map_err(|errno| Error::os(format!("open {}", parent.display()), errno))?;
    let made = |errno| Error::os(format!("create {}", copy.display()), errno);
    if btrfs::is_subvolume(&from).map_err(failed)? && btrfs::is_btrfs(&into).map_err(failed)? {
        match btrfs::snapshot(&into, name.as_bytes(), &from) {
            Err(Errno::PERM | Errno::XDEV) => {}
            Err(errno) => return Err(made(errno)),
            Ok(()) => return touch(copy).map_err(made),
        }
    }
    create_tree(copy, 0o700)?;
    let result = open(copy)
        .map_err(made)
        .and_then(|to| Copier::new(&from, &to, cancel)?.run(from, to));
    if result.is_err() {
        // The error that counts is the first one.
        let _ = remove_tree(copy, &Cancel::default());
    }
    result
}

/// A snapshot has the times of its source; the change of its status tells when it was made.
fn touch(copy: &Path) -> rustix::io::Result<()> {
    let dir = open(copy)?;
    let mode = rustix::fs::fstat(&dir)?.st_mode & 0o7777;
    rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode))
}

fn split(path: &Path) -> Result<(&Path, &OsStr)> {
    path.parent()
        .zip(path.file_name())
        .ok_or_else(|| Error::invalid(format!("{}: not the name of a directory", path.display())))
}

fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// A directory on its way.
struct Level {
    from: Arc<Node>,
    to: Arc<Node>,
    stat: Stat,
    left: Vec<Entry>,
}

struct Copier<'a> {
    powers: Powers,
    notes: Notes,
    cancel: &'a Cancel,
    root: Stat,
    /// Where files with several names were put first.
    names: HashMap<(u64, u64), (Arc<Node>, Vec<u8>)>,
}

impl<'a> Copier<'a> {
    fn new(from: &OwnedFd, to: &OwnedFd, cancel: &'a Cancel) -> Result<Self> {
        let failed = |errno| Error::os("examine the directory", errno);
        Ok(Self {
            powers: Powers::new(to).map_err(failed)?,
            notes: Notes::default(),
            cancel,
            root: stat(from, b"").map_err(failed)?,
            names: HashMap::new(),
        })
    }

    fn run(&mut self, from: OwnedFd, to: OwnedFd) -> Result<()> {
        let failed = |errno| Error::os("copy the directory", errno);
        let to_root = to
            .try_clone()
            .map_err(|error| Error::internal(error.to_string()))?;
        let (from, to) = (
            Node::root(from).map_err(failed)?,
            Node::root(to).map_err(failed)?,
        );
        let mut levels = vec![level(from, to).map_err(failed)?];
        while let Some(level) = levels.last_mut() {
            self.cancel.check()?;
            let Some((name, kind)) = level.left.pop() else {
                self.complete(levels.pop().as_ref())?;
                continue;
            };
            let failed = |errno| failed_at(&name, errno);
            if kind == FileType::Directory {
                let (from, to) = (Arc::clone(&level.from), Arc::clone(&level.to));
                rustix::fs::mkdirat(&*to.fd().map_err(failed)?, name.as_slice(), Mode::RWXU)
                    .map_err(failed)?;
                let below = from
                    .open_child(&name)
                    .and_then(|from| to.open_child(&name).map(|to| (from, to)))
                    .and_then(|(from, to)| self::level(from, to))
                    .map_err(failed)?;
                levels.push(self.unless_mounted(below));
                if let Some(far) = levels.len().checked_sub(OPEN_LEVELS) {
                    levels[far].from.close();
                    levels[far].to.close();
                }
            } else {
                let (from, to) = (Arc::clone(&level.from), Arc::clone(&level.to));
                self.member(&from, &to, &name).map_err(failed)?;
            }
        }
        rustix::fs::syncfs(&to_root).map_err(failed)
    }

    /// Nothing is taken from another file system.
    fn unless_mounted(&self, mut level: Level) -> Level {
        if level.stat.mount != self.root.mount || level.stat.identity.0 != self.root.identity.0 {
            level.left.clear();
        }
        level
    }

    fn complete(&self, level: Option<&Level>) -> Result<()> {
        let Some(level) = level else { return Ok(()) };
        let failed = |errno| Error::os("complete a directory", errno);
        let fd = level.to.fd().map_err(failed)?;
        let name = || "a directory".to_owned();
        let meta = &level.stat.meta;
        self.powers
            .attributes(&Open(&*fd), meta, &name, &self.notes)
            .and_then(|()| self.powers.finish_directory(&*fd, meta, &name, &self.notes))
            .map_err(failed)?;
        drop(fd);
        // First names may keep it; it is opened again for them.
        level.to.close();
        Ok(())
    }

    /// Anything but a directory. What has vanished meanwhile is left out.
    fn member(&mut self, from: &Node, to: &Arc<Node>, name: &[u8]) -> rustix::io::Result<()> {
        let (source, target) = (from.fd()?, to.fd()?);
        let mut found = match stat(&*source, name) {
            Err(Errno::NOENT) => return Ok(()),
            result => result?,
        };
        if matches!(found.kind, FileType::Socket | FileType::Directory)
            || found.mount != self.root.mount
        {
            return Ok(());
        }
        if found.links > 1 {
            if let Some((dir, first)) = self.names.get(&found.identity) {
                let dir = dir.fd()?;
                return rustix::fs::linkat(
                    &*dir,
                    first.as_slice(),
                    &*target,
                    name,
                    AtFlags::empty(),
                );
            }
            self.names
                .insert(found.identity, (Arc::clone(to), name.to_owned()));
        }
        let shown = || printable(name);
        match found.kind {
            FileType::RegularFile => self.file(&source, &target, name),
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(&*source, name, Vec::new())?;
                rustix::fs::symlinkat(link.as_c_str(), &*target, name)?;
                self.powers.finish_link(&*target, name, &found.meta)
            }
            kind => {
                let mode = Mode::RUSR | Mode::WUSR;
                let device = rustix::fs::makedev(found.major, found.minor);
                rustix::fs::mknodat(&*target, name, kind, mode, device)?;
                found.meta.attributes = xattr::read(&Named::new(&*source, name))?;
                self.powers
                    .finish_special(&*target, name, &found.meta, &shown, &self.notes)
            }
        }
    }

    fn file(&self, source: impl AsFd, target: impl AsFd, name: &[u8]) -> rustix::io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let from = rustix::fs::openat(source, name, flags, Mode::empty())?;
        let mut found = stat(&from, b"")?;
        found.meta.attributes = xattr::read(&Open(&from))?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = rustix::fs::openat(target, name, flags, self.powers.creation_mode(&found.meta))?;
        if found.size > 0 {
            rustix::fs::ioctl_ficlone(&to, &from)?;
        }
        let shown = || printable(name);
        self.powers
            .finish_file(&to, &found.meta, &shown, &self.notes)
    }
}

fn level(from: Arc<Node>, to: Arc<Node>) -> rustix::io::Result<Level> {
    let fd = from.fd()?;
    let mut found = stat(&*fd, b"")?;
    found.meta.attributes = xattr::read(&Open(&*fd))?;
    let left = entries(&*fd)?;
    drop(fd);
    Ok(Level {
        from,
        to,
        stat: found,
        left,
    })
}

fn failed_at(name: &[u8], errno: Errno) -> Error {
    match errno {
        Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::INVAL | Errno::NOSYS => Error::new(
            ErrorKind::Unsupported,
            format!(
                "copy {}: the file system cannot share blocks between files; use XFS or Btrfs",
                printable(name)
            ),
        ),
        errno => Error::os(format!("copy {}", printable(name)), errno),
    }
}
