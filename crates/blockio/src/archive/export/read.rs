// SPDX-License-Identifier: AGPL-3.0-or-later
//! Reading files ahead: whole members of small files, made by several threads.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Advice, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::Shared;
use super::plan::join;
use crate::archive::header::{self, Member};
use crate::archive::list::{Entry, entries};
use crate::archive::meta::{Kind, Meta, printable};
use crate::archive::node::Node;
use crate::archive::queue::Promise;
use crate::archive::sparse::{self, Extent};
use crate::archive::stat::{Stat, stat};
use crate::archive::xattr::{self, Named, Open};
use crate::{Error, Result};

/// Files up to this size are read here; larger ones go from the page cache to the receiver without being copied.
const SMALL: u64 = 128 << 10;
/// Bytes of a large file that are read ahead.
const FIRST: u64 = 1 << 20;

/// Work of a reading thread.
pub enum Job {
    Read(Batch),
    /// Bring a directory into memory.
    Look(Arc<Node>, Vec<u8>),
}

/// Some files of a directory.
pub struct Batch {
    pub number: u64,
    pub dir: Arc<Node>,
    pub path: Arc<[u8]>,
    pub names: Vec<Entry>,
    pub promise: Promise<Pieces>,
}

/// A part of the stream.
pub enum Piece {
    /// Whole members, so many, and their contents' bytes.
    Members {
        bytes: Vec<u8>,
        count: u64,
        data: u64,
    },
    /// A member that has several names: what is sent when this one is the first.
    Linked {
        identity: (u64, u64),
        links: u32,
        name: Vec<u8>,
        meta: Meta,
        bytes: Vec<u8>,
        data: u64,
    },
    /// A large file, read when it is its turn.
    Large(Vec<u8>),
}

/// The parts of a batch, and the memory that was taken for them.
pub type Pieces = (Vec<Piece>, usize);

/// What was found under a name.
pub enum Found {
    /// A regular file, opened.
    File(OwnedFd, Stat),
    /// Anything else, with its member's kind and where it points.
    Other(Stat, Kind, Vec<u8>),
    /// Not to be sent; a note says why.
    Nothing,
}

pub struct Reader<'a> {
    shared: &'a Shared,
    scratch: RefCell<Vec<u8>>,
}

impl<'a> Reader<'a> {
    pub fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            scratch: RefCell::default(),
        }
    }

    pub fn perform(&self, job: Job) {
        match job {
            Job::Look(dir, name) => {
                // Whatever goes wrong will go wrong again when it counts.
                if let Ok(node) = dir.open_child(&name) {
                    let _ = node.fd().map(|fd| entries(&*fd));
                }
            }
            Job::Read(batch) => {
                let pieces = self.read(&batch);
                batch.promise.keep(pieces);
            }
        }
    }

    fn read(&self, batch: &Batch) -> Result<Pieces> {
        let dir = match batch.dir.fd() {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::STALE) => return Ok((Vec::new(), 0)),
            Err(errno) => {
                let what = format!("read directory {}", printable(&batch.path));
                return Err(Error::os(what, errno));
            }
        };
        let mut pieces = Vec::new();
        let (mut bytes, mut count, mut data) = (self.shared.buffer(), 0, 0);
        let mut taken = 0;
        let mut take = |stat: &Stat| {
            let weight = weight(stat);
            self.shared.budget.take(batch.number, weight);
            taken += weight;
        };
        for (name, kind) in &batch.names {
            let path = join(&batch.path, name, false);
            let failed = |errno| Error::os(format!("read {}", printable(&path)), errno);
            let found = find(self.shared, &*dir, name, *kind, &path)?;
            let from = bytes.len();
            let data_before = data;
            let stat = match found {
                Found::Nothing => continue,
                Found::File(file, stat) if stat.size > SMALL => {
                    let length = std::num::NonZeroU64::new(stat.size.min(FIRST));
                    let _ = rustix::fs::fadvise(&file, 0, length, Advice::WillNeed);
                    flush(&mut pieces, &mut bytes, &mut count, &mut data);
                    pieces.push(Piece::Large(name.clone()));
                    continue;
                }
                Found::File(file, mut stat) => {
                    stat.meta.attributes = xattr::read(&Open(&file)).map_err(failed)?;
                    take(&stat);
                    data += self
                        .small(&mut bytes, &file, &stat, &path)
                        .map_err(failed)?;
                    stat
                }
                Found::Other(mut stat, kind, link) => {
                    if kind != Kind::Symlink {
                        stat.meta.attributes =
                            xattr::read(&Named::new(&*dir, name)).map_err(failed)?;
                    }
                    take(&stat);
                    write_header(&mut bytes, &path, kind, &link, 0, &stat.meta);
                    stat
                }
            };
            if stat.links > 1 {
                let own = bytes.split_off(from);
                let own_data = data - data_before;
                data = data_before;
                flush(&mut pieces, &mut bytes, &mut count, &mut data);
                pieces.push(Piece::Linked {
                    identity: stat.identity,
                    links: stat.links,
                    name: name.clone(),
                    meta: stat.meta,
                    bytes: own,
                    data: own_data,
                });
            } else {
                count += 1;
            }
        }
        flush(&mut pieces, &mut bytes, &mut count, &mut data);
        Ok((pieces, taken))
    }

    /// Appends the member of a small file; returns the bytes of its content.
    fn small(
        &self,
        out: &mut Vec<u8>,
        file: &OwnedFd,
        stat: &Stat,
        path: &[u8],
    ) -> rustix::io::Result<u64> {
        let extents = holes(file, stat)?;
        let mut scratch = self.scratch.borrow_mut();
        let mut sent = 0;
        let mut shrunk = false;
        let mut content = |out: &mut Vec<u8>, extent: Extent| -> rustix::io::Result<()> {
            // At most SMALL bytes.
            let length = usize::try_from(extent.length).unwrap_or(0);
            let end = out.len() + length;
            append_from(file, out, length, extent.offset)?;
            shrunk |= out.len() < end;
            out.resize(end, 0);
            sent += extent.length;
            Ok(())
        };
        if let Some(extents) = extents {
            let map = sparse::map(&extents, stat.size);
            let stored = map.len() as u64 + extents.iter().map(|extent| extent.length).sum::<u64>();
            write_sparse(out, path, stored, stat);
            out.extend_from_slice(&map);
            scratch.clear();
            for extent in extents {
                content(&mut scratch, extent)?;
            }
            out.extend_from_slice(&scratch);
        } else {
            write_header(out, path, Kind::File, &[], stat.size, &stat.meta);
            content(
                out,
                Extent {
                    offset: 0,
                    length: stat.size,
                },
            )?;
        }
        header::pad(out);
        note_change(self.shared, file, stat, path, shrunk);
        Ok(sent)
    }
}

/// What a member is taken to need in memory.
fn weight(stat: &Stat) -> usize {
    let content = if stat.kind == FileType::RegularFile {
        stat.size
    } else {
        0
    };
    // At most SMALL, so it fits.
    4096 + usize::try_from(content).unwrap_or(0)
}

fn flush(pieces: &mut Vec<Piece>, bytes: &mut Vec<u8>, count: &mut u64, data: &mut u64) {
    if !bytes.is_empty() {
        pieces.push(Piece::Members {
            bytes: std::mem::take(bytes),
            count: std::mem::take(count),
            data: std::mem::take(data),
        });
    }
}

/// Looks at a name, and opens it when it is a regular file.
pub fn find(
    shared: &Shared,
    dir: impl AsFd,
    name: &[u8],
    kind: FileType,
    path: &[u8],
) -> Result<Found> {
    let failed = |errno| Error::os(format!("read {}", printable(path)), errno);
    let note = |what: &str| shared.notes.add(|| format!("{}: {what}", printable(path)));
    let mut kind = kind;
    // A second look when it has become something else since.
    for _ in 0..3 {
        let (stat, file) = if kind == FileType::RegularFile {
            match open(&dir, name) {
                Ok(file) => (stat(&file, b"").map_err(failed)?, Some(file)),
                Err(Errno::LOOP | Errno::NXIO) => {
                    kind = FileType::Unknown;
                    continue;
                }
                Err(Errno::NOENT) => {
                    note("vanished before it was read");
                    return Ok(Found::Nothing);
                }
                Err(errno) => return Err(failed(errno)),
            }
        } else {
            match stat(&dir, name) {
                Ok(stat) => (stat, None),
                Err(Errno::NOENT) => {
                    note("vanished before it was read");
                    return Ok(Found::Nothing);
                }
                Err(errno) => return Err(failed(errno)),
            }
        };
        if stat.mount != shared.root.mount {
            note("another file system is mounted there; left out");
            return Ok(Found::Nothing);
        }
        let kind_now = match stat.kind {
            FileType::RegularFile => {
                let Some(file) = file else {
                    kind = FileType::RegularFile;
                    continue;
                };
                return Ok(Found::File(file, stat));
            }
            FileType::Symlink => {
                return match rustix::fs::readlinkat(&dir, name, Vec::new()) {
                    Ok(link) => Ok(Found::Other(stat, Kind::Symlink, link.into_bytes())),
                    Err(Errno::NOENT | Errno::INVAL) => {
                        note("vanished before it was read");
                        Ok(Found::Nothing)
                    }
                    Err(errno) => Err(failed(errno)),
                };
            }
            FileType::CharacterDevice => Kind::CharDevice(stat.major, stat.minor),
            FileType::BlockDevice => Kind::BlockDevice(stat.major, stat.minor),
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => {
                note("a socket; left out");
                return Ok(Found::Nothing);
            }
            _ => {
                note("became a directory while the archive was made; left out");
                return Ok(Found::Nothing);
            }
        };
        return Ok(Found::Other(stat, kind_now, Vec::new()));
    }
    note("changed its kind while it was read; left out");
    Ok(Found::Nothing)
}

fn open(dir: impl AsFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // Reading an archive is no access that anybody asks for; only owners may say so.
    match rustix::fs::openat(&dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(&dir, name, flags, Mode::empty()),
        result => result,
    }
}

/// The ranges with data of a file that occupies less than its size.
pub fn holes(file: &OwnedFd, stat: &Stat) -> rustix::io::Result<Option<Vec<Extent>>> {
    if stat.allocated >= stat.size {
        return Ok(None);
    }
    sparse::extents(file, stat.size)
}

/// Appends up to `length` bytes from `offset`; fewer at the file's end.
pub fn append_from(
    file: &OwnedFd,
    out: &mut Vec<u8>,
    length: usize,
    offset: u64,
) -> rustix::io::Result<()> {
    let end = out.len() + length;
    out.reserve(length);
    let mut at = offset;
    while out.len() < end {
        let left = end - out.len();
        // No more than that: behind it may be a hole, whose zeros nobody wants.
        let space = &mut out.spare_capacity_mut()[..left];
        let got = match rustix::io::pread(file, space, at) {
            Ok((got, _)) => got.len(),
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        if got == 0 {
            break;
        }
        // SAFETY: the kernel has filled so many bytes of the space behind the present length.
        unsafe { out.set_len(out.len() + got) };
        at += got as u64;
    }
    Ok(())
}

/// Appends the headers of a member without holes.
pub fn write_header(
    out: &mut Vec<u8>,
    path: &[u8],
    kind: Kind,
    link: &[u8],
    stored: u64,
    meta: &Meta,
) {
    header::write(
        out,
        &Member {
            path,
            kind,
            link,
            stored,
            sparse: None,
            meta,
        },
    );
}

/// Appends the headers of a file with holes.
pub fn write_sparse(out: &mut Vec<u8>, path: &[u8], stored: u64, stat: &Stat) {
    header::write(
        out,
        &Member {
            path,
            kind: Kind::File,
            link: &[],
            stored,
            sparse: Some(stat.size),
            meta: &stat.meta,
        },
    );
}

/// Leaves a note when the file is not what it was when its header was made.
pub fn note_change(shared: &Shared, file: &OwnedFd, before: &Stat, path: &[u8], shrunk: bool) {
    if shrunk {
        shared.notes.add(|| {
            format!(
                "{}: shrank while it was read; filled up with zeros",
                printable(path)
            )
        });
        return;
    }
    if let Ok(now) = stat(file, b"") {
        if now.changed != before.changed || now.size != before.size {
            shared
                .notes
                .add(|| format!("{}: changed while it was read", printable(path)));
        }
    }
}
