// SPDX-License-Identifier: AGPL-3.0-or-later
//! Imports: exact length, zeros, what is left behind by failures.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

mod common;

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write;
use std::num::NonZeroU64;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use blockio::ErrorKind;
use blockio::stream::{Control, HEADER_BYTES, ImportOptions, TargetKind, WriteMethod, import};
use common::{
    TempDir, allocated, import_bytes, import_from, noise, pipe, sha256, sockets, sparse_file,
    stream_of,
};

const MIB: usize = 1 << 20;

const METHODS: [WriteMethod; 5] = [
    WriteMethod::Auto,
    WriteMethod::Buffered,
    WriteMethod::WriteBehind,
    WriteMethod::Direct { in_flight: 1 },
    WriteMethod::Direct { in_flight: 4 },
];

/// Data and zeros in pieces of all sizes around those that matter.
fn mixed() -> Vec<u8> {
    let mut content = Vec::new();
    for (number, size) in [
        1,
        4095,
        4096,
        4097,
        16 << 10,
        64 << 10,
        100_000,
        256 << 10,
        MIB,
        700_001,
    ]
    .into_iter()
    .enumerate()
    {
        content.extend_from_slice(&noise(size, number as u64));
        content.resize(content.len() + size, 0);
    }
    content.extend_from_slice(b"end");
    content
}

#[test]
fn every_method_writes_the_same_bytes_from_every_kind_of_stream() {
    let dir = TempDir::new();
    let content = mixed();
    let stream = stream_of(&content);
    let in_file = dir.path("stream");
    std::fs::write(&in_file, &stream).unwrap();
    let target = dir.path("disk.raw");
    for method in METHODS {
        for kind in [TargetKind::Create, TargetKind::File] {
            for source in ["pipe", "socket", "file"] {
                let _ = std::fs::remove_file(&target);
                if kind == TargetKind::File {
                    std::fs::write(&target, noise(3 * MIB, 77)).unwrap();
                }
                let (reader, writer) = match source {
                    "pipe" => pipe(),
                    "socket" => sockets(),
                    _ => (
                        File::open(&in_file).unwrap(),
                        File::create("/dev/null").unwrap(),
                    ),
                };
                let options = ImportOptions {
                    method,
                    digest: true,
                    ..ImportOptions::new(reader.into(), kind, target.clone())
                };
                let summary = import_from(options, &stream, writer).unwrap();
                assert_eq!(summary.bytes, content.len() as u64);
                assert_eq!(summary.sha256, Some(sha256(&content)));
                let written = std::fs::read(&target).unwrap();
                assert!(written == content, "{method:?} {kind:?} from {source}");
            }
        }
    }
    assert_eq!(dir.names(), ["disk.raw", "stream"]);
}

#[test]
fn a_header_that_was_read_before_is_not_expected_again() {
    let dir = TempDir::new();
    let target = dir.path("disk.raw");
    let content = noise(100_000, 1);
    let (reader, writer) = pipe();
    let options = ImportOptions {
        size: Some(100_000),
        ..ImportOptions::new(reader.into(), TargetKind::Create, target.clone())
    };
    import_from(options, &content, writer).unwrap();
    assert!(std::fs::read(&target).unwrap() == content);
}

#[test]
fn awkward_sizes_arrive_whole() {
    let dir = TempDir::new();
    for size in [
        1,
        511,
        512,
        4095,
        4097,
        (256 << 10) - 1,
        256 << 10,
        (256 << 10) + 1,
        MIB + 513,
    ] {
        let target = dir.path(&format!("{size}.raw"));
        let content = noise(size, size as u64);
        import_bytes(TargetKind::Create, &target, &stream_of(&content), true).unwrap();
        assert!(std::fs::read(&target).unwrap() == content, "{size}");
        let mode = std::fs::metadata(&target).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "images are private");
    }
}

#[test]
fn a_stream_that_drips_is_put_together() {
    let dir = TempDir::new();
    let content = mixed();
    let stream = stream_of(&content[..300_000]);
    for piece in [1, 7, 4097, 65_537] {
        let target = dir.path(&format!("{piece}.raw"));
        // The first bytes one by one, then larger pieces, so that the test is quick.
        let slow = 2000.min(stream.len());
        let (reader, mut writer) = pipe();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for bytes in stream[..slow]
                    .chunks(piece)
                    .chain(stream[slow..].chunks(piece * 100))
                {
                    writer.write_all(bytes).unwrap();
                }
                drop(writer);
            });
            let options = ImportOptions::new(reader.into(), TargetKind::Create, target.clone());
            import(options, &Control::default()).unwrap();
        });
        assert!(
            std::fs::read(&target).unwrap() == content[..300_000],
            "pieces of {piece}"
        );
    }
}

#[test]
fn zeros_take_no_space_in_a_new_file() {
    let dir = TempDir::new();
    let target = dir.path("disk.raw");
    let mut content = vec![0; 16 * MIB];
    content[5 * MIB..5 * MIB + 4096].fill(1);
    for zeroed in [false, true] {
        let _ = std::fs::remove_file(&target);
        let summary =
            import_bytes(TargetKind::Create, &target, &stream_of(&content), zeroed).unwrap();
        assert!(summary.data_bytes <= 16 << 10, "{summary:?}");
        assert!(allocated(&target) <= 128 << 10, "{}", allocated(&target));
        assert!(std::fs::read(&target).unwrap() == content);
    }
}

#[test]
fn old_content_does_not_show_through() {
    let dir = TempDir::new();
    let content = mixed();
    let target = dir.path("disk.raw");
    // Shorter than the volume, of its length, and longer.
    for old in [content.len() / 2, content.len(), content.len() * 2] {
        for method in METHODS {
            std::fs::write(&target, noise(old, 5)).unwrap();
            let (reader, writer) = pipe();
            let options = ImportOptions {
                method,
                ..ImportOptions::new(reader.into(), TargetKind::File, target.clone())
            };
            import_from(options, &stream_of(&content), writer).unwrap();
            assert!(
                std::fs::read(&target).unwrap() == content,
                "{old} bytes before, {method:?}"
            );
        }
    }
}

#[test]
fn zeroing_old_content_frees_its_space() {
    let dir = TempDir::new();
    let target = dir.path("disk.raw");
    std::fs::write(&target, noise(16 * MIB, 5)).unwrap();
    let content = vec![0; 16 * MIB];
    let summary = import_bytes(TargetKind::File, &target, &stream_of(&content), false).unwrap();
    assert_eq!(summary.data_bytes, 0, "no zeros were written");
    assert!(allocated(&target) < MIB as u64);
    assert!(std::fs::read(&target).unwrap() == content);
}

#[test]
fn a_target_known_to_be_zeroed_is_left_alone_where_the_stream_is_zero() {
    // The flag is a promise of the caller; this shows that it is believed, and so why it must be true.
    let dir = TempDir::new();
    let target = dir.path("disk.raw");
    let old = noise(MIB, 5);
    std::fs::write(&target, &old).unwrap();
    import_bytes(TargetKind::File, &target, &stream_of(&vec![0; MIB]), true).unwrap();
    assert!(std::fs::read(&target).unwrap() == old);
}

#[test]
fn a_wrong_length_is_invalid_and_leaves_nothing() {
    let dir = TempDir::new();
    let content = noise(MIB, 1);
    let stream = stream_of(&content);
    let mut long = stream.clone();
    long.push(0);
    let mut lying = stream.clone();
    lying[..8].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
    for (stream, message) in [
        (&stream[..0], "stream ended after 0 of 8 header bytes"),
        (&stream[..7], "stream ended after 7 of 8 header bytes"),
        (
            &stream[..HEADER_BYTES],
            "stream ended after 0 of 1048576 bytes",
        ),
        (
            &stream[..700_000],
            "stream ended after 699992 of 1048576 bytes",
        ),
        (
            &stream[..stream.len() - 1],
            "stream ended after 1048575 of 1048576 bytes",
        ),
        (
            &long[..],
            "stream goes on after the announced 1048576 bytes",
        ),
        (&[0; 8], "stream announces an empty volume"),
        (&lying[..], "it is not in the format raw+size"),
    ] {
        let error =
            import_bytes(TargetKind::Create, &dir.path("disk.raw"), stream, true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.message().contains(message), "{error}");
        assert_eq!(dir.names(), Vec::<String>::new(), "after: {error}");
    }
}

#[test]
fn a_size_that_no_file_has_is_invalid() {
    let dir = TempDir::new();
    let stream = ((1_u64 << 62) - 4096).to_le_bytes();
    let error = import_bytes(TargetKind::Create, &dir.path("disk.raw"), &stream, true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(dir.names(), Vec::<String>::new());
}

#[test]
fn an_empty_size_given_by_the_caller_is_invalid() {
    let dir = TempDir::new();
    let (reader, _writer) = pipe();
    let options = ImportOptions {
        size: Some(0),
        ..ImportOptions::new(reader.into(), TargetKind::Create, dir.path("disk.raw"))
    };
    let error = import(options, &Control::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn a_taken_name_is_refused_before_the_stream_is_read() {
    let dir = TempDir::new();
    let target = dir.path("disk.raw");
    std::fs::write(&target, b"precious").unwrap();
    let (reader, writer) = pipe();
    let options = ImportOptions {
        size: Some(512),
        ..ImportOptions::new(reader.into(), TargetKind::Create, target.clone())
    };
    // The sender is silent: this returns only if the name is looked at first.
    let error = import(options, &Control::default()).unwrap_err();
    drop(writer);
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
}

#[test]
fn a_name_taken_meanwhile_is_not_taken_away() {
    let dir = TempDir::new();
    let target = dir.path("disk.raw");
    let (reader, mut writer) = pipe();
    let error = std::thread::scope(|scope| {
        let importing = scope.spawn(|| {
            let options = ImportOptions::new(reader.into(), TargetKind::Create, target.clone());
            import(options, &Control::default())
        });
        // More than a pipe holds: when all is written, the import is under way.
        let stream = stream_of(&noise(4 * MIB, 1));
        writer.write_all(&stream[..3 * MIB]).unwrap();
        std::fs::write(&target, b"precious").unwrap();
        writer.write_all(&stream[3 * MIB..]).unwrap();
        drop(writer);
        importing.join().unwrap().unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    assert_eq!(dir.names(), ["disk.raw"]);
}

#[test]
fn unfit_targets_are_refused() {
    let dir = TempDir::new();
    std::fs::write(dir.path("file"), b"x").unwrap();
    let stream = stream_of(&[1; 512]);
    for (kind, path, expected) in [
        (
            TargetKind::Create,
            dir.path("missing/disk.raw"),
            ErrorKind::Absent,
        ),
        (TargetKind::File, dir.path("missing.raw"), ErrorKind::Absent),
        (TargetKind::File, dir.dir().to_owned(), ErrorKind::Invalid),
        (TargetKind::File, "/dev/null".into(), ErrorKind::Invalid),
        (TargetKind::Device, dir.path("file"), ErrorKind::Invalid),
        (TargetKind::Device, "/dev/null".into(), ErrorKind::Invalid),
        (
            TargetKind::Create,
            "relative.raw".into(),
            ErrorKind::Invalid,
        ),
    ] {
        let error = import_bytes(kind, &path, &stream, true).unwrap_err();
        assert_eq!(
            error.kind(),
            expected,
            "{kind:?} {}: {error}",
            path.display()
        );
    }
    assert_eq!(std::fs::read(dir.path("file")).unwrap(), b"x");
    assert!(!Path::new("relative.raw").exists());
}

#[test]
fn a_read_only_file_is_refused() {
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        return; // Root may write it.
    }
    let dir = TempDir::new();
    let target = dir.path("disk.raw");
    std::fs::write(&target, b"old").unwrap();
    std::fs::set_permissions(&target, Permissions::from_mode(0o444)).unwrap();
    let error = import_bytes(TargetKind::File, &target, &stream_of(&[1; 512]), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
}

#[test]
fn a_limited_import_writes_the_same_bytes() {
    let dir = TempDir::new();
    let target = dir.path("disk.raw");
    let content = mixed();
    let (reader, writer) = pipe();
    let options = ImportOptions {
        rate: NonZeroU64::new(200_000_000),
        ..ImportOptions::new(reader.into(), TargetKind::Create, target.clone())
    };
    import_from(options, &stream_of(&content), writer).unwrap();
    assert!(std::fs::read(&target).unwrap() == content);
}

#[test]
fn a_killed_import_leaves_nothing() {
    let dir = TempDir::new();
    let target = dir.path("disk.raw");
    let (mut victim, mut stdin) = start_victim(&target);
    // More than the pipe holds, so the import is under way; and it cannot be done, because this is not all.
    stdin
        .write_all(&stream_of(&noise(8 * MIB, 1))[..6 * MIB])
        .unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert_eq!(dir.names(), Vec::<String>::new());
    // And the next attempt finds a free name.
    let content = noise(MIB, 2);
    import_bytes(TargetKind::Create, &target, &stream_of(&content), true).unwrap();
    assert!(std::fs::read(&target).unwrap() == content);
}

/// This test binary again, running only [`victim`].
fn start_victim(target: &Path) -> (std::process::Child, std::process::ChildStdin) {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--include-ignored", "--nocapture"])
        .env("BLOCKIO_TEST_VICTIM", target)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

#[test]
#[ignore = "the process that a_killed_import_leaves_nothing kills"]
fn victim() {
    if let Some(target) = std::env::var_os("BLOCKIO_TEST_VICTIM") {
        let stdin = rustix::io::dup(std::io::stdin()).unwrap();
        let _ = import(
            ImportOptions::new(stdin, TargetKind::Create, target.into()),
            &Control::default(),
        );
    }
}

#[test]
fn holes_of_an_old_file_and_its_tail_are_zero_afterwards() {
    let dir = TempDir::new();
    let target = dir.path("disk.raw");
    // Old data right up to an odd end: the part behind it, once the file is longer, must be zero too.
    sparse_file(
        &target,
        100_001,
        &[(0, &noise(10, 1)), (99_000, &noise(1001, 2))],
    );
    let content = vec![0; 300_000];
    import_bytes(TargetKind::File, &target, &stream_of(&content), false).unwrap();
    assert!(std::fs::read(&target).unwrap() == content);
    let file = OpenOptions::new().read(true).open(&target).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 300_000);
}
