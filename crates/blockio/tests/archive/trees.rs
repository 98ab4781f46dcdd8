// SPDX-License-Identifier: AGPL-3.0-or-later
//! Trees: made from a description, and looked at.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, Mode, SeekFrom, Timespec, Timestamps, XattrFlags};

/// True when owners, devices and ACLs of others can be tried.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// All that a round trip must keep of one name.
#[derive(Debug, PartialEq, Eq)]
pub struct Look {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    size: u64,
    device: u64,
    /// Where a symbolic link points, or what is in a file.
    content: Vec<u8>,
    /// Ranges with data.
    data: Vec<(u64, u64)>,
    /// The first of the names that the file has.
    first: PathBuf,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Looks at everything below `root`, and at itself.
pub fn look(root: &Path) -> BTreeMap<PathBuf, Look> {
    let mut found = BTreeMap::new();
    let mut names = Vec::new();
    let mut left = vec![PathBuf::from(".")];
    while let Some(path) = left.pop() {
        let full = root.join(&path);
        if full.symlink_metadata().unwrap().is_dir() {
            for entry in std::fs::read_dir(&full).unwrap() {
                left.push(path.join(entry.unwrap().file_name()));
            }
        }
        names.push(path);
    }
    names.sort();
    let mut firsts = HashMap::new();
    for path in names {
        let full = root.join(&path);
        let meta = full.symlink_metadata().unwrap();
        let kind = meta.file_type();
        let (content, data) = if kind.is_symlink() {
            (
                std::fs::read_link(&full)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes(),
                Vec::new(),
            )
        } else if kind.is_file() {
            (content(&full, meta.size()), data(&full, meta.size()))
        } else {
            (Vec::new(), Vec::new())
        };
        let first = firsts
            .entry(meta.ino())
            .or_insert_with(|| path.clone())
            .clone();
        let look = Look {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            size: if kind.is_dir() { 0 } else { meta.size() },
            device: meta.rdev(),
            content,
            data,
            first,
            attributes: attributes(&full),
        };
        found.insert(path, look);
    }
    found
}

/// The content; of large files only what is not zero at the ranges with data.
fn content(path: &Path, size: u64) -> Vec<u8> {
    if size <= 8 << 20 {
        return std::fs::read(path).unwrap();
    }
    let file = File::open(path).unwrap();
    let mut all = Vec::new();
    for (offset, length) in data(path, size) {
        let mut part = vec![0; usize::try_from(length).unwrap()];
        file.read_exact_at(&mut part, offset).unwrap();
        all.extend_from_slice(&part);
    }
    vec![
        u8::try_from(all.iter().fold(7_u64, |sum, byte| {
            (sum.wrapping_mul(31) + u64::from(*byte)) % 251
        }))
        .unwrap(),
    ]
}

fn data(path: &Path, size: u64) -> Vec<(u64, u64)> {
    let file = File::open(path).unwrap();
    let mut found = Vec::new();
    let mut at = 0;
    while let Ok(from) = rustix::fs::seek(&file, SeekFrom::Data(at)) {
        at = rustix::fs::seek(&file, SeekFrom::Hole(from))
            .unwrap()
            .min(size);
        found.push((from, at - from));
    }
    found
}

fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 64 << 10];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names) else {
        return BTreeMap::new();
    };
    names.truncate(length);
    let mut found = BTreeMap::new();
    for name in names.split(|byte| *byte == 0) {
        let wanted = name.starts_with(b"user.")
            || name == b"security.capability"
            || name.starts_with(b"system.posix_acl");
        if wanted {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
            value.truncate(length);
            found.insert(name.to_vec(), value);
        }
    }
    found
}

/// Says what differs, by name.
pub fn assert_same(one: &Path, other: &Path) {
    compare(&look(one), &look(other));
}

/// As [`assert_same`], but for where holes are: XFS counts what it has reserved ahead as data.
pub fn assert_same_but_holes(one: &Path, other: &Path) {
    let looks = [one, other].map(|root| {
        let mut look = look(root);
        for look in look.values_mut() {
            look.data.clear();
        }
        look
    });
    compare(&looks[0], &looks[1]);
}

fn compare(one: &BTreeMap<PathBuf, Look>, other: &BTreeMap<PathBuf, Look>) {
    for (path, look) in one {
        match other.get(path) {
            None => panic!("{} is missing", path.display()),
            Some(there) => assert!(
                look == there,
                "{} differs:\n{:?}\n{:?}",
                path.display(),
                short(look),
                short(there)
            ),
        }
    }
    for path in other.keys() {
        assert!(one.contains_key(path), "{} is too much", path.display());
    }
}

fn short(look: &Look) -> String {
    let mut text = format!("{look:?}");
    if look.content.len() > 200 {
        text = format!(
            "mode {:o} owner {:?} mtime {:?} size {} data {:?} first {} attributes {:?}",
            look.mode,
            look.owner,
            look.mtime,
            look.size,
            look.data,
            look.first.display(),
            look.attributes
        );
    }
    text
}

/// What to make under a name.
#[derive(Clone, Debug)]
pub enum What {
    /// Pieces of data, each after a hole, and a hole at the end; in bytes.
    File(Vec<(u32, u32)>, u32),
    Directory,
    Symlink(Vec<u8>),
    Fifo,
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    /// Another name of one of the files before, by number.
    Link(usize),
}

/// A name to make.
#[derive(Clone, Debug)]
pub struct Item {
    /// In one of the directories before, by number.
    dir: usize,
    name: Vec<u8>,
    what: What,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, u32),
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    acl: Option<(u32, u32)>,
}

/// Descriptions of trees with up to `most` names.
pub fn items(most: usize) -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec(item(), 0..most)
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("no separator", |byte| *byte != 0 && *byte != b'/');
    prop_oneof![
        4 => "[a-z]{1,8}".prop_map(String::into_bytes),
        1 => prop::collection::vec(byte, 1..60),
        1 => (90..=255_usize).prop_map(|length| vec![b'n'; length]),
    ]
    .prop_filter("no way up", |name| name != b"." && name != b"..")
}

fn what() -> impl Strategy<Value = What> {
    let pieces = prop::collection::vec((0..3_u32, 1..40_000_u32), 0..4);
    prop_oneof![
        6 => (pieces, 0..3_u32).prop_map(|(pieces, end)| {
            let pieces = pieces.into_iter().map(|(hole, data)| (hole * 65536, data)).collect();
            What::File(pieces, end * 70_000)
        }),
        1 => (150_000..400_000_u32).prop_map(|data| What::File(vec![(0, data)], 0)),
        4 => Just(What::Directory),
        2 => prop::collection::vec(1..=255_u8, 1..400).prop_map(What::Symlink),
        1 => Just(What::Fifo),
        1 => (0..300_u32, 0..70_000_u32).prop_map(|(major, minor)| What::CharDevice(major, minor)),
        1 => (0..300_u32, 0..70_000_u32).prop_map(|(major, minor)| What::BlockDevice(major, minor)),
        2 => any::<usize>().prop_map(What::Link),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let xattr = (
        "[a-zA-Z0-9._=%-]{1,20}",
        prop::collection::vec(any::<u8>(), 0..80),
    )
        .prop_map(|(name, value)| (format!("user.{name}").into_bytes(), value));
    (
        any::<usize>(),
        name(),
        what(),
        0..0o10000_u32,
        (
            0..300_000_u32,
            prop_oneof![Just(0), Just(100_000), Just(4_000_000_000_u32)],
        ),
        (-1_000_000_000..4_000_000_000_i64, 0..1_000_000_000_u32),
        prop::collection::vec(xattr, 0..3),
        prop::option::weighted(0.2, (0..200_000_u32, 0..8_u32)),
    )
        .prop_map(|(dir, name, what, mode, owner, mtime, xattrs, acl)| Item {
            dir,
            name,
            what,
            mode,
            owner,
            mtime,
            xattrs,
            acl,
        })
}

/// Makes the tree in an empty directory. Names that are taken are left out, and so is what needs privileges without them.
pub fn make(root: &Path, items: &[Item]) {
    let mut dirs = vec![root.to_owned()];
    let mut files: Vec<PathBuf> = Vec::new();
    let mut made: Vec<(PathBuf, &Item)> = Vec::new();
    for item in items {
        let path = dirs[item.dir % dirs.len()].join(OsStr::from_bytes(&item.name));
        if path.symlink_metadata().is_ok() || path.as_os_str().len() > 4000 {
            continue;
        }
        match &item.what {
            What::File(pieces, end) => {
                let file = File::create(&path).unwrap();
                let mut at = 0;
                for (hole, data) in pieces {
                    at += u64::from(*hole);
                    let noise = super::common::noise(usize::try_from(*data).unwrap(), at);
                    file.write_all_at(&noise, at).unwrap();
                    at += u64::from(*data);
                }
                file.set_len(at + u64::from(*end)).unwrap();
                // So that the file system has decided where holes are.
                file.sync_data().unwrap();
                files.push(path.clone());
            }
            What::Directory => {
                std::fs::create_dir(&path).unwrap();
                dirs.push(path.clone());
            }
            What::Symlink(target) => symlink(OsStr::from_bytes(target), &path).unwrap(),
            What::Fifo => node(&path, FileType::Fifo, 0),
            What::CharDevice(major, minor) if is_root() => {
                node(
                    &path,
                    FileType::CharacterDevice,
                    rustix::fs::makedev(*major, *minor),
                );
            }
            What::BlockDevice(major, minor) if is_root() => {
                node(
                    &path,
                    FileType::BlockDevice,
                    rustix::fs::makedev(*major, *minor),
                );
            }
            What::Link(number) if !files.is_empty() => {
                std::fs::hard_link(&files[number % files.len()], &path).unwrap();
                continue;
            }
            _ => continue,
        }
        made.push((path, item));
    }
    // From below, so that no directory's time is spoilt.
    for (path, item) in made.iter().rev() {
        finish(path, item);
    }
}

fn node(path: &Path, kind: FileType, device: u64) {
    rustix::fs::mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device).unwrap();
}

fn finish(path: &Path, item: &Item) {
    let symlink = matches!(item.what, What::Symlink(_));
    let directory = matches!(item.what, What::Directory);
    if is_root() {
        std::os::unix::fs::lchown(path, Some(item.owner.0), Some(item.owner.1)).unwrap();
    }
    if !symlink {
        // Without privileges it must stay readable for its owner.
        let needed = if is_root() { 0 } else { 0o700 };
        let special = if is_root() { 0o7777 } else { 0o777 };
        let mode = std::fs::Permissions::from_mode(item.mode & special | needed);
        std::fs::set_permissions(path, mode).unwrap();
    }
    if directory || matches!(item.what, What::File(..)) {
        for (name, value) in &item.xattrs {
            // Not every file system has them.
            let _ = rustix::fs::setxattr(path, name.as_slice(), value, XattrFlags::empty());
        }
    }
    if let (Some((user, bits)), false) = (item.acl, symlink) {
        let acl = acl(user, bits);
        let _ = rustix::fs::setxattr(path, "system.posix_acl_access", &acl, XattrFlags::empty());
        if directory {
            let _ =
                rustix::fs::setxattr(path, "system.posix_acl_default", &acl, XattrFlags::empty());
        }
    }
    if is_root() && matches!(item.what, What::File(..)) && item.mode & 1 == 1 {
        let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let _ = rustix::fs::setxattr(
            path,
            "security.capability",
            &capability,
            XattrFlags::empty(),
        );
    }
    set_mtime(path, item.mtime.0, item.mtime.1);
}

/// Sets the modification time, of a link its own.
pub fn set_mtime(path: &Path, seconds: i64, nanos: u32) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanos.into(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// An ACL with an entry for one user, in the kernel's form.
fn acl(user: u32, bits: u32) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, bits, id) in [
        (1_u16, 7, u32::MAX),
        (2, bits, user),
        (4, 5, u32::MAX),
        (0x10, 7, u32::MAX),
        (0x20, 4, u32::MAX),
    ] {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(bits).unwrap().to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}
