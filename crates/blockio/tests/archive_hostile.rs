// SPDX-License-Identifier: AGPL-3.0-or-later
//! Hostile archives: nothing outside of the directory is touched, and memory stays small. A test binary of its own, because
//! it measures the memory of its process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

#[path = "common/archives.rs"]
mod archives;
mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use blockio::archive::{remove_tree, unpack};
use blockio::stream::{Cancel, Control};
use common::TempDir;

/// Most that the process may take, in KiB.
const MEMORY: u64 = 200 << 10;

/// Inode, permissions, size, times and links of a file.
type Look = (u64, u32, u64, [i64; 4], u64);

/// Everything about the files below a directory, and it.
fn look(dir: &Path) -> BTreeMap<PathBuf, Look> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            left.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        found.insert(
            path,
            (
                meta.ino(),
                meta.mode(),
                meta.size(),
                [
                    meta.mtime(),
                    meta.mtime_nsec(),
                    meta.ctime(),
                    meta.ctime_nsec(),
                ],
                meta.nlink(),
            ),
        );
    }
    found
}

/// The most memory that this process had since it was last asked, in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let most = line.trim().trim_end_matches(" kB").parse().unwrap();
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    most
}

#[test]
fn nothing_outside_of_the_directory_is_touched_by_more_than_200_hostile_archives() {
    // In memory, if possible: many small trees are made and removed.
    let dir = TempDir::below(
        ["/dev/shm", "/tmp"]
            .map(Path::new)
            .into_iter()
            .find(|dir| dir.is_dir())
            .unwrap(),
    );
    let outside = dir.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    std::fs::set_permissions(
        outside.join("secret"),
        std::fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    let all = archives::hostile(outside.as_os_str().as_encoded_bytes());
    assert!(all.len() >= 200, "{}", all.len());
    let stray = Path::new("/tmp/blockio-hostile-new");
    let before = look(&outside);
    for archives::Hostile {
        what,
        bytes,
        refused,
    } in all
    {
        let target = dir.path("target");
        std::fs::create_dir(&target).unwrap();
        memory();
        let base = memory();
        let mut rest = bytes.as_slice();
        let mut source = |buffer: &mut [u8]| {
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            rest = &rest[length..];
            Ok(length)
        };
        let result = unpack(&mut source, &target, &Control::default());
        let took = memory().saturating_sub(base) + (8 << 10);
        assert!(took < MEMORY, "{what}: {took} KiB");
        assert!(!refused || result.is_err(), "{what}: accepted");
        if let Err(error) = &result {
            assert_ne!(
                error.kind(),
                blockio::ErrorKind::Internal,
                "{what}: {error}"
            );
            assert!(!error.is_cancelled(), "{what}: {error}");
        }
        assert_eq!(look(&outside), before, "{what}: {result:?}");
        assert!(!stray.exists(), "{what}: {result:?}");
        assert_eq!(dir.names(), ["outside", "target"], "{what}");
        remove_tree(&target, &Cancel::default()).unwrap();
    }
}
