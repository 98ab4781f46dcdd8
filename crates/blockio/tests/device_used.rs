// SPDX-License-Identifier: AGPL-3.0-or-later
//! Finding the paths that a disk is used through by its map, in trees of files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

mod common;
#[path = "common/tree.rs"]
mod tree;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use blockio::device::{ScsiPath, Sysfs, Trace, Wwid, paths_of};
use blockio::multipath::{DeviceMapper, MapperDevice, Multipath};
use blockio::{Error, ErrorKind, Result};
use common::TempDir;
use tree::{Tree, digits, disk_name, wwid};

/// Knows one device by its number, right or wrong.
struct Mapper(Result<Option<u32>>);

impl DeviceMapper for Mapper {
    fn look(&self, _: &str) -> Result<Option<MapperDevice>> {
        let minor = self.0.clone()?;
        Ok(minor.map(|minor| MapperDevice {
            minor,
            ..MapperDevice::default()
        }))
    }

    fn remove(&self, _: &str) -> Result<()> {
        panic!("asked to remove")
    }

    fn set_queueing(&self, _: &str, _: bool) -> Result<()> {
        panic!("asked to change")
    }
}

fn none() -> Mapper {
    let error = Error::new(ErrorKind::Unsupported, "there is none here");
    Mapper(Err(error))
}

/// What happens to a tree, and its name.
type Change = (&'static str, fn(&Tree));

fn traced(tree: &Tree, mapper: Mapper) -> (Multipath, Trace) {
    let (sysfs, trace) = Sysfs::traced(tree.root());
    let multipath = Multipath::with_mapper(tree.root(), None, Arc::new(mapper));
    (multipath.seen_through(sysfs), trace)
}

fn addresses(paths: &[ScsiPath]) -> Vec<String> {
    paths.iter().map(|path| path.hctl.to_string()).collect()
}

/// Two disks on two paths each, with maps.
fn two() -> (TempDir, Tree) {
    let dir = TempDir::in_memory();
    let tree = Tree::new(dir.dir());
    tree.array(2, 2);
    tree.maps(2, 2);
    (dir, tree)
}

/// The same paths as those that all devices are asked for, and the map did not give them.
fn asks_all(tree: &Tree, mapper: Mapper, wanted: &Wwid, why: &str) {
    let (multipath, trace) = traced(tree, mapper);
    let found = multipath.used_paths(wanted).unwrap();
    let asked = trace.take().contains(&"sys/bus/scsi/devices".to_owned());
    assert!(asked, "{why}: believed");
    assert_eq!(found, paths_of(&tree.sysfs(), wanted).unwrap(), "{why}");
}

#[test]
fn a_thousand_other_disks_are_not_looked_at() {
    let looks = |luns: u32, by_mapper: bool| {
        let dir = TempDir::in_memory();
        let tree = Tree::new(dir.dir());
        tree.crowd(4, luns, 7);
        tree.maps(4, luns);
        let mapper = if by_mapper {
            Mapper(Ok(Some(7)))
        } else {
            none()
        };
        let (multipath, trace) = traced(&tree, mapper);
        let found = multipath.used_paths(&wwid(7)).unwrap();
        let looked_at = trace.take();
        assert_eq!(found, paths_of(&tree.sysfs(), &wwid(7)).unwrap());
        assert_eq!(
            addresses(&found),
            ["0:0:0:7", "1:0:0:7", "2:0:0:7", "3:0:0:7"]
        );
        let disks: Vec<_> = (0..4).map(|host| disk_name(host * luns + 7)).collect();
        let own = |path: &&String| {
            let disk = path.strip_prefix("sys/block/");
            let disk = disk.and_then(|path| path.strip_suffix("/device"));
            disk.is_some_and(|disk| disks.iter().any(|own| own == disk))
                || (0..4).any(|host| path.contains(&format!("devices/{host}:0:0:7")))
                || path.starts_with("sys/block/dm-7/")
                || path.starts_with("sys/class/iscsi_")
                || **path == format!("dev/disk/by-id/dm-uuid-mpath-{}", wwid(7))
        };
        let others: Vec<_> = looked_at.iter().filter(|path| !own(path)).collect();
        assert_eq!(others, Vec::<&String>::new());
        looked_at.len()
    };
    for by_mapper in [true, false] {
        let many = looks(1000, by_mapper);
        assert_eq!(looks(10, by_mapper), many, "flat in the number of disks");
        assert!(many <= 4 * 16, "{many} for four paths");
    }
}

#[test]
fn an_index_that_is_wrong_is_not_believed() {
    let (_dir, tree) = two();
    let wanted = wwid(1);
    asks_all(&tree, Mapper(Ok(Some(0))), &wanted, "another map's number");
    asks_all(&tree, Mapper(Ok(Some(9))), &wanted, "nobody's number");
    asks_all(&tree, Mapper(Ok(None)), &wanted, "no map");
    for (to, why) in [
        ("../../dm-0", "another map"),
        ("../../sda", "another disk"),
        ("../../dm-9", "nothing"),
        ("../../..", "a directory"),
        (".", "itself"),
        ("dm-uuid-mpath-36001405", "a name"),
    ] {
        tree.map_link(&wanted, to);
        asks_all(&tree, none(), &wanted, why);
    }
    let link = tree.path(&format!("dev/disk/by-id/dm-uuid-mpath-{wanted}"));
    std::fs::remove_file(&link).unwrap();
    asks_all(&tree, none(), &wanted, "no link");
    symlink(OsStr::from_bytes(b"../../dm-1\xff"), &link).unwrap();
    asks_all(&tree, none(), &wanted, "a name that is no text");
    std::fs::remove_file(&link).unwrap();
    symlink(&link, &link).unwrap();
    asks_all(&tree, none(), &wanted, "a loop");
    std::fs::remove_file(&link).unwrap();
    std::fs::write(&link, "dm-1").unwrap();
    asks_all(&tree, none(), &wanted, "a file");
}

#[test]
fn a_map_of_another_disk_gives_none_of_its_paths() {
    // The number of a LUN became another volume's while its map stayed.
    let (_dir, tree) = two();
    let wanted = wwid(1);
    let reused = format!("{}/wwid", Tree::device("1:0:0:1"));
    tree.write(&reused, format!("naa.{}\n", digits(8)));
    for mapper in [none(), Mapper(Ok(Some(1)))] {
        asks_all(&tree, mapper, &wanted, "one path");
    }
    let (multipath, _) = traced(&tree, none());
    let found = multipath.used_paths(&wanted).unwrap();
    assert_eq!(addresses(&found), ["0:0:0:1"]);
    let found = multipath.used_paths(&wwid(8)).unwrap();
    assert_eq!(addresses(&found), ["1:0:0:1"]);
    tree.write(&format!("{}/wwid", Tree::device("0:0:0:1")), "\n");
    asks_all(&tree, none(), &wanted, "both");
    assert_eq!(multipath.used_paths(&wanted), Ok(Vec::new()));
}

#[test]
fn a_map_whose_disks_are_not_what_they_were_is_not_believed() {
    let changes: [Change; 5] = [
        ("no disks", |tree| {
            std::fs::remove_dir_all(tree.path("sys/block/dm-1/slaves")).unwrap();
            tree.dir("sys/devices/virtual/block/dm-1/slaves");
        }),
        ("a disk that is gone", |tree| {
            tree.dir("sys/devices/virtual/block/dm-1/slaves/sdz");
        }),
        ("a partition", |tree| {
            tree.dir("sys/devices/virtual/block/dm-1/slaves/sdb1");
        }),
        ("a disk without a device", |tree| {
            let link = format!("{}/block/sdb/device", Tree::device("0:0:0:1"));
            std::fs::remove_file(tree.path(&link)).unwrap();
        }),
        ("the name is another device's", |tree| {
            let link = format!("{}/block/sdb/device", Tree::device("0:0:0:1"));
            std::fs::remove_file(tree.path(&link)).unwrap();
            tree.link(&link, &Tree::device("1:0:0:1"));
        }),
    ];
    for (why, change) in changes {
        let (_dir, tree) = two();
        change(&tree);
        asks_all(&tree, none(), &wwid(1), why);
        let (multipath, _) = traced(&tree, none());
        let found = multipath.used_paths(&wwid(1)).unwrap();
        assert_eq!(addresses(&found), ["0:0:0:1", "1:0:0:1"], "{why}");
    }
}

#[test]
fn a_path_outside_of_the_map_is_found_by_asking_all_devices_only() {
    let (_dir, tree) = two();
    tree.scsi("1:0:4:9", &format!("naa.{}", digits(1)));
    let (multipath, _) = traced(&tree, none());
    let used = multipath.used_paths(&wwid(1)).unwrap();
    assert_eq!(addresses(&used), ["0:0:0:1", "1:0:0:1"]);
    let all = paths_of(&tree.sysfs(), &wwid(1)).unwrap();
    assert_eq!(addresses(&all), ["0:0:0:1", "1:0:0:1", "1:0:4:9"]);
}
