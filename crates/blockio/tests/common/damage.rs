// SPDX-License-Identifier: AGPL-3.0-or-later
//! Damage to trees of files.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "tests stop by panicking"
)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;

/// What happens to an entry of a tree.
#[derive(Clone, Debug)]
pub enum Damage {
    Remove,
    Cut(usize),
    Bytes(Vec<u8>),
    Directory,
    LinkLoop,
    Dangling,
    /// The entry becomes a link to another one, or a copy of it.
    Other(Index),
    Rename(Vec<u8>),
    /// Two files have each other's content.
    Swap(Index),
    Pipe,
    Add(Vec<u8>),
}

pub fn damage() -> impl Strategy<Value = Damage> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let name = prop::collection::vec(any::<u8>().prop_filter("", |b| !b"/\0".contains(b)), 1..20);
    let numbers = "[0-9:.+-]{0,24}".prop_map(String::into_bytes);
    prop_oneof![
        Just(Damage::Remove),
        (0_usize..20).prop_map(Damage::Cut),
        bytes().prop_map(Damage::Bytes),
        numbers.prop_map(Damage::Bytes),
        Just(Damage::Directory),
        Just(Damage::LinkLoop),
        Just(Damage::Dangling),
        any::<Index>().prop_map(Damage::Other),
        name.clone().prop_map(Damage::Rename),
        any::<Index>().prop_map(Damage::Swap),
        Just(Damage::Pipe),
        name.prop_map(Damage::Add),
    ]
}

impl Damage {
    /// True when the tree may tell other things of other devices than before, and not only less.
    pub fn makes_another_tree(&self) -> bool {
        matches!(
            self,
            Self::Other(_) | Self::Rename(_) | Self::Swap(_) | Self::Add(_)
        )
    }
}

/// Everything below, without following links.
fn entries(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(names) = std::fs::read_dir(dir) else {
        return;
    };
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names {
        found.push(path.clone());
        if path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            entries(&path, found);
        }
    }
}

fn remove(path: &Path) {
    let is_dir = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    let _ = if is_dir {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
}

/// What cannot be done to an entry is left out.
pub fn apply(root: &Path, place: Index, damage: &Damage) {
    let mut all = Vec::new();
    entries(root, &mut all);
    if all.is_empty() {
        return;
    }
    let path = place.get(&all);
    match damage {
        Damage::Remove => remove(path),
        Damage::Cut(length) => {
            if is_file(path) {
                let content = std::fs::read(path).unwrap();
                let _ = std::fs::write(path, &content[..content.len().min(*length)]);
            }
        }
        Damage::Bytes(bytes) => {
            if is_file(path) {
                let _ = std::fs::write(path, bytes);
            }
        }
        Damage::Directory => {
            remove(path);
            let _ = std::fs::create_dir(path);
        }
        Damage::LinkLoop => {
            remove(path);
            let _ = symlink(path, path);
        }
        Damage::Dangling => {
            remove(path);
            let _ = symlink("../nowhere", path);
        }
        Damage::Other(other) => {
            let other = other.get(&all);
            if !path.starts_with(other) && !other.starts_with(path) {
                remove(path);
                let _ = symlink(other, path);
            }
        }
        Damage::Rename(name) => {
            let _ = std::fs::rename(path, path.with_file_name(OsStr::from_bytes(name)));
        }
        Damage::Swap(other) => {
            let files: Vec<_> = all.iter().filter(|path| is_file(path)).collect();
            if let (true, false) = (is_file(path), files.is_empty()) {
                let other = other.get(&files);
                let (mine, theirs) = (std::fs::read(path).unwrap(), std::fs::read(other).unwrap());
                let _ = std::fs::write(path, theirs);
                let _ = std::fs::write(other, mine);
            }
        }
        Damage::Pipe => {
            remove(path);
            let _ = rustix::fs::mknodat(
                rustix::fs::CWD,
                path,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
                0,
            );
        }
        Damage::Add(name) => {
            let _ = std::fs::create_dir(path.join(OsStr::from_bytes(name)));
        }
    }
}

/// Not a pipe: that would wait for its other end.
fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_file())
}
