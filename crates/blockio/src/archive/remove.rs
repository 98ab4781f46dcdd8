// SPDX-License-Identifier: AGPL-3.0-or-later
//! Removing a directory with all that is in it, whatever its names are and however deep it is.

use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::btrfs;
use super::list::{Entry, entries};
use super::meta::printable;
use super::node::Node;
use super::stat::stat;
use crate::stream::Cancel;
use crate::{Error, ErrorKind, Result};

/// Levels of a tree whose directories stay open.
const OPEN_LEVELS: usize = 100;

/// Removes a directory, or a file, and all that is below; succeeds when there is none. Links are not followed, and what is
/// mounted below stays and is an error.
///
/// # Errors
/// `busy` when something is mounted below; `refused` for what may not be removed; `cancelled`.
pub fn remove_tree(path: &Path, cancel: &Cancel) -> Result<()> {
    let failed = |errno| Error::os(format!("remove {}", path.display()), errno);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::invalid(format!(
            "remove {}: not a name",
            path.display()
        )));
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let parent = match rustix::fs::open(parent, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        result => result.map_err(failed)?,
    };
    let name = name.as_encoded_bytes();
    let found = match stat(&parent, name) {
        Err(Errno::NOENT) => return Ok(()),
        result => result.map_err(failed)?,
    };
    let above = Node::root(parent).map_err(failed)?;
    if found.kind == FileType::Directory {
        // Of a subvolume the file system does it by itself, unless others are in it.
        let subvolume = above
            .open_child(name)
            .and_then(|node| btrfs::is_subvolume(&*node.fd()?))
            .map_err(failed)?;
        let fd = above.fd().map_err(failed)?;
        if !subvolume || btrfs::destroy(&*fd, name).is_err() {
            empty(&above, name, found.mount, cancel)?;
        }
    } else {
        unlink(&above, name, AtFlags::empty()).map_err(failed)?;
    }
    Ok(())
}

/// A directory that is being emptied, and what of it is still to do.
struct Level {
    node: Arc<Node>,
    left: Vec<Entry>,
}

fn empty(above: &Arc<Node>, name: &[u8], mount: u64, cancel: &Cancel) -> Result<()> {
    let mut levels: Vec<Level> = Vec::new();
    let mut next = Some((Arc::clone(above), name.to_vec()));
    let mut names = Vec::new();
    loop {
        cancel.check()?;
        if let Some((parent, name)) = next.take() {
            let failed = |errno| Error::os(format!("remove {}", printable(&name)), errno);
            match enter(&parent, &name, mount).map_err(failed)? {
                None => return Err(mounted(&name)),
                Some(level) => levels.push(level),
            }
            names.push(name);
            if let Some(far) = levels.len().checked_sub(OPEN_LEVELS) {
                levels[far].node.close();
            }
        }
        let Some(level) = levels.last_mut() else {
            return Ok(());
        };
        let node = Arc::clone(&level.node);
        if let Some((name, kind)) = level.left.pop() {
            let failed = |errno| Error::os(format!("remove {}", printable(&name)), errno);
            if kind == FileType::Directory {
                next = Some((node, name));
            } else {
                unlink(&node, &name, AtFlags::empty()).map_err(failed)?;
            }
            continue;
        }
        levels.pop();
        let parent = levels.last().map_or(above, |level| &level.node);
        if let Some(name) = names.pop() {
            unlink(parent, &name, AtFlags::REMOVEDIR)
                .map_err(|errno| Error::os(format!("remove {}", printable(&name)), errno))?;
        }
    }
}

/// Opens and lists a directory; `None` when it is another mount.
fn enter(parent: &Arc<Node>, name: &[u8], mount: u64) -> rustix::io::Result<Option<Level>> {
    let node = parent.open_child(name)?;
    let fd = node.fd()?;
    if stat(&*fd, b"")?.mount != mount {
        return Ok(None);
    }
    let left = entries(&*fd)?;
    drop(fd);
    Ok(Some(Level { node, left }))
}

fn unlink(dir: &Node, name: &[u8], flags: AtFlags) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(&*dir.fd()?, name, flags) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

fn mounted(name: &[u8]) -> Error {
    Error::new(
        ErrorKind::Busy,
        format!(
            "remove {}: something is mounted there; unmount it first",
            printable(name)
        ),
    )
}
