// SPDX-License-Identifier: AGPL-3.0-or-later
//! What needs root: mounts below a tree, copies on file systems that share blocks.

use std::path::Path;

use blockio::ErrorKind;
use blockio::archive::{copy_tree, create_tree, remove_tree};
use blockio::stream::Cancel;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::common::{TempDir, noise, run, sparse_file};
use super::gnu::{empty, exported, imported, tarred};
use super::roundtrip::all_ways;
use super::trees::{assert_same_but_holes, items, make};

/// A mount that ends with the test.
struct Mounted(String);

impl Mounted {
    fn new(arguments: &[&str], at: &Path) -> Self {
        let at = at.to_str().unwrap().to_owned();
        let mut all = arguments.to_vec();
        all.push(&at);
        run("mount", &all);
        Self(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
#[ignore = "needs root"]
fn sudo_mounts_are_not_crossed() {
    let dir = TempDir::new();
    let source = dir.path("source");
    empty(&source);
    let below = source.join("mnt");
    std::fs::create_dir(&below).unwrap();
    let file = source.join("file");
    std::fs::write(&file, "below").unwrap();
    let other = dir.path("other");
    std::fs::write(&other, "above").unwrap();
    let _tmpfs = Mounted::new(&["-t", "tmpfs", "none"], &below);
    std::fs::write(below.join("inside"), "x").unwrap();
    let _bind = Mounted::new(&["--bind", other.to_str().unwrap()], &file);
    let (summary, stream) = exported(&source);
    assert_eq!(summary.members, 2);
    assert_eq!(summary.notes.len(), 2, "{:?}", summary.notes);
    let target = dir.path("target");
    imported(empty(&target), &stream).unwrap();
    assert!(target.join("mnt").is_dir());
    assert_eq!(std::fs::read_dir(target.join("mnt")).unwrap().count(), 0);
    assert!(!target.join("file").exists());
    let error = remove_tree(&source, &Cancel::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(below.join("inside").exists());
}

/// A tree that looks as a property test's.
fn random_tree(at: &Path) {
    let mut runner = TestRunner::deterministic();
    for number in 0..6 {
        let items = items(60).new_tree(&mut runner).unwrap().current();
        make(empty(&at.join(number.to_string())), &items);
    }
}

fn copies(name: &str, make_file_system: &[&str]) {
    let dir = TempDir::new();
    let image = dir.path("image");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let mut arguments = make_file_system[1..].to_vec();
    arguments.push(image.to_str().unwrap());
    run(make_file_system[0], &arguments);
    let at = dir.path("at");
    empty(&at);
    let _mounted = Mounted::new(&["-o", "loop", image.to_str().unwrap()], &at);
    let source = at.join("source");
    create_tree(&source, 0o755).unwrap();
    random_tree(&source);
    let copy = at.join("copy");
    copy_tree(&source, &copy, &Cancel::default()).unwrap();
    assert_same_but_holes(&source, &copy);
    let error = copy_tree(&source, &copy, &Cancel::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{name}");
    // A directory that was made by others.
    let plain = at.join("plain");
    imported(empty(&plain), &exported(&source).1).unwrap();
    assert_same_but_holes(&source, &plain);
    let again = at.join("again");
    copy_tree(&plain, &again, &Cancel::default()).unwrap();
    assert_same_but_holes(&plain, &again);
    let back = at.join("back");
    imported(empty(&back), &tarred(&source, &[])).unwrap();
    assert_same_but_holes(&source, &back);
    for tree in [source, copy, plain, again, back] {
        remove_tree(&tree, &Cancel::default()).unwrap();
    }
    assert!(
        std::fs::read_dir(&at).unwrap().count() <= 1,
        "only lost+found"
    );
}

#[test]
#[ignore = "needs root"]
fn loop_copies_share_blocks_on_btrfs() {
    copies("btrfs", &["mkfs.btrfs", "-q"]);
}

#[test]
#[ignore = "needs root"]
fn loop_copies_share_blocks_on_xfs() {
    copies("xfs", &["mkfs.xfs", "-q", "-m", "reflink=1"]);
}

#[test]
#[ignore = "needs root"]
fn loop_copies_are_unsupported_without_shared_blocks() {
    let dir = TempDir::new();
    let image = dir.path("image");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    run("mkfs.ext4", &["-q", image.to_str().unwrap()]);
    let at = dir.path("at");
    empty(&at);
    let _mounted = Mounted::new(&["-o", "loop", image.to_str().unwrap()], &at);
    std::fs::create_dir(at.join("source")).unwrap();
    std::fs::write(at.join("source/file"), "x").unwrap();
    let error = copy_tree(&at.join("source"), &at.join("copy"), &Cancel::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(!at.join("copy").exists());
}

/// A Debian root file system: the one that `BLOCKIO_TEST_ROOT` names, or a new one by debootstrap.
fn debian(dir: &TempDir) -> Option<std::path::PathBuf> {
    let source = dir.path("source");
    if let Ok(root) = std::env::var("BLOCKIO_TEST_ROOT") {
        run("cp", &["-a", "--one-file-system", &root, source.to_str()?]);
        return Some(source);
    }
    let done = std::process::Command::new("debootstrap")
        .args(["--variant=minbase", "trixie"])
        .arg(&source)
        .output();
    done.is_ok_and(|output| output.status.success())
        .then_some(source)
}

#[test]
#[ignore = "needs root"]
fn sudo_a_debian_root_file_system_stays_as_it_is() {
    let dir = TempDir::new();
    let Some(source) = debian(&dir) else {
        #[expect(clippy::print_stderr, reason = "a reason has to be stated")]
        {
            eprintln!("skipped: no debootstrap that works here, and BLOCKIO_TEST_ROOT is not set");
        }
        return;
    };
    all_ways(&dir, &source);
}

#[test]
#[ignore = "needs root"]
fn sudo_fifty_thousand_small_files_stay_as_they_are() {
    let dir = TempDir::new();
    let source = dir.path("source");
    empty(&source);
    for number in 0..50_000_u32 {
        let sub = source.join(format!("d{}/s{}", number / 2000, number / 100));
        if number % 100 == 0 {
            std::fs::create_dir_all(&sub).unwrap();
        }
        std::fs::write(sub.join(format!("f{number}")), number.to_le_bytes()).unwrap();
    }
    all_ways(&dir, &source);
}

#[test]
#[ignore = "needs root"]
fn sudo_a_sparse_file_of_ten_gibibytes_stays_as_it_is() {
    let dir = TempDir::new();
    let source = dir.path("source");
    empty(&source);
    let data = noise(64 << 10, 1);
    let pieces: Vec<_> = (0..1600)
        .map(|number| (number * 6_553_600, data.as_slice()))
        .collect();
    sparse_file(&source.join("image"), 10 << 30, &pieces);
    all_ways(&dir, &source);
}
