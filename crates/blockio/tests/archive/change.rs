// SPDX-License-Identifier: AGPL-3.0-or-later
//! Trees that change while they are read, and streams that are stopped.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use blockio::ErrorKind;
use blockio::archive::{ExportOptions, ImportOptions, export, import};
use blockio::stream::Control;

use super::common::{TempDir, noise, pipe};
use super::gnu::{empty, exported, imported, untarred};

#[test]
fn files_that_come_go_and_shrink_leave_a_valid_stream() {
    let dir = TempDir::new();
    let source = dir.path("source");
    empty(&source);
    for number in 0..400 {
        std::fs::write(source.join(format!("f{number}")), noise(number * 977, 1)).unwrap();
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                let path = source.join(format!("f{}", round * 7 % 400));
                match round % 4 {
                    0 => drop(std::fs::remove_file(path)),
                    1 => drop(std::fs::write(path, noise(200_000, round))),
                    2 => drop(
                        OpenOptions::new()
                            .write(true)
                            .open(path)
                            .and_then(|file| file.set_len(round % 5000)),
                    ),
                    _ => drop(
                        OpenOptions::new()
                            .write(true)
                            .open(path)
                            .and_then(|file| file.write_at(b"x", 400_000)),
                    ),
                }
            }
        });
        let streams: Vec<_> = (0..6).map(|_| exported(&source)).collect();
        stop.store(true, Ordering::Relaxed);
        for (number, (_, stream)) in streams.iter().enumerate() {
            imported(empty(&dir.path(&format!("o{number}"))), stream).unwrap();
            untarred(empty(&dir.path(&format!("g{number}"))), stream);
        }
    });
}

#[test]
fn sockets_are_left_out_with_a_note() {
    let dir = TempDir::new();
    let source = dir.path("source");
    empty(&source);
    let _listener = UnixListener::bind(source.join("socket")).unwrap();
    let (summary, stream) = exported(&source);
    assert_eq!(summary.members, 1);
    assert_eq!(summary.notes, ["./socket: a socket; left out"]);
    imported(empty(&dir.path("target")), &stream).unwrap();
    assert!(!dir.path("target").join("socket").exists());
}

#[test]
fn a_receiver_that_goes_away_is_an_error() {
    let dir = TempDir::new();
    let source = dir.path("source");
    empty(&source);
    for number in 0..200 {
        std::fs::write(source.join(format!("f{number}")), noise(50_000, 1)).unwrap();
    }
    let (reader, writer) = pipe();
    drop(reader);
    let options = ExportOptions {
        source,
        sink: writer.into(),
        rate: None,
    };
    let error = export(options, &Control::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}

#[test]
fn both_ends_can_be_stopped_while_they_wait() {
    let dir = TempDir::new();
    let source = dir.path("source");
    empty(&source);
    for number in 0..200 {
        std::fs::write(source.join(format!("f{number}")), noise(50_000, 1)).unwrap();
    }
    let (reader, writer) = pipe();
    let control = Control::default();
    std::thread::scope(|scope| {
        let options = ExportOptions {
            source: source.clone(),
            sink: writer.into(),
            rate: None,
        };
        let working = scope.spawn(|| export(options, &control));
        std::thread::sleep(std::time::Duration::from_millis(100));
        control.cancel.stop();
        assert!(working.join().unwrap().unwrap_err().is_cancelled());
    });
    drop(reader);

    let (reader, _writer) = pipe();
    let target = dir.path("target");
    empty(&target);
    let control = Control::default();
    std::thread::scope(|scope| {
        let options = ImportOptions {
            stream: reader.into(),
            size: Some(0),
            target,
            rate: None,
        };
        let working = scope.spawn(|| import(options, &control));
        std::thread::sleep(std::time::Duration::from_millis(100));
        control.cancel.stop();
        assert!(working.join().unwrap().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_size_is_unsupported_and_a_missing_directory_is_absent() {
    let dir = TempDir::new();
    let target = dir.path("target");
    let mut stream = 4096_u64.to_le_bytes().to_vec();
    stream.extend_from_slice(&[0; 10_240]);
    let error = imported(empty(&target), &stream).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let (_reader, writer) = pipe();
    let options = ExportOptions {
        source: dir.path("nothing"),
        sink: writer.into(),
        rate: None,
    };
    assert_eq!(
        export(options, &Control::default()).unwrap_err().kind(),
        ErrorKind::Absent
    );
}
