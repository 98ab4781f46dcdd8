// SPDX-License-Identifier: AGPL-3.0-or-later
//! Trees that `lab/record` recorded in a virtual machine: `sys`, `dev` and `proc` as a kernel shows them.

#![allow(dead_code, reason = "each user takes a part")]
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Two LUNs on two portals, each with a multipath map; LVM on LUN 0, a mounted partition on LUN 1.
pub const ISCSI: &str = include_str!("../fixtures/iscsi-multipath.tree");
/// The same after the loss of a portal.
pub const ISCSI_PATH_LOST: &str = include_str!("../fixtures/iscsi-path-lost.tree");
/// Two namespaces on two portals; namespace 2 has an NGUID beside its UUID.
pub const NVME: &str = include_str!("../fixtures/nvme-tcp.tree");
/// The same after the loss of a portal.
pub const NVME_PATH_LOST: &str = include_str!("../fixtures/nvme-tcp-path-lost.tree");

/// Makes files of a recorded tree in a directory that is there. The form is explained in `lab/recorder/tree.pl`.
pub fn lay_out(recorded: &str, root: &Path) {
    let mut dirs: Vec<PathBuf> = Vec::new();
    for line in recorded.lines().filter(|line| !line.starts_with('#')) {
        let entry = line.trim_start_matches(' ');
        dirs.truncate(line.len() - entry.len());
        let place = |name: &str| dirs.last().map_or(root, PathBuf::as_path).join(name);
        if let Some(name) = entry.strip_suffix('/') {
            let dir = place(name);
            std::fs::create_dir(&dir).unwrap();
            dirs.push(dir);
        } else if let Some((name, target)) = entry.split_once(" -> ") {
            symlink(target, place(name)).unwrap();
        } else {
            let (name, quoted) = entry.split_once(' ').unwrap();
            std::fs::write(place(name), content(quoted)).unwrap();
        }
    }
}

/// Undoes `"…"` with `\n`, `\\`, `\"` and `\xNN`.
fn content(quoted: &str) -> Vec<u8> {
    let text = quoted
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let mut rest = text.unwrap().bytes();
    let mut bytes = Vec::new();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            Some(literal @ (b'\\' | b'"')) => literal,
            other => panic!("{other:?} behind a backslash"),
        });
    }
    bytes
}
