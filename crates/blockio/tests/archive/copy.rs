// SPDX-License-Identifier: AGPL-3.0-or-later
//! Removal of trees.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;

use blockio::archive::{create_tree, remove_tree};
use blockio::stream::Cancel;

use super::common::TempDir;
use super::gnu::empty;

#[test]
fn removal_takes_names_of_any_bytes_and_follows_nothing() {
    let dir = TempDir::new();
    let outside = dir.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("kept"), "").unwrap();
    let tree = dir.path("tree");
    empty(&tree);
    symlink(&outside, tree.join("link")).unwrap();
    let odd = tree.join(OsString::from_vec(vec![0xff, b'\n', 0x80]));
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join(OsString::from_vec(vec![0xfe])), "").unwrap();
    remove_tree(&tree, &Cancel::default()).unwrap();
    assert!(!tree.exists());
    assert!(outside.join("kept").exists());
    symlink(&outside, &tree).unwrap();
    remove_tree(&tree, &Cancel::default()).unwrap();
    remove_tree(&tree, &Cancel::default()).unwrap();
    remove_tree(&dir.path("no/such"), &Cancel::default()).unwrap();
    assert_eq!(dir.names(), ["outside"]);
}

#[test]
fn a_tree_is_made_with_its_permissions_and_never_over_another() {
    let dir = TempDir::new();
    let path = dir.path("tree");
    create_tree(&path, 0o755).unwrap();
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o7777, 0o755);
    let error = create_tree(&path, 0o755).unwrap_err();
    assert_eq!(error.kind(), blockio::ErrorKind::Exists);
}
