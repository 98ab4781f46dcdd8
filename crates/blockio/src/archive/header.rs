// SPDX-License-Identifier: AGPL-3.0-or-later
//! Writing the headers of a member, as GNU tar does for `--acls --xattrs`: POSIX format, extended where needed.

use tar::{EntryType, Header};

use super::acl;
use super::meta::{Kind, Meta};
use super::pax;

/// Everything in an archive comes in blocks of so many bytes.
pub const BLOCK: usize = 512;
/// An archive's length is a multiple of this, as GNU tar's is.
pub const RECORD: usize = 20 * BLOCK;

/// Largest number that fits into an eight-byte field of octal digits.
const OCTAL_7: u64 = 0o777_7777;
/// The same for twelve bytes.
const OCTAL_11: u64 = 0o777_7777_7777;

/// A member about to be written.
pub struct Member<'a> {
    /// With a slash at the end for directories.
    pub path: &'a [u8],
    pub kind: Kind,
    /// Where a link points.
    pub link: &'a [u8],
    /// Bytes that follow the headers.
    pub stored: u64,
    /// The file's size when it is stored with a map.
    pub sparse: Option<u64>,
    pub meta: &'a Meta,
}

/// Appends the headers of `member`.
pub fn write(out: &mut Vec<u8>, member: &Member<'_>) {
    let mut records = Vec::new();
    let mut header = Header::new_ustar();
    if let Some(size) = member.sparse {
        pax::push(&mut records, b"GNU.sparse.major", b"1");
        pax::push(&mut records, b"GNU.sparse.minor", b"0");
        pax::push(&mut records, b"GNU.sparse.name", member.path);
        pax::push(
            &mut records,
            b"GNU.sparse.realsize",
            size.to_string().as_bytes(),
        );
        // What a program sees that does not know the format.
        set_name(&mut header, &aside(b"GNUSparseFile.0", member.path));
    } else if member.path.len() > set_name(&mut header, member.path) {
        pax::push(&mut records, b"path", member.path);
    }
    if member.link.len() > set_link(&mut header, member.link) {
        pax::push(&mut records, b"linkpath", member.link);
    }
    number(&mut records, b"size", member.stored, OCTAL_11, |size| {
        header.set_size(size);
    });
    let meta = member.meta;
    number(&mut records, b"uid", meta.uid.into(), OCTAL_7, |uid| {
        header.set_uid(uid);
    });
    number(&mut records, b"gid", meta.gid.into(), OCTAL_7, |gid| {
        header.set_gid(gid);
    });
    let seconds = u64::try_from(meta.mtime.seconds)
        .ok()
        .filter(|seconds| *seconds <= OCTAL_11);
    if seconds.is_none() || meta.mtime.nanos != 0 {
        pax::push(
            &mut records,
            b"mtime",
            pax::time_text(meta.mtime).as_bytes(),
        );
    }
    header.set_mtime(seconds.unwrap_or(0));
    header.set_mode(meta.mode);
    attributes(&mut records, meta);
    // Fits: the kernel's numbers have 12 and 20 bits. The fields are there: it is a ustar header.
    let mut device = |major, minor| {
        let _ = header.set_device_major(major);
        let _ = header.set_device_minor(minor);
    };
    match member.kind {
        Kind::CharDevice(major, minor) | Kind::BlockDevice(major, minor) => device(major, minor),
        _ => device(0, 0),
    }
    header.set_entry_type(type_of(member.kind));
    seal(&mut header);

    if !records.is_empty() {
        extended(out, member.path, &records);
    }
    out.extend_from_slice(header.as_bytes());
}

fn type_of(kind: Kind) -> EntryType {
    match kind {
        Kind::File => EntryType::Regular,
        Kind::HardLink => EntryType::Link,
        Kind::Symlink => EntryType::Symlink,
        Kind::CharDevice(..) => EntryType::Char,
        Kind::BlockDevice(..) => EntryType::Block,
        Kind::Directory => EntryType::Directory,
        Kind::Fifo => EntryType::Fifo,
    }
}

/// ACLs and extended attributes.
fn attributes(records: &mut Vec<u8>, meta: &Meta) {
    let attributes = &meta.attributes;
    for (key, bytes) in [
        (&b"SCHILY.acl.access"[..], &attributes.access_acl),
        (b"SCHILY.acl.default", &attributes.default_acl),
    ] {
        if let Some(text) = bytes.as_deref().and_then(acl::to_text) {
            pax::push(records, key, &text);
        }
    }
    for (name, value) in &attributes.xattrs {
        let mut key = b"SCHILY.xattr.".to_vec();
        for byte in name {
            match byte {
                b'%' => key.extend_from_slice(b"%25"),
                b'=' => key.extend_from_slice(b"%3D"),
                byte => key.push(*byte),
            }
        }
        pax::push(records, &key, value);
    }
}

/// Sets a number's field when it fits there, else makes a record of it.
fn number(records: &mut Vec<u8>, key: &[u8], value: u64, most: u64, mut set: impl FnMut(u64)) {
    if value > most {
        pax::push(records, key, value.to_string().as_bytes());
        set(0);
    } else {
        set(value);
    }
}

/// Appends an extended header.
fn extended(out: &mut Vec<u8>, path: &[u8], records: &[u8]) {
    let mut header = Header::new_ustar();
    set_name(&mut header, &aside(b"PaxHeaders", path));
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(records.len() as u64);
    let _ = header.set_device_major(0);
    let _ = header.set_device_minor(0);
    header.set_entry_type(EntryType::XHeader);
    seal(&mut header);
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(records);
    pad(out);
}

/// Sets the checksum, which counts itself as blanks. Faster than the library's, which adds byte by byte.
fn seal(header: &mut Header) {
    header.as_old_mut().cksum = *b"        ";
    let sum: u32 = header.as_bytes().iter().map(|byte| u32::from(*byte)).sum();
    let field = &mut header.as_old_mut().cksum;
    for (at, digit) in field[..6].iter_mut().enumerate() {
        // At most 512 times 255: six digits.
        *digit = b'0' + ((sum >> (15 - 3 * at)) & 7) as u8;
    }
    field[6] = 0;
}

/// Fills up to a whole block.
pub fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

/// Puts as much of the name into its field as fits; returns how much that is.
fn set_name(header: &mut Header, name: &[u8]) -> usize {
    header
        .as_ustar_mut()
        .map_or(0, |header| fill(&mut header.name, name))
}

fn set_link(header: &mut Header, name: &[u8]) -> usize {
    header
        .as_ustar_mut()
        .map_or(0, |header| fill(&mut header.linkname, name))
}

fn fill(field: &mut [u8], name: &[u8]) -> usize {
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
    length
}

/// A name below `dir` that reminds of `path`.
fn aside(dir: &[u8], path: &[u8]) -> Vec<u8> {
    let base = path
        .split(|byte| *byte == b'/')
        .rfind(|part| !part.is_empty())
        .unwrap_or(b".");
    let mut name = b"./".to_vec();
    name.extend_from_slice(dir);
    name.push(b'/');
    name.extend_from_slice(&base[..base.len().min(80)]);
    name
}
