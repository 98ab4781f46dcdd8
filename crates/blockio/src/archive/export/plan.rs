// SPDX-License-Identifier: AGPL-3.0-or-later
//! Walking the tree: what comes in which order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender};
use std::time::{Duration, Instant};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::Shared;
use super::read::{Batch, Job, Pieces};
use crate::archive::header::{self, Member};
use crate::archive::list::{Entry, entries};
use crate::archive::meta::{Kind, printable};
use crate::archive::node::Node;
use crate::archive::queue::Slot;
use crate::archive::stat::stat;
use crate::archive::xattr;
use crate::{Error, Result};

/// Files of one batch: enough to be worth the hand-over, few enough to keep all readers busy.
const BATCH: usize = 32;
/// Levels of a tree whose directories stay open.
const OPEN_LEVELS: usize = 100;
/// A directory that took so long was not in memory; its neighbours are looked at ahead.
const SLOW: Duration = Duration::from_micros(300);
/// So many of them.
const NEIGHBOURS: usize = 32;

/// What the stream consists of, in order.
pub enum Step {
    /// The headers of a directory.
    Directory(Vec<u8>),
    /// Files of a directory, which are being read.
    Files {
        number: u64,
        dir: Arc<Node>,
        path: Arc<[u8]>,
        pieces: Arc<Slot<Pieces>>,
    },
}

/// A directory whose sub-directories are being walked.
struct Level {
    node: Arc<Node>,
    /// From the root, with a slash at the end.
    path: Arc<[u8]>,
    waiting: VecDeque<Vec<u8>>,
    /// So many of them are being looked at ahead.
    ahead: usize,
}

pub struct Planner<'a> {
    shared: &'a Shared,
    jobs: Sender<Job>,
    steps: &'a SyncSender<Result<Step>>,
    number: u64,
    /// The last directory was not in memory.
    slow: bool,
}

/// `None` when nobody wants the plan any more.
type Planned<T> = std::result::Result<T, Option<Error>>;

impl<'a> Planner<'a> {
    pub fn new(shared: &'a Shared, jobs: Sender<Job>, steps: &'a SyncSender<Result<Step>>) -> Self {
        Self {
            shared,
            jobs,
            steps,
            number: 0,
            slow: false,
        }
    }

    /// Plans the whole tree: of each directory first itself, then its files, then its directories, each by name.
    pub fn run(&mut self, root: Arc<Node>) -> Planned<()> {
        let mut levels = Vec::new();
        levels.extend(self.visit(root, Arc::from(&b"./"[..]))?);
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.waiting.pop_front() else {
                levels.pop();
                continue;
            };
            level.ahead = level.ahead.saturating_sub(1);
            if self.slow {
                self.look_ahead(level);
            }
            let path = join(&level.path, &name, true);
            let started = Instant::now();
            let opened = level.node.open_child(&name);
            let below = match opened {
                Ok(node) => self.visit(node, path.into())?,
                Err(errno) => {
                    self.gone(&path, errno)?;
                    None
                }
            };
            self.slow = started.elapsed() > SLOW;
            let Some(below) = below else { continue };
            levels.push(below);
            if let Some(far) = levels.len().checked_sub(OPEN_LEVELS) {
                levels[far].node.close();
            }
        }
        Ok(())
    }

    /// Plans a directory and its files; returns its directories, if there are any.
    fn visit(&mut self, node: Arc<Node>, path: Arc<[u8]>) -> Planned<Option<Level>> {
        let failed = |errno| Error::os(format!("read directory {}", printable(&path)), errno);
        let fd = node.fd().map_err(failed)?;
        let mut found = stat(&*fd, b"").map_err(failed)?;
        found.meta.attributes = xattr::read(&xattr::Open(&*fd)).map_err(failed)?;
        let mut headers = Vec::new();
        header::write(
            &mut headers,
            &Member {
                path: &path,
                kind: Kind::Directory,
                link: &[],
                stored: 0,
                sparse: None,
                meta: &found.meta,
            },
        );
        self.step(Step::Directory(headers))?;
        let root = &self.shared.root;
        if found.mount != root.mount || found.identity.0 != root.identity.0 {
            self.shared.notes.add(|| {
                format!(
                    "{}: another file system is mounted there; left out",
                    printable(&path)
                )
            });
            return Ok(None);
        }
        let listed = entries(&*fd).map_err(failed)?;
        drop(fd);
        let (dirs, files): (Vec<Entry>, Vec<Entry>) = listed
            .into_iter()
            .partition(|(_, kind)| *kind == FileType::Directory);
        let mut files = files.into_iter();
        loop {
            let names: Vec<Entry> = files.by_ref().take(BATCH).collect();
            if names.is_empty() {
                break;
            }
            self.batch(&node, &path, names)?;
        }
        if dirs.is_empty() {
            return Ok(None);
        }
        Ok(Some(Level {
            node,
            path,
            waiting: dirs.into_iter().map(|(name, _)| name).collect(),
            ahead: 0,
        }))
    }

    fn batch(&mut self, dir: &Arc<Node>, path: &Arc<[u8]>, names: Vec<Entry>) -> Planned<()> {
        let (pieces, promise) = Slot::new();
        let number = self.number;
        self.number += 1;
        self.step(Step::Files {
            number,
            dir: Arc::clone(dir),
            path: Arc::clone(path),
            pieces,
        })?;
        let batch = Batch {
            number,
            dir: Arc::clone(dir),
            path: Arc::clone(path),
            names,
            promise,
        };
        self.jobs.send(Job::Read(batch)).map_err(|_| None)
    }

    /// Has the next directories brought into memory.
    fn look_ahead(&self, level: &mut Level) {
        for name in level.waiting.iter().take(NEIGHBOURS).skip(level.ahead) {
            let look = Job::Look(Arc::clone(&level.node), name.clone());
            if self.jobs.send(look).is_ok() {
                level.ahead += 1;
            }
        }
    }

    fn step(&self, step: Step) -> Planned<()> {
        self.steps.send(Ok(step)).map_err(|_| None)
    }

    /// A directory that was there a moment ago.
    fn gone(&self, path: &[u8], errno: Errno) -> Result<()> {
        if !matches!(
            errno,
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE
        ) {
            return Err(Error::os(
                format!("read directory {}", printable(path)),
                errno,
            ));
        }
        self.shared
            .notes
            .add(|| format!("{}: vanished before it was read", printable(path)));
        Ok(())
    }
}

/// The path of `name` below a directory's.
pub fn join(path: &[u8], name: &[u8], slash: bool) -> Vec<u8> {
    let mut joined = Vec::with_capacity(path.len() + name.len() + 1);
    joined.extend_from_slice(path);
    joined.extend_from_slice(name);
    if slash {
        joined.push(b'/');
    }
    joined
}
