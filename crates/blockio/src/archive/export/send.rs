// SPDX-License-Identifier: AGPL-3.0-or-later
//! Writing the stream, in order.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::Shared;
use super::plan::{Step, join};
use super::read::{
    Found, Piece, append_from, find, holes, note_change, write_header, write_sparse,
};
use crate::archive::header::{BLOCK, RECORD};
use crate::archive::meta::{Attributes, Kind, Meta, printable};
use crate::archive::node::Node;
use crate::archive::sparse::{self, Extent};
use crate::archive::stat::Stat;
use crate::archive::xattr::{self, Open};
use crate::stream::{Control, Sink};
use crate::{Error, Result};

/// Bytes that are copied at a time where pages cannot be lent.
const COPY: usize = 256 << 10;
/// Ranges of so many bytes are lent; smaller ones cost less when they are copied and sent together.
const LENT: u64 = 32 << 10;

pub struct Sender<'a> {
    shared: &'a Shared,
    sink: &'a mut Sink,
    control: &'a Control,
    /// First names of files that have more, with how many are still to come.
    names: HashMap<(u64, u64), (Vec<u8>, u32)>,
    buffer: Vec<u8>,
}

impl<'a> Sender<'a> {
    pub fn new(shared: &'a Shared, sink: &'a mut Sink, control: &'a Control) -> Self {
        Self {
            shared,
            sink,
            control,
            names: HashMap::new(),
            buffer: Vec::with_capacity(COPY),
        }
    }

    pub fn send(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Directory(headers) => {
                self.count(1);
                self.sink.data(&headers)
            }
            Step::Files {
                number,
                dir,
                path,
                pieces,
            } => {
                self.shared.budget.turn(number);
                let (pieces, taken) = pieces.take()?;
                for piece in pieces {
                    self.piece(&dir, &path, piece)?;
                }
                self.shared.budget.give_back(taken);
                Ok(())
            }
        }
    }

    /// Two empty blocks, and as many as GNU tar adds.
    pub fn end(&mut self) -> Result<()> {
        let end = self.control.meter.bytes() + 2 * BLOCK as u64;
        self.sink
            .zeros(end.next_multiple_of(RECORD as u64) - self.control.meter.bytes())
    }

    fn piece(&mut self, dir: &Node, path: &[u8], piece: Piece) -> Result<()> {
        match piece {
            Piece::Members { bytes, count, data } => {
                self.count(count);
                self.control.meter.add_data(data);
                self.sink.data(&bytes)?;
                self.shared.give_back(bytes);
                Ok(())
            }
            Piece::Linked {
                identity,
                links,
                name,
                meta,
                bytes,
                data,
            } => {
                let path = join(path, &name, false);
                if self.link(identity, links, &path, &meta)? {
                    return Ok(());
                }
                self.count(1);
                self.control.meter.add_data(data);
                self.sink.data(&bytes)
            }
            Piece::Large(name) => self.large(dir, &name, &join(path, &name, false)),
        }
    }

    /// Sends another name of a file that was sent already. False when it was not; then this name is the first.
    fn link(&mut self, identity: (u64, u64), links: u32, path: &[u8], meta: &Meta) -> Result<bool> {
        let Some((first, left)) = self.names.get_mut(&identity) else {
            self.names.insert(identity, (path.to_vec(), links - 1));
            return Ok(false);
        };
        *left = left.saturating_sub(1);
        let mut headers = Vec::new();
        // Its attributes came with the first name.
        let meta = Meta {
            attributes: Attributes::default(),
            ..meta.clone()
        };
        write_header(&mut headers, path, Kind::HardLink, first, 0, &meta);
        if *left == 0 {
            self.names.remove(&identity);
        }
        self.count(1);
        self.sink.data(&headers)?;
        Ok(true)
    }

    fn large(&mut self, dir: &Node, name: &[u8], path: &[u8]) -> Result<()> {
        let failed = |errno| Error::os(format!("read {}", printable(path)), errno);
        let dir = match dir.fd() {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::STALE) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        };
        let (file, mut stat) = match find(self.shared, &*dir, name, FileType::RegularFile, path)? {
            Found::File(file, stat) => (file, stat),
            Found::Nothing => return Ok(()),
            Found::Other(..) => {
                self.shared
                    .notes
                    .add(|| format!("{}: vanished before it was read", printable(path)));
                return Ok(());
            }
        };
        if stat.links > 1 && self.link(stat.identity, stat.links, path, &stat.meta)? {
            return Ok(());
        }
        stat.meta.attributes = xattr::read(&Open(&file)).map_err(failed)?;
        self.count(1);
        let mut headers = Vec::new();
        let (extents, stored) = if let Some(extents) = holes(&file, &stat).map_err(failed)? {
            let map = sparse::map(&extents, stat.size);
            let data: u64 = extents.iter().map(|extent| extent.length).sum();
            let stored = map.len() as u64 + data;
            write_sparse(&mut headers, path, stored, &stat);
            headers.extend_from_slice(&map);
            (extents, stored)
        } else {
            write_header(&mut headers, path, Kind::File, &[], stat.size, &stat.meta);
            let whole = Extent {
                offset: 0,
                length: stat.size,
            };
            (vec![whole], stat.size)
        };
        self.sink.data(&headers)?;
        self.contents(&file, &stat, &extents, path)?;
        self.sink
            .zeros(stored.next_multiple_of(BLOCK as u64) - stored)
    }

    fn contents(
        &mut self,
        file: &OwnedFd,
        stat: &Stat,
        extents: &[Extent],
        path: &[u8],
    ) -> Result<()> {
        let mut lending = true;
        let mut shrunk = false;
        for extent in extents {
            if extent.length < LENT {
                shrunk |= self.gather(file, *extent, path)?;
                continue;
            }
            self.flush()?;
            let mut at = extent.offset;
            while at < extent.end() {
                let left = extent.end() - at;
                let before = at;
                let sent = if lending {
                    let Some(sent) = self.sink.lend(file, &mut at, left)? else {
                        lending = false;
                        continue;
                    };
                    sent
                } else {
                    self.copy(file, &mut at, left, path)?
                };
                if sent == 0 {
                    // Its end has come early.
                    shrunk = true;
                    self.sink.zeros(left)?;
                    break;
                }
                self.control.meter.add_data(at - before);
            }
        }
        self.flush()?;
        note_change(self.shared, file, stat, path, shrunk);
        Ok(())
    }

    /// Puts a small range beside others. True when the file has ended before its end.
    fn gather(&mut self, file: &OwnedFd, extent: Extent, path: &[u8]) -> Result<bool> {
        // Less than LENT.
        let length = usize::try_from(extent.length).unwrap_or(0);
        if self.buffer.len() + length > COPY {
            self.flush()?;
        }
        let end = self.buffer.len() + length;
        append_from(file, &mut self.buffer, length, extent.offset)
            .map_err(|errno| Error::os(format!("read {}", printable(path)), errno))?;
        let shrunk = self.buffer.len() < end;
        self.buffer.resize(end, 0);
        self.control.meter.add_data(extent.length);
        Ok(shrunk)
    }

    /// Sends what was gathered.
    fn flush(&mut self) -> Result<()> {
        self.sink.data(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn copy(&mut self, file: &OwnedFd, at: &mut u64, left: u64, path: &[u8]) -> Result<u64> {
        let length = usize::try_from(left).unwrap_or(COPY).min(COPY);
        append_from(file, &mut self.buffer, length, *at)
            .map_err(|errno| Error::os(format!("read {}", printable(path)), errno))?;
        let got = self.buffer.len() as u64;
        self.flush()?;
        *at += got;
        Ok(got)
    }

    fn count(&self, members: u64) {
        self.shared.members.fetch_add(members, Ordering::Relaxed);
    }
}
