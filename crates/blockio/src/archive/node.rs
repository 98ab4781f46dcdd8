// SPDX-License-Identifier: AGPL-3.0-or-later
//! Directories by descriptor: whoever renames what lies above leads nobody astray.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// How a directory is opened: itself, never what a link points at.
const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// Directories that stay open when the one below them was opened again.
const KEPT: usize = 100;

/// A directory below a root, and the way to it. Its descriptor can be given up for a while, so that a deep tree does not
/// need one for each level.
pub struct Node {
    parent: Option<Arc<Node>>,
    name: Vec<u8>,
    /// Device and inode, by which it is known again.
    identity: (u64, u64),
    fd: Mutex<Option<Arc<OwnedFd>>>,
}

impl Node {
    /// The root of a tree, which keeps its descriptor.
    pub fn root(fd: OwnedFd) -> rustix::io::Result<Arc<Self>> {
        Self::new(None, &[], fd)
    }

    /// The directory `name` in this one.
    pub fn open_child(self: &Arc<Self>, name: &[u8]) -> rustix::io::Result<Arc<Self>> {
        let fd = open_in(&*self.fd()?, name)?;
        Self::new(Some(Arc::clone(self)), name, fd)
    }

    fn new(parent: Option<Arc<Self>>, name: &[u8], fd: OwnedFd) -> rustix::io::Result<Arc<Self>> {
        let identity = identity(&fd)?;
        Ok(Arc::new(Self {
            parent,
            name: name.to_owned(),
            identity,
            fd: Mutex::new(Some(Arc::new(fd))),
        }))
    }

    /// The descriptor; opened again from above when it was given up. `STALE` when another directory has taken the place.
    pub fn fd(&self) -> rustix::io::Result<Arc<OwnedFd>> {
        if let Some(fd) = &*self.lock() {
            return Ok(Arc::clone(fd));
        }
        // Up to an ancestor that is open, then down again; without recursion, as trees may be deep.
        let mut way = vec![self];
        let mut fd = loop {
            let Some(parent) = way.last().and_then(|node| node.parent.as_deref()) else {
                return Err(Errno::BADF);
            };
            if let Some(fd) = &*parent.lock() {
                break Arc::clone(fd);
            }
            way.push(parent);
        };
        while let Some(node) = way.pop() {
            fd = Arc::new(open_in(&*fd, &node.name)?);
            if identity(&*fd)? != node.identity {
                return Err(Errno::STALE);
            }
            // Who climbs up again wants the ones right above next.
            if way.len() < KEPT {
                *node.lock() = Some(Arc::clone(&fd));
            }
        }
        Ok(fd)
    }

    /// Gives the descriptor up, unless this is the root.
    pub fn close(&self) {
        if self.parent.is_some() {
            *self.lock() = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<OwnedFd>>> {
        self.fd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A deep chain would be dropped by recursion otherwise.
        let mut next = self.parent.take();
        while let Some(node) = next {
            next = Arc::into_inner(node).and_then(|mut node| node.parent.take());
        }
    }
}

fn open_in(dir: impl AsFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(dir, name, FLAGS, Mode::empty())
}

fn identity(fd: impl AsFd) -> rustix::io::Result<(u64, u64)> {
    rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn root(dir: &TempDir) -> Arc<Node> {
        Node::root(open_in(rustix::fs::CWD, dir.path("").as_os_str().as_encoded_bytes()).unwrap())
            .unwrap()
    }

    #[test]
    fn a_directory_is_opened_again_through_closed_ones() {
        let dir = TempDir::new();
        std::fs::create_dir_all(dir.path("a/b/c")).unwrap();
        let a = root(&dir).open_child(b"a").unwrap();
        let b = a.open_child(b"b").unwrap();
        let c = b.open_child(b"c").unwrap();
        for node in [&a, &b, &c] {
            node.close();
        }
        assert_eq!(identity(&*c.fd().unwrap()).unwrap(), c.identity);
    }

    #[test]
    fn another_directory_in_its_place_is_noticed() {
        let dir = TempDir::new();
        std::fs::create_dir(dir.path("a")).unwrap();
        let a = root(&dir).open_child(b"a").unwrap();
        a.close();
        std::fs::rename(dir.path("a"), dir.path("b")).unwrap();
        std::fs::create_dir(dir.path("a")).unwrap();
        assert_eq!(a.fd().unwrap_err(), Errno::STALE);
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = TempDir::new();
        std::os::unix::fs::symlink("/", dir.path("link")).unwrap();
        assert!(root(&dir).open_child(b"link").is_err());
    }
}
