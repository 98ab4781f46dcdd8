// SPDX-License-Identifier: AGPL-3.0-or-later
//! What goes in comes out.

use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;

use super::common::{TempDir, noise, sparse_file};
use super::gnu::{empty, exported, imported, tarred, untarred};
use super::trees::{assert_same, items, make, set_mtime};

/// Through this project, from it to GNU tar, and from GNU tar to it.
pub fn all_ways(dir: &TempDir, source: &Path) {
    let (summary, stream) = exported(source);
    assert_eq!(summary.stream.bytes + 8, stream.len() as u64);
    assert_eq!(stream.len() % 512, 8);
    let here = dir.path("here");
    let received = imported(empty(&here), &stream).unwrap();
    assert_eq!(received.members, summary.members);
    assert_eq!(received.notes, Vec::<String>::new());
    assert_same(source, &here);
    untarred(empty(&dir.path("there")), &stream);
    assert_same(source, &dir.path("there"));
    imported(empty(&dir.path("back")), &tarred(source, &[])).unwrap();
    assert_same(source, &dir.path("back"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn trees_stay_as_they_are_whoever_sends_and_receives(items in items(40)) {
        let dir = TempDir::new();
        let source = dir.path("source");
        make(empty(&source), &items);
        all_ways(&dir, &source);
    }
}

#[test]
fn an_empty_directory_is_a_volume() {
    let dir = TempDir::new();
    let source = dir.path("source");
    set_mtime(empty(&source), -1, 5);
    all_ways(&dir, &source);
}

#[test]
fn names_have_up_to_4000_bytes_of_any_kind() {
    let dir = TempDir::new();
    let source = dir.path("source");
    empty(&source);
    let odd: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
    std::fs::write(source.join(std::ffi::OsString::from_vec(odd)), "odd").unwrap();
    for name in ["\\x41", "-rf", "a\nb", " ", "...", "x".repeat(255).as_str()] {
        std::fs::write(source.join(name), name).unwrap();
    }
    for length in [
        98, 99, 100, 101, 154, 155, 156, 254, 255, 256, 257, 1000, 3999, 4000,
    ] {
        // Relative to the root, as it is in the archive.
        let mut path = source.join(length.to_string());
        let end = source.as_os_str().len() + length - 1;
        if path.as_os_str().len() < end {
            std::fs::create_dir(&path).unwrap();
        }
        while path.as_os_str().len() + 202 < end.min(4000) {
            path.push("d".repeat(200));
            std::fs::create_dir(&path).unwrap();
        }
        path.push(
            "f".repeat(
                end.min(4040)
                    .saturating_sub(path.as_os_str().len() + 1)
                    .clamp(1, 255),
            ),
        );
        std::fs::write(&path, length.to_string()).unwrap();
        symlink("t".repeat(length.min(4000)), path.with_file_name("s")).unwrap();
    }
    all_ways(&dir, &source);
}

#[test]
fn deep_trees_need_no_descriptor_for_each_level() {
    let dir = TempDir::new();
    let source = dir.path("source");
    let mut deep = source.clone();
    empty(&source);
    for level in 0..500 {
        if level % 10 == 0 {
            std::fs::create_dir(deep.join("b")).unwrap();
            std::fs::write(deep.join("b/f"), level.to_string()).unwrap();
        }
        deep.push("a");
        std::fs::create_dir(&deep).unwrap();
    }
    all_ways(&dir, &source);
    blockio::archive::remove_tree(&source, &blockio::stream::Cancel::default()).unwrap();
    assert!(!source.exists());
}

#[test]
fn holes_stay_holes_and_data_stays_where_it_is() {
    let dir = TempDir::new();
    let source = dir.path("source");
    empty(&source);
    let data = noise(70_000, 1);
    let all = |name: &str, size, pieces: &[u64]| {
        let pieces: Vec<_> = pieces.iter().map(|at| (*at, data.as_slice())).collect();
        sparse_file(&source.join(name), size, &pieces);
    };
    all("nothing", 0, &[]);
    all("hole", 1 << 20, &[]);
    all("large hole", 5 << 30, &[]);
    all("begins with data", 3 << 20, &[0]);
    all("ends with data", (3 << 20) + 70_000, &[3 << 20]);
    let many: Vec<u64> = (0..400).map(|number| number << 18).collect();
    all("many", 400 << 18, &many);
    all("beyond 8 GiB", 9 << 30, &[0, (9 << 30) - 70_000]);
    all_ways(&dir, &source);
}

#[test]
fn other_formats_of_gnu_tar_are_understood() {
    let dir = TempDir::new();
    let source = dir.path("source");
    empty(&source);
    let long = source.join("l".repeat(200));
    std::fs::create_dir(&long).unwrap();
    std::fs::write(long.join("n".repeat(150)), "long").unwrap();
    symlink("t".repeat(300), source.join("link")).unwrap();
    std::fs::hard_link(long.join("n".repeat(150)), source.join("hard")).unwrap();
    let data = noise(5000, 2);
    let pieces: Vec<_> = (0..60)
        .map(|number| (number << 16, data.as_slice()))
        .collect();
    sparse_file(&source.join("sparse"), 60 << 16, &pieces);
    for path in [
        long.join("n".repeat(150)),
        source.join("link"),
        source.join("sparse"),
        long,
        source.clone(),
    ] {
        set_mtime(&path, 1_700_000_000, 0);
    }
    for (number, format) in [
        &["--no-xattrs", "--no-acls", "--format=gnu"][..],
        &["--no-xattrs", "--no-acls", "--format=oldgnu"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ]
    .iter()
    .enumerate()
    {
        let target = dir.path(&number.to_string());
        imported(empty(&target), &tarred(&source, format)).unwrap();
        assert_same(&source, &target);
    }
}

#[test]
fn the_same_tree_is_the_same_stream() {
    let dir = TempDir::new();
    let source = dir.path("source");
    empty(&source);
    for number in 0..300 {
        let sub = source.join(format!("d{}", number % 7));
        std::fs::create_dir_all(&sub).unwrap();
        std::fs::write(sub.join(format!("f{number}")), noise(number * 100, 3)).unwrap();
    }
    let (_, first) = exported(&source);
    for _ in 0..5 {
        assert!(exported(&source).1 == first);
    }
}

#[test]
fn a_stream_that_is_cut_off_anywhere_is_an_error() {
    let dir = TempDir::new();
    let source = dir.path("source");
    empty(&source);
    std::fs::write(source.join("small"), noise(700, 4)).unwrap();
    std::fs::write(source.join("large"), noise(1 << 21, 5)).unwrap();
    sparse_file(&source.join("sparse"), 1 << 20, &[(500_000, b"x")]);
    let (_, stream) = exported(&source);
    let end = stream.len() - 10_240;
    let cuts = (0..6000)
        .step_by(511)
        .chain((6000..end).step_by(200_003))
        .chain((end - 1030..end + 1040).step_by(103));
    for (number, cut) in cuts.enumerate() {
        // GNU tar fills up to a record; what is needed are two empty blocks.
        if cut >= 1024 && stream[8..cut].ends_with(&[0; 1024]) && (cut - 8) / 512 * 512 >= end {
            continue;
        }
        let target = dir.path(&number.to_string());
        let error = imported(empty(&target), &stream[..cut]).unwrap_err();
        assert_eq!(error.kind(), blockio::ErrorKind::Invalid, "{cut}: {error}");
        std::fs::remove_dir_all(&target).unwrap();
    }
    let mut more = stream.clone();
    more.push(1);
    assert!(imported(empty(&dir.path("more")), &more).is_err());
    more.pop();
    more.extend_from_slice(&[0; 5000]);
    imported(empty(&dir.path("zeros")), &more).unwrap();
}
