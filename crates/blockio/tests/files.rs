// SPDX-License-Identifier: AGPL-3.0-or-later
//! Creating, growing, renaming and examining files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use blockio::ErrorKind;
use blockio::fs::{
    Prealloc, ReflinkOptions, block_size, create_file, grow_file, loop_devices_of, reflink,
    reflink_supported, rename_exclusive, set_immutable,
};
use blockio::stream::Cancel;
use common::{TempDir, allocated, noise};

const MIB: u64 = 1 << 20;

fn create(path: &Path, size: u64, prealloc: Prealloc) -> blockio::Result<()> {
    create_file(path, size, prealloc, 0o640, &Cancel::default())
}

#[test]
fn new_files_read_as_zeros_and_take_the_space_asked_for() {
    let dir = TempDir::new();
    for (prealloc, space) in [
        (Prealloc::Off, 0),
        (Prealloc::Falloc, 4 * MIB),
        (Prealloc::Full, 4 * MIB),
    ] {
        let path = dir.path(&format!("{prealloc:?}.raw"));
        create(&path, 4 * MIB + 5, prealloc).unwrap();
        let content = std::fs::read(&path).unwrap();
        assert_eq!(content.len() as u64, 4 * MIB + 5);
        assert!(content.iter().all(|byte| *byte == 0));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640, "whatever the umask is");
        assert!(allocated(&path) >= space, "{prealloc:?}");
        if prealloc == Prealloc::Off {
            assert!(allocated(&path) < MIB, "{prealloc:?}");
        }
    }
}

#[test]
fn an_empty_file_is_a_file() {
    let dir = TempDir::new();
    for prealloc in [Prealloc::Off, Prealloc::Falloc, Prealloc::Full] {
        let path = dir.path(&format!("{prealloc:?}.raw"));
        create(&path, 0, prealloc).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }
}

#[test]
fn creating_never_touches_what_is_there() {
    let dir = TempDir::new();
    let path = dir.path("disk.raw");
    std::fs::write(&path, b"precious").unwrap();
    let error = create(&path, MIB, Prealloc::Full).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    assert_eq!(dir.names(), ["disk.raw"]);
}

#[test]
fn impossible_files_leave_nothing() {
    let dir = TempDir::new();
    let error = create(&dir.path("disk.raw"), 1 << 63, Prealloc::Off).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let error = create(&dir.path("missing/disk.raw"), MIB, Prealloc::Off).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Absent, "{error}");
    let error = create(Path::new("disk.raw"), MIB, Prealloc::Off).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(dir.names(), Vec::<String>::new());
}

#[test]
fn many_creators_of_one_name_have_one_winner() {
    let dir = TempDir::new();
    let path = dir.path("disk.raw");
    let won = std::thread::scope(|scope| {
        let creators: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| create(&path, MIB, Prealloc::Full)))
            .collect();
        let results = creators.into_iter().map(|creator| creator.join().unwrap());
        results
            .filter(|result| match result {
                Ok(()) => true,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
                    false
                }
            })
            .count()
    });
    assert_eq!(won, 1);
    assert_eq!(dir.names(), ["disk.raw"]);
}

#[test]
fn growing_keeps_the_content_and_adds_zeros() {
    let dir = TempDir::new();
    for prealloc in [Prealloc::Off, Prealloc::Falloc, Prealloc::Full] {
        let path = dir.path(&format!("{prealloc:?}.raw"));
        let old = noise(100_001, 1);
        std::fs::write(&path, &old).unwrap();
        grow_file(&path, 3 * MIB, prealloc, &Cancel::default()).unwrap();
        let content = std::fs::read(&path).unwrap();
        assert_eq!(content.len() as u64, 3 * MIB);
        assert!(content[..old.len()] == old);
        assert!(content[old.len()..].iter().all(|byte| *byte == 0));
        assert_eq!(
            allocated(&path) >= 3 * MIB,
            prealloc != Prealloc::Off,
            "{prealloc:?}"
        );
        // Repeating is nothing, shrinking is refused.
        grow_file(&path, 3 * MIB, prealloc, &Cancel::default()).unwrap();
        let error = grow_file(&path, MIB, prealloc, &Cancel::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 3 * MIB);
    }
}

#[test]
fn a_failed_growth_is_undone() {
    let dir = TempDir::new();
    let path = dir.path("disk.raw");
    std::fs::write(&path, b"content").unwrap();
    let cancel = Cancel::default();
    cancel.stop();
    let error = grow_file(&path, 1 << 30, Prealloc::Full, &cancel).unwrap_err();
    assert!(error.is_cancelled(), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"content");
    let missing =
        grow_file(&dir.path("missing"), 1, Prealloc::Off, &Cancel::default()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Absent);
}

#[test]
fn renaming_takes_no_name_away() {
    let dir = TempDir::new();
    let (from, to) = (dir.path("from"), dir.path("to"));
    std::fs::write(&from, b"from").unwrap();
    std::fs::write(&to, b"to").unwrap();
    let error = rename_exclusive(&from, &to).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    assert_eq!(std::fs::read(&to).unwrap(), b"to");
    std::fs::remove_file(&to).unwrap();
    rename_exclusive(&from, &to).unwrap();
    assert_eq!(dir.names(), ["to"]);
    let error = rename_exclusive(&from, &dir.path("third")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Absent, "{error}");
}

#[test]
fn renaming_moves_directories_too() {
    let dir = TempDir::new();
    std::fs::create_dir(dir.path("old")).unwrap();
    std::fs::create_dir(dir.path("elsewhere")).unwrap();
    rename_exclusive(&dir.path("old"), &dir.path("elsewhere/new")).unwrap();
    assert!(dir.path("elsewhere/new").is_dir());
    std::fs::create_dir(dir.path("old")).unwrap();
    let error = rename_exclusive(&dir.path("old"), &dir.path("elsewhere/new")).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Exists,
        "even an empty directory: {error}"
    );
}

#[test]
fn where_blocks_cannot_be_shared_a_reflink_is_unsupported_and_leaves_nothing() {
    let dir = TempDir::new();
    let (source, copy) = (dir.path("disk.raw"), dir.path("copy.raw"));
    std::fs::write(&source, noise(10_000, 1)).unwrap();
    if reflink_supported(dir.dir()).unwrap() {
        // The other case is tested on images of XFS and Btrfs.
        reflink(&source, &copy, ReflinkOptions::default()).unwrap();
        return;
    }
    let error = reflink(&source, &copy, ReflinkOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    std::fs::write(&copy, b"old").unwrap();
    let over = ReflinkOptions {
        replace: true,
        ..ReflinkOptions::default()
    };
    let error = reflink(&source, &copy, over).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(std::fs::read(&copy).unwrap(), b"old");
    assert_eq!(dir.names(), ["copy.raw", "disk.raw"]);
}

#[test]
fn a_missing_source_of_a_reflink_is_absent() {
    let dir = TempDir::new();
    let error = reflink(
        &dir.path("missing"),
        &dir.path("copy"),
        ReflinkOptions::default(),
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Absent, "{error}");
    let error = reflink_supported(&dir.path("missing")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Absent, "{error}");
}

#[test]
fn sizes_of_files_and_of_nothing_else() {
    let dir = TempDir::new();
    std::fs::write(dir.path("file"), b"12345").unwrap();
    assert_eq!(block_size(&dir.path("file")), Ok(5));
    assert_eq!(
        block_size(dir.dir()).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(
        block_size(&dir.path("missing")).unwrap_err().kind(),
        ErrorKind::Absent
    );
}

#[test]
fn a_file_that_is_not_attached_has_no_devices() {
    let dir = TempDir::new();
    std::fs::write(dir.path("file"), b"12345").unwrap();
    assert_eq!(loop_devices_of(&dir.path("file")), Ok(Vec::new()));
}

#[test]
fn clearing_an_attribute_that_is_not_set_needs_no_rights() {
    let dir = TempDir::new();
    std::fs::write(dir.path("file"), b"12345").unwrap();
    match set_immutable(&dir.path("file"), false) {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}"),
    }
    assert_eq!(
        set_immutable(&dir.path("missing"), true)
            .unwrap_err()
            .kind(),
        ErrorKind::Absent
    );
}
