// SPDX-License-Identifier: AGPL-3.0-or-later
//! Understanding the headers of an archive: POSIX and GNU formats, with all that GNU tar writes for sparse files.

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::input::Input;
use crate::archive::acl;
use crate::archive::header::BLOCK;
use crate::archive::meta::{Kind, Meta, Time, printable};
use crate::archive::pax;
use crate::archive::sparse::Extent;
use crate::archive::xattr;
use crate::{Error, ErrorKind, Result};

/// Bytes of one member's extended headers at most.
const MOST_RECORDS: u64 = 8 << 20;
/// Bytes of the extended headers that hold for all members.
const MOST_GLOBAL: usize = 1 << 20;
/// Bytes of a name at most.
const LONGEST_NAME: u64 = 32 << 10;
/// Ranges of data of one file at most.
const MOST_EXTENTS: usize = 4 << 20;
/// The largest file there can be.
const LARGEST: u64 = i64::MAX as u64;

/// A member of an archive. Its content, `stored` bytes, follows in the input, and after that `padding`.
#[derive(Debug)]
pub struct Member {
    pub path: Vec<u8>,
    pub kind: Kind,
    /// Where a link points.
    pub link: Vec<u8>,
    pub stored: u64,
    pub padding: u64,
    pub holes: Option<Holes>,
    pub meta: Meta,
    /// An ACL that could not be understood.
    pub strange_acl: bool,
}

/// Size and data of a file that is not stored whole. The data is in order and within the size.
#[derive(Debug)]
pub struct Holes {
    pub size: u64,
    pub extents: Vec<Extent>,
}

/// The headers before the one that counts.
#[derive(Default)]
struct Before {
    /// Data of the extended header.
    records: Vec<u8>,
    /// GNU's way of long names.
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// Reads headers.
#[derive(Default)]
pub struct Headers {
    /// Extended headers for all members.
    global: Vec<u8>,
}

impl Headers {
    /// The next member; `None` at the archive's end, which is two empty blocks.
    pub fn next(&mut self, input: &mut Input<'_, '_>) -> Result<Option<Member>> {
        let mut before = Before::default();
        loop {
            let Some(block) = input.block()? else {
                return Err(input.ended());
            };
            if block == [0; BLOCK] {
                return match input.block()? {
                    Some(second) if second == [0; BLOCK] && before.is_empty() => Ok(None),
                    Some(_) => Err(damaged("an empty block is where a header should be")),
                    None => Err(input.ended()),
                };
            }
            let header = Header::from_byte_slice(&block);
            check(header)?;
            let size = header
                .entry_size()
                .ok()
                .filter(|size| *size <= LARGEST)
                .ok_or_else(|| damaged("a member's size"))?;
            match header.entry_type().as_byte() {
                b'x' | b'X' => {
                    before.records.clear();
                    data(input, &mut before.records, size, MOST_RECORDS)?;
                }
                b'g' => {
                    let room = (MOST_GLOBAL - self.global.len().min(MOST_GLOBAL)) as u64;
                    data(input, &mut self.global, size, room)?;
                }
                b'L' => before.path = Some(long_name(input, size)?),
                b'K' => before.link = Some(long_name(input, size)?),
                _ => return self.member(input, header, size, before).map(Some),
            }
        }
    }

    fn member(
        &self,
        input: &mut Input<'_, '_>,
        header: &Header,
        size: u64,
        before: Before,
    ) -> Result<Member> {
        let mut said = Said::default();
        for record in pax::records(&self.global).chain(pax::records(&before.records)) {
            let (key, value) = record?;
            said.record(key, value)?;
        }
        let path = said
            .sparse_name
            .take()
            .or_else(|| said.path.take())
            .or(before.path)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let link = said
            .link
            .take()
            .or(before.link)
            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
            .unwrap_or_default();
        if path.len() as u64 > LONGEST_NAME || link.len() as u64 > LONGEST_NAME {
            return Err(damaged("a name is too long"));
        }
        let kind = kind(header, &path)?;
        let stored = match kind {
            // Its content came with the first name.
            Kind::HardLink => 0,
            _ => said.size.unwrap_or(size),
        };
        let mut member = Member {
            meta: said.meta(header)?,
            strange_acl: said.strange_acl,
            padding: stored.next_multiple_of(BLOCK as u64) - stored,
            holes: None,
            path,
            kind,
            link,
            stored,
        };
        if kind == Kind::File {
            sparse(input, header, said, &mut member)?;
        }
        Ok(member)
    }
}

impl Before {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.path.is_none() && self.link.is_none()
    }
}

/// What extended headers say of a member.
#[derive(Default)]
struct Said {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<Time>,
    attributes: crate::archive::meta::Attributes,
    strange_acl: bool,
    sparse_name: Option<Vec<u8>>,
    sparse_major: Option<u64>,
    sparse_size: Option<u64>,
    /// Of formats 0.0 and 0.1.
    extents: Option<Vec<Extent>>,
    /// Of format 0.0, where the length comes in a record of its own.
    offset: Option<u64>,
}

impl Said {
    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let number = || {
            pax::number(value)
                .filter(|number| *number <= LARGEST)
                .ok_or_else(|| damaged(&format!("record {}", printable(key))))
        };
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = Some(number()?),
            b"gid" => self.gid = Some(number()?),
            b"mtime" => {
                self.mtime = Some(pax::time(value).ok_or_else(|| damaged("record mtime"))?);
            }
            b"GNU.sparse.major" => self.sparse_major = Some(number()?),
            b"GNU.sparse.name" => self.sparse_name = Some(value.to_vec()),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse_size = Some(number()?),
            b"GNU.sparse.map" => {
                let mut extents = Vec::new();
                let mut numbers = value
                    .split(|byte| *byte == b',')
                    .map(|text| pax::number(text).ok_or_else(|| damaged("a sparse file's map")));
                while let Some(offset) = numbers.next() {
                    let length = numbers
                        .next()
                        .ok_or_else(|| damaged("a sparse file's map"))??;
                    push_extent(&mut extents, offset?, length)?;
                }
                self.extents = Some(extents);
            }
            b"GNU.sparse.offset" => self.offset = Some(number()?),
            b"GNU.sparse.numbytes" => {
                let offset = self
                    .offset
                    .take()
                    .ok_or_else(|| damaged("a sparse file's map"))?;
                let length = number()?;
                push_extent(self.extents.get_or_insert_default(), offset, length)?;
            }
            b"SCHILY.acl.access" => {
                self.attributes.access_acl = acl::from_text(value);
                self.strange_acl |= self.attributes.access_acl.is_none();
            }
            b"SCHILY.acl.default" => {
                self.attributes.default_acl = acl::from_text(value);
                self.strange_acl |= self.attributes.default_acl.is_none();
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    let name = decoded(name);
                    if xattr::travels(&name) && !name.contains(&0) {
                        self.attributes.xattrs.push((name, value.to_vec()));
                    }
                }
            }
        }
        Ok(())
    }

    fn meta(&mut self, header: &Header) -> Result<Meta> {
        let id = |said: Option<u64>, field: std::io::Result<u64>, what| {
            said.or_else(|| field.ok())
                .and_then(|id| u32::try_from(id).ok())
                // The kernel takes it for "leave it as it is".
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| damaged(what))
        };
        Ok(Meta {
            mode: header.mode().map_err(|_| damaged("a member's mode"))? & 0o7777,
            uid: id(self.uid, header.uid(), "a member's owner")?,
            gid: id(self.gid, header.gid(), "a member's group")?,
            mtime: match self.mtime {
                Some(time) => time,
                None => Time {
                    seconds: header
                        .mtime()
                        .ok()
                        .and_then(|seconds| i64::try_from(seconds).ok())
                        .ok_or_else(|| damaged("a member's time"))?,
                    nanos: 0,
                },
            },
            attributes: std::mem::take(&mut self.attributes),
        })
    }
}

/// Decides whether a file has holes, and reads its map.
fn sparse(
    input: &mut Input<'_, '_>,
    header: &Header,
    said: Said,
    member: &mut Member,
) -> Result<()> {
    let (extents, size) = if header.entry_type().as_byte() == b'S' {
        let Some(gnu) = header.as_gnu() else {
            return Err(damaged("a sparse file's header"));
        };
        let mut extents = Vec::new();
        old_extents(&mut extents, &gnu.sparse)?;
        let mut more = gnu.is_extended();
        while more {
            let block = input.block()?.ok_or_else(|| input.ended())?;
            let mut next = GnuExtSparseHeader::new();
            next.as_mut_bytes().copy_from_slice(&block);
            old_extents(&mut extents, next.sparse())?;
            more = next.is_extended();
        }
        let size = gnu
            .real_size()
            .map_err(|_| damaged("a sparse file's size"))?;
        (extents, said.sparse_size.unwrap_or(size))
    } else if said.sparse_major == Some(1) {
        let size = said
            .sparse_size
            .ok_or_else(|| damaged("a sparse file's size"))?;
        (map(input, member)?, size)
    } else if said.sparse_major.is_some_and(|major| major != 0) {
        return Err(damaged("a sparse file of an unknown format"));
    } else if let Some(extents) = said.extents {
        let size = said
            .sparse_size
            .ok_or_else(|| damaged("a sparse file's size"))?;
        (extents, size)
    } else {
        return Ok(());
    };
    let mut end = 0;
    let mut data = 0_u64;
    for extent in &extents {
        if extent.offset < end || extent.end() > size {
            return Err(damaged("a sparse file's map"));
        }
        end = extent.end();
        data += extent.length;
    }
    if size > LARGEST || data != member.stored {
        return Err(damaged("a sparse file's map"));
    }
    member.holes = Some(Holes { size, extents });
    Ok(())
}

/// The ranges of a header of the old format.
fn old_extents(extents: &mut Vec<Extent>, fields: &[GnuSparseHeader]) -> Result<()> {
    let wrong = |_| damaged("a sparse file's map");
    for field in fields {
        if !field.is_empty() {
            push_extent(
                extents,
                field.offset().map_err(wrong)?,
                field.length().map_err(wrong)?,
            )?;
        }
    }
    Ok(())
}

/// The map of format 1.0, which is the first part of the content.
fn map(input: &mut Input<'_, '_>, member: &mut Member) -> Result<Vec<Extent>> {
    let mut lines = Lines::default();
    let count = lines.next(input, member)?;
    let mut extents = Vec::new();
    for _ in 0..count {
        let offset = lines.next(input, member)?;
        let length = lines.next(input, member)?;
        push_extent(&mut extents, offset, length)?;
    }
    Ok(extents)
}

/// Decimal numbers in lines, block by block.
#[derive(Default)]
struct Lines {
    block: Vec<u8>,
    at: usize,
}

impl Lines {
    fn next(&mut self, input: &mut Input<'_, '_>, member: &mut Member) -> Result<u64> {
        let wrong = || damaged("a sparse file's map");
        let mut number = None;
        loop {
            if self.at == self.block.len() {
                member.stored = member.stored.checked_sub(BLOCK as u64).ok_or_else(wrong)?;
                self.block.clear();
                self.at = 0;
                input.read_to(&mut self.block, BLOCK as u64)?;
            }
            let byte = self.block[self.at];
            self.at += 1;
            number = match (byte, number) {
                (b'\n', Some(number)) => return Ok(number),
                (b'0'..=b'9', number) => Some(
                    number
                        .unwrap_or(0_u64)
                        .checked_mul(10)
                        .and_then(|number| number.checked_add(u64::from(byte - b'0')))
                        .ok_or_else(wrong)?,
                ),
                _ => return Err(wrong()),
            };
        }
    }
}

fn push_extent(extents: &mut Vec<Extent>, offset: u64, length: u64) -> Result<()> {
    if extents.len() == MOST_EXTENTS || offset.checked_add(length).is_none_or(|end| end > LARGEST) {
        return Err(damaged("a sparse file's map"));
    }
    extents.push(Extent { offset, length });
    Ok(())
}

fn kind(header: &Header, path: &[u8]) -> Result<Kind> {
    let device = || {
        let number = |field: std::io::Result<Option<u32>>| field.ok().flatten();
        number(header.device_major())
            .zip(number(header.device_minor()))
            .ok_or_else(|| damaged("a device's number"))
    };
    Ok(match header.entry_type().as_byte() {
        // Before POSIX a directory was a file whose name ends so.
        b'0' | b'\0' if header.as_ustar().is_none() && path.ends_with(b"/") => Kind::Directory,
        b'0' | b'\0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => device().map(|(major, minor)| Kind::CharDevice(major, minor))?,
        b'4' => device().map(|(major, minor)| Kind::BlockDevice(major, minor))?,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "read archive: member {} is of unknown type '{}'",
                    printable(path),
                    other.escape_ascii()
                ),
            ));
        }
    })
}

/// Compares the checksum, which counts itself as blanks.
fn check(header: &Header) -> Result<()> {
    let bytes = header.as_bytes();
    let sum: u32 = bytes
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                u32::from(*byte)
            }
        })
        .sum();
    if header.cksum().is_ok_and(|said| said == sum) {
        Ok(())
    } else {
        Err(damaged("a header's checksum is wrong"))
    }
}

/// Appends the data of a header to `out`.
fn data(input: &mut Input<'_, '_>, out: &mut Vec<u8>, size: u64, most: u64) -> Result<()> {
    if size > most {
        return Err(damaged(&format!(
            "{size} bytes of metadata are more than {most}"
        )));
    }
    input.read_to(out, size)?;
    input.skip(size.next_multiple_of(BLOCK as u64) - size)
}

fn long_name(input: &mut Input<'_, '_>, size: u64) -> Result<Vec<u8>> {
    let mut name = Vec::new();
    data(input, &mut name, size, LONGEST_NAME + 1)?;
    if let Some(end) = name.iter().position(|byte| *byte == 0) {
        name.truncate(end);
    }
    Ok(name)
}

/// The name of an attribute: two characters are written as numbers.
fn decoded(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    loop {
        rest = match rest {
            [b'%', b'3', b'D', rest @ ..] => {
                out.push(b'=');
                rest
            }
            [b'%', b'2', b'5', rest @ ..] => {
                out.push(b'%');
                rest
            }
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
            [] => return out,
        };
    }
}

fn damaged(what: &str) -> Error {
    Error::invalid(format!(
        "read archive: damaged ({what}); see the sender's log"
    ))
}
