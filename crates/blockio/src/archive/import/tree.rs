// SPDX-License-Identifier: AGPL-3.0-or-later
//! Creating members in their places below the root.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::frame::{Common, Frame};
use super::input::Input;
use super::member::Member;
use super::place::Powers;
use super::writers::{Job, Writers, create, failed, replacing, write_at};
use crate::archive::meta::{Kind, printable};
use crate::archive::node::Node;
use crate::archive::sparse::Extent;
use crate::archive::xattr::Open;
use crate::stream::{Control, WriteBehind};
use crate::{Error, Result};

/// Contents up to this size are handed to another thread.
const SMALL: u64 = 1 << 20;
/// Bytes of contents that may wait to be written.
const MEMORY: usize = 32 << 20;
/// What a waiting file takes beyond its content.
const OVERHEAD: usize = 1 << 10;
/// Names of waiting files that are remembered; then all are waited for.
const REMEMBERED: usize = 1 << 16;
/// Levels of a tree whose directories stay open.
const OPEN_LEVELS: usize = 100;
/// Writing threads at most.
const MOST_WRITERS: usize = 8;
/// Any number but 0, whose turn it is in the budget.
const OTHERS: u64 = 1;

/// The tree that is being made.
pub struct Tree<'a> {
    writers: &'a Writers<'a>,
    /// The directories from the root to that of the last member.
    stack: Vec<Arc<Frame>>,
    jobs: Vec<Sender<Job>>,
    /// Hashes of the paths of files that may still be waiting.
    waiting: HashSet<u64>,
    hasher: RandomState,
}

/// Unpacks below `root` what `body` adds; completes all directories, and makes everything durable. Returns the notes.
pub fn with(
    root: OwnedFd,
    control: &Control,
    body: impl FnOnce(&mut Tree<'_>) -> Result<()>,
) -> Result<Vec<String>> {
    let opened = |errno| Error::os("examine the target directory", errno);
    let powers = Powers::new(&root).map_err(opened)?;
    let sync = root
        .try_clone()
        .map_err(|error| Error::internal(format!("duplicate a descriptor: {error}")))?;
    let node = Node::root(root).map_err(opened)?;
    let writers = Writers::new(Common::new(powers), MEMORY, control);
    let frame = Frame::root(node).map_err(opened)?;
    let threads = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, MOST_WRITERS);
    let result = std::thread::scope(|scope| {
        let mut tree = Tree {
            writers: &writers,
            stack: vec![frame],
            jobs: Vec::new(),
            waiting: HashSet::new(),
            hasher: RandomState::new(),
        };
        for _ in 0..threads {
            let (jobs, queue) = channel();
            let writers = &writers;
            std::thread::Builder::new()
                .name("blockio-write".into())
                .spawn_scoped(scope, move || writers.run(&queue))
                .map_err(|error| Error::internal(format!("start a thread: {error}")))?;
            tree.jobs.push(jobs);
        }
        body(&mut tree)?;
        tree.end()
    });
    // The reader was only told to stop; the writer knows why.
    if let Some(error) = writers.failure() {
        return Err(error);
    }
    result?;
    rustix::fs::syncfs(&sync).map_err(|errno| Error::os("make the volume durable", errno))?;
    Ok(writers.common.notes.into_lines())
}

impl Tree<'_> {
    /// Fails when there is no point in going on.
    pub fn check(&self) -> Result<()> {
        self.writers.control.cancel.check()
    }

    /// Creates a member; its content comes from `input`.
    pub fn add(&mut self, member: Member, input: &mut Input<'_, '_>) -> Result<()> {
        let path = member.path.clone();
        let parts = parts(&path)?;
        if member.strange_acl {
            let path = printable(&member.path);
            self.note(format!(
                "{path}: its ACL is not understood here and was left out"
            ));
        }
        let Some((name, above)) = parts.split_last() else {
            if member.kind != Kind::Directory {
                return Err(outside(&member.path));
            }
            input.skip(member.stored)?;
            self.leave(1)?;
            return self.describe(member);
        };
        if member.kind == Kind::Directory {
            input.skip(member.stored)?;
            self.enter(&parts, &member.path)?;
            return self.describe(member);
        }
        self.enter(above, &member.path)?;
        if member.kind == Kind::File {
            return self.file(member, name, &parts, input);
        }
        let (kind, stored) = (member.kind, member.stored);
        if kind == Kind::HardLink {
            self.hard_link(&member, name, &parts)?;
        } else {
            self.settle(&parts)?;
            self.special(&member, name)
                .map_err(|errno| failed(&member.path, errno))?;
        }
        input.skip(stored)
    }

    /// Waits for all files, and completes all directories.
    fn end(mut self) -> Result<()> {
        self.drain()?;
        self.leave(0)?;
        self.jobs.clear();
        Ok(())
    }

    fn note(&self, line: String) {
        self.writers.common.notes.add(|| line);
    }

    fn top(&self) -> Result<&Arc<Frame>> {
        self.stack
            .last()
            .ok_or_else(|| Error::internal("the root was left"))
    }

    /// What the last directory entered is to be at its end. Its attributes are set now: they may be large, and nothing
    /// spoils them.
    fn describe(&mut self, member: Member) -> Result<()> {
        let common = &self.writers.common;
        let frame = self.top()?;
        let mut meta = member.meta;
        if !meta.attributes.xattrs.is_empty() {
            let failed = |errno| failed(&member.path, errno);
            let fd = frame.node.fd().map_err(failed)?;
            let path = || printable(&member.path);
            common
                .powers
                .attributes(&Open(&*fd), &meta, &path, &common.notes)
                .map_err(failed)?;
            meta.attributes.xattrs.clear();
        }
        frame.set(meta, common)
    }

    /// Leaves directories until `depth` of them are on the stack.
    fn leave(&mut self, depth: usize) -> Result<()> {
        while self.stack.len() > depth {
            if let Some(frame) = self.stack.pop() {
                Frame::release(frame, &self.writers.common)?;
            }
        }
        Ok(())
    }

    /// Goes to a directory, from the one of the last member; makes what is missing on the way.
    fn enter(&mut self, parts: &[&[u8]], path: &[u8]) -> Result<()> {
        let common = self
            .stack
            .iter()
            .skip(1)
            .zip(parts)
            .take_while(|(frame, part)| frame.name == **part)
            .count();
        self.leave(common + 1)?;
        for depth in common..parts.len() {
            self.settle(&parts[..=depth])?;
            self.descend(parts[depth])
                .map_err(|errno| failed(path, errno))??;
            if let Some(far) = self.stack.len().checked_sub(OPEN_LEVELS) {
                self.stack[far].node.close();
            }
        }
        Ok(())
    }

    /// Goes into a directory of the last one, which may have to be made.
    fn descend(&mut self, part: &[u8]) -> rustix::io::Result<Result<()>> {
        let Ok(parent) = self.top().cloned() else {
            return Err(Errno::NOENT);
        };
        let dir = parent.node.fd()?;
        let made = rustix::fs::mkdirat(&*dir, part, Mode::RWXU);
        let frame = match made {
            Ok(()) => Frame::fresh(&parent, part)?,
            Err(Errno::EXIST) => {
                // It may have been left a moment ago and be waiting for its files: let it be completed first.
                if let Err(error) = self.drain() {
                    return Ok(Err(error));
                }
                match Frame::again(&parent, part) {
                    Err(errno @ (Errno::NOTDIR | Errno::LOOP)) => return Err(errno),
                    result => result?,
                }
            }
            Err(errno) => return Err(errno),
        };
        self.stack.push(frame);
        Ok(Ok(()))
    }

    fn file(
        &mut self,
        member: Member,
        name: &[u8],
        parts: &[&[u8]],
        input: &mut Input<'_, '_>,
    ) -> Result<()> {
        let attributes = &member.meta.attributes.xattrs;
        // At most SMALL, and what the headers are limited to.
        let weight = usize::try_from(member.stored).unwrap_or(0)
            + OVERHEAD
            + member.path.len()
            + member
                .holes
                .as_ref()
                .map_or(0, |holes| size_of_val(holes.extents.as_slice()))
            + attributes
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>();
        if member.stored > SMALL || weight > MEMORY / 4 {
            self.settle(parts)?;
            return self.large(&member, name, input);
        }
        self.writers.budget.take(OTHERS, weight);
        let mut content = Vec::new();
        if let Err(error) = input.read_to(&mut content, member.stored) {
            self.writers.budget.give_back(weight);
            return Err(error);
        }
        let hash = self.hash(parts);
        if self.waiting.len() >= REMEMBERED {
            self.drain()?;
        }
        self.waiting.insert(hash);
        let job = Job {
            frame: Arc::clone(self.top()?),
            name: member.path.len() - name.len(),
            path: member.path,
            meta: member.meta,
            content,
            holes: member.holes,
            weight,
        };
        // The same name always goes the same way, so that of several the last one stays.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "any part of the hash will do"
        )]
        let writer = hash as usize % self.jobs.len();
        self.jobs[writer]
            .send(job)
            .map_err(|_| Error::internal("the writer threads ended early"))
    }

    /// Writes a large file as it comes.
    fn large(&mut self, member: &Member, name: &[u8], input: &mut Input<'_, '_>) -> Result<()> {
        let failed = |errno| failed(&member.path, errno);
        let common = &self.writers.common;
        let dir = self.top()?.node.fd().map_err(failed)?;
        let file = create(&*dir, name, &common.powers, &member.meta).map_err(failed)?;
        let whole = [Extent {
            offset: 0,
            length: member.stored,
        }];
        let extents = match &member.holes {
            Some(holes) => {
                rustix::fs::ftruncate(&file, holes.size).map_err(failed)?;
                holes.extents.as_slice()
            }
            None => &whole,
        };
        let mut behind = WriteBehind::new(std::os::fd::AsFd::as_fd(&file));
        for extent in extents {
            let mut at = extent.offset;
            while at < extent.end() {
                let some = input.more(extent.end() - at)?;
                write_at(&file, some, at).map_err(failed)?;
                at += some.len() as u64;
                self.writers.control.meter.add_data(some.len() as u64);
            }
            behind.reached(at);
            self.check()?;
        }
        let path = || printable(&member.path);
        common
            .powers
            .finish_file(&file, &member.meta, &path, &common.notes)
            .map_err(failed)
    }

    /// Symbolic links, devices, named pipes.
    fn special(&mut self, member: &Member, name: &[u8]) -> rustix::io::Result<()> {
        let common = &self.writers.common;
        let powers = &common.powers;
        let Ok(frame) = self.top() else {
            return Err(Errno::NOENT);
        };
        let dir = frame.node.fd()?;
        if member.kind == Kind::Symlink {
            replacing(&*dir, name, || {
                rustix::fs::symlinkat(member.link.as_slice(), &*dir, name)
            })?;
            return powers.finish_link(&*dir, name, &member.meta);
        }
        let (kind, device) = match member.kind {
            Kind::CharDevice(major, minor) => (FileType::CharacterDevice, (major, minor)),
            Kind::BlockDevice(major, minor) => (FileType::BlockDevice, (major, minor)),
            _ => (FileType::Fifo, (0, 0)),
        };
        let number = rustix::fs::makedev(device.0, device.1);
        let made = replacing(&*dir, name, || {
            rustix::fs::mknodat(&*dir, name, kind, Mode::RUSR | Mode::WUSR, number)
        });
        let path = || printable(&member.path);
        match made {
            Err(Errno::PERM) if !powers.privileged => {
                common
                    .notes
                    .add(|| format!("{}: a device; left out for lack of privileges", path()));
                Ok(())
            }
            Err(errno) => Err(errno),
            Ok(()) => powers.finish_special(&*dir, name, &member.meta, &path, &common.notes),
        }
    }

    /// Another name of an earlier member.
    fn hard_link(&mut self, member: &Member, name: &[u8], parts: &[&[u8]]) -> Result<()> {
        let target = self::parts(&member.link)?;
        let Some((target_name, above)) = target.split_last() else {
            return Err(outside(&member.link));
        };
        self.settle(parts)?;
        self.settle(&target)?;
        self.link_to(target_name, above, name, target == parts).map_err(|errno| {
            match errno {
                Errno::NOENT | Errno::PERM | Errno::NOTDIR | Errno::LOOP => Error::invalid(format!(
                    "unpack {}: it is a link to {}, which the archive has not as a file before; see the sender's log",
                    printable(&member.path),
                    printable(&member.link)
                )),
                errno => failed(&member.path, errno),
            }
        })
    }

    fn link_to(
        &self,
        target: &[u8],
        above: &[&[u8]],
        name: &[u8],
        same: bool,
    ) -> rustix::io::Result<()> {
        let (Ok(frame), Some(root)) = (self.top(), self.stack.first()) else {
            return Err(Errno::NOENT);
        };
        let dir = frame.node.fd()?;
        // Often it is near.
        let known = self
            .stack
            .iter()
            .skip(1)
            .zip(above)
            .take_while(|(frame, part)| frame.name == **part)
            .count();
        let mut from = Arc::clone(
            self.stack
                .get(known)
                .map_or(&root.node, |frame| &frame.node),
        );
        for part in &above[known..] {
            from = from.open_child(part)?;
        }
        let from = from.fd()?;
        let there = rustix::fs::statat(&*from, target, AtFlags::SYMLINK_NOFOLLOW)?;
        if same {
            return Ok(());
        }
        if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
            return Err(Errno::PERM);
        }
        replacing(&*dir, name, || {
            // Without following: a link to a symbolic link is one to itself.
            rustix::fs::linkat(&*from, target, &*dir, name, AtFlags::empty())
        })
    }

    /// Waits for the files if one of them may be what the name stands for.
    fn settle(&mut self, parts: &[&[u8]]) -> Result<()> {
        if !self.waiting.is_empty() && self.waiting.contains(&self.hash(parts)) {
            self.drain()?;
        }
        Ok(())
    }

    /// Waits for all files.
    fn drain(&mut self) -> Result<()> {
        self.writers.budget.wait_idle();
        self.waiting.clear();
        self.check()
    }

    fn hash(&self, parts: &[&[u8]]) -> u64 {
        self.hasher.hash_one(parts)
    }
}

/// The names on the way to a member. Where they would lead out of the directory, that is an error.
fn parts(path: &[u8]) -> Result<Vec<&[u8]>> {
    if path.starts_with(b"/") || path.contains(&0) {
        return Err(outside(path));
    }
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(outside(path)),
            part => parts.push(part),
        }
    }
    Ok(parts)
}

fn outside(path: &[u8]) -> Error {
    Error::invalid(format!(
        "unpack {}: the name leads out of the volume; nothing of such an archive is kept",
        printable(path)
    ))
}
