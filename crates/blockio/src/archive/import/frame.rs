// SPDX-License-Identifier: AGPL-3.0-or-later
//! Directories of an archive while files are put into them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use super::place::{Powers, times};
use crate::archive::meta::{Meta, Time, printable};
use crate::archive::node::Node;
use crate::archive::notes::Notes;
use crate::archive::xattr::{DEFAULT_ACL, Open, Subject};
use crate::{Error, Result};

/// Bytes of ACLs that may wait for the end of their directories.
const MOST_WAITING: usize = 32 << 20;

/// A directory. Its owner, permissions, default ACL and time are set when the last of those who put something into it has
/// let go: each of them would spoil them, or be in the way.
pub struct Frame {
    pub node: Arc<Node>,
    pub name: Vec<u8>,
    parent: Option<Arc<Frame>>,
    end: Mutex<End>,
}

/// What to do at the end.
#[derive(Default)]
struct End {
    meta: Option<Meta>,
    /// Of a directory that was there before.
    mtime: Option<Time>,
    default_acl: Option<Vec<u8>>,
}

/// What all frames of an import share.
pub struct Common {
    pub powers: Powers,
    pub notes: Notes,
    /// Bytes of ACLs that wait.
    waiting: AtomicUsize,
}

impl Common {
    pub fn new(powers: Powers) -> Self {
        Self {
            powers,
            notes: Notes::default(),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl Frame {
    /// The root, which may have inherited a default ACL.
    pub fn root(node: Arc<Node>) -> rustix::io::Result<Arc<Self>> {
        take_default_acl(&node)?;
        Ok(Arc::new(Self {
            node,
            name: Vec::new(),
            parent: None,
            end: Mutex::default(),
        }))
    }

    /// A directory in `parent` that is new.
    pub fn fresh(parent: &Arc<Self>, name: &[u8]) -> rustix::io::Result<Arc<Self>> {
        Ok(Self::below(
            parent,
            name,
            End::default(),
            parent.node.open_child(name)?,
        ))
    }

    /// A directory in `parent` that has been completed before: that stays as it is.
    pub fn again(parent: &Arc<Self>, name: &[u8]) -> rustix::io::Result<Arc<Self>> {
        let node = parent.node.open_child(name)?;
        let stat = rustix::fs::fstat(&*node.fd()?)?;
        let end = End {
            meta: None,
            mtime: Some(Time {
                seconds: stat.st_mtime,
                nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            }),
            default_acl: take_default_acl(&node)?,
        };
        Ok(Self::below(parent, name, end, node))
    }

    fn below(parent: &Arc<Self>, name: &[u8], end: End, node: Arc<Node>) -> Arc<Self> {
        Arc::new(Self {
            node,
            name: name.to_owned(),
            parent: Some(Arc::clone(parent)),
            end: Mutex::new(end),
        })
    }

    /// Says what the directory is to be at its end.
    pub fn set(&self, meta: Meta, common: &Common) -> Result<()> {
        let waiting = weight(&meta);
        if common.waiting.fetch_add(waiting, Ordering::Relaxed) + waiting > MOST_WAITING {
            return Err(Error::invalid(format!(
                "read archive: the ACLs of nested directories exceed {MOST_WAITING} bytes"
            )));
        }
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *end);
        common
            .waiting
            .fetch_sub(before.meta.as_ref().map_or(0, weight), Ordering::Relaxed);
        end.meta = Some(meta);
        Ok(())
    }

    /// Lets go of a directory, and completes it if nobody else holds it, and then those above.
    pub fn release(frame: Arc<Self>, common: &Common) -> Result<()> {
        let mut next = Some(frame);
        while let Some(frame) = next {
            let Some(frame) = Arc::into_inner(frame) else {
                return Ok(());
            };
            next = frame.complete(common)?;
        }
        Ok(())
    }

    /// Sets what was said; returns the directory above.
    fn complete(self, common: &Common) -> Result<Option<Arc<Self>>> {
        let failed = |errno| {
            Error::os(
                format!("complete directory {}", printable(&self.name)),
                errno,
            )
        };
        let end = self
            .end
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if end.meta.is_none() && end.mtime.is_none() {
            return Ok(self.parent);
        }
        let fd = self.node.fd().map_err(failed)?;
        if let Some(meta) = end.meta {
            common.waiting.fetch_sub(weight(&meta), Ordering::Relaxed);
            let name = || printable(&self.name);
            common
                .powers
                .finish_directory(&*fd, &meta, &name, &common.notes)
                .map_err(failed)?;
        } else if let Some(mtime) = end.mtime {
            if let Some(acl) = end.default_acl {
                Open(&*fd)
                    .set(DEFAULT_ACL.as_bytes(), &acl)
                    .map_err(failed)?;
            }
            rustix::fs::futimens(&*fd, &times(mtime)).map_err(failed)?;
        }
        Ok(self.parent)
    }
}

fn weight(meta: &Meta) -> usize {
    let length = |acl: &Option<Vec<u8>>| acl.as_ref().map_or(0, Vec::len);
    length(&meta.attributes.access_acl) + length(&meta.attributes.default_acl)
}

/// Takes the default ACL of a directory away, so that new files do not inherit it.
fn take_default_acl(node: &Node) -> rustix::io::Result<Option<Vec<u8>>> {
    let fd = node.fd()?;
    let open = Open(&*fd);
    let mut buffer = vec![0; 64 << 10];
    match open.get(DEFAULT_ACL.as_bytes(), &mut buffer) {
        Ok(length) => {
            buffer.truncate(length);
            open.remove(DEFAULT_ACL.as_bytes())?;
            Ok(Some(buffer))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno),
    }
}
