// SPDX-License-Identifier: AGPL-3.0-or-later
//! Stopping at any moment: none of these tests would end if a blocked call could not be interrupted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use blockio::fs::{Prealloc, create_file};
use blockio::stream::{
    Cancel, Control, ExportOptions, ImportOptions, ReadMethod, Summary, TargetKind, export, import,
    read_header,
};
use blockio::{Error, Result};
use common::{TempDir, noise, pipe, sockets, sparse_file, stream_of};

/// Runs `work`, stops it when `ready` says that it has come to the interesting place, and returns its error.
fn stopped<T: Send>(
    cancel: &Cancel,
    work: impl FnOnce() -> Result<T> + Send,
    ready: impl Fn() -> bool,
) -> Error {
    std::thread::scope(|scope| {
        let working = scope.spawn(work);
        while !ready() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Likely to be inside the blocking call by now; if not yet, the signal is repeated, which is tested too.
        std::thread::sleep(Duration::from_millis(5));
        cancel.stop();
        working
            .join()
            .unwrap()
            .err()
            .expect("it was stopped before it could end")
    })
}

fn dense(dir: &TempDir) -> PathBuf {
    let path = dir.path("dense.raw");
    std::fs::write(&path, noise(8 << 20, 1)).unwrap();
    path
}

fn hole(dir: &TempDir) -> PathBuf {
    let path = dir.path("hole.raw");
    sparse_file(&path, 1 << 40, &[]);
    path
}

#[test]
fn an_export_blocked_by_a_receiver_that_does_not_read() {
    let dir = TempDir::new();
    let methods = [
        ReadMethod::Lend,
        ReadMethod::Buffered,
        ReadMethod::Direct { in_flight: 4 },
    ];
    for source in [dense(&dir), hole(&dir)] {
        for method in methods {
            for (reader, writer) in [pipe(), sockets()] {
                let control = Control::default();
                let options = ExportOptions {
                    method,
                    digest: method != ReadMethod::Lend,
                    ..ExportOptions::new(source.clone(), writer.into())
                };
                // The meter would not do: a call that is blocked half-way has not counted anything yet.
                let begun = || (&reader).read_exact(&mut [0; 9]).is_ok();
                let error = stopped(&control.cancel, || export(options, &control), begun);
                assert!(error.is_cancelled(), "{error}");
            }
        }
    }
}

#[test]
fn an_export_blocked_on_a_nonblocking_pipe() {
    let dir = TempDir::new();
    let (_reader, writer) = pipe();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let control = Control::default();
    let options = ExportOptions::new(dense(&dir), writer.into());
    let error = stopped(
        &control.cancel,
        || export(options, &control),
        || control.meter.bytes() > 0,
    );
    assert!(error.is_cancelled(), "{error}");
}

/// An import of eight megabytes from a sender that falls silent after `sent` bytes of the stream.
fn silent_after(sent: usize, (reader, mut writer): (File, File)) -> (Error, Vec<String>) {
    let dir = TempDir::new();
    let control = Control::default();
    let options = ImportOptions {
        digest: true,
        ..ImportOptions::new(reader.into(), TargetKind::Create, dir.path("disk.raw"))
    };
    let stream = stream_of(&noise(8 << 20, 1));
    let error = std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            writer.write_all(&stream[..sent]).unwrap();
            writer
        });
        let wanted = sent.saturating_sub(8) as u64;
        let error = stopped(
            &control.cancel,
            || import(options, &control),
            || control.meter.bytes() >= wanted,
        );
        drop(writer.join().unwrap());
        error
    });
    (error, dir.names())
}

#[test]
fn an_import_blocked_by_a_silent_sender_leaves_nothing() {
    // In the header, right behind it, in the middle, and waiting for the end of a complete stream.
    for sent in [0, 3, 8, 3_000_000, 8 + (8 << 20)] {
        for ends in [pipe(), sockets()] {
            let (error, left) = silent_after(sent, ends);
            assert!(error.is_cancelled(), "after {sent} bytes: {error}");
            assert_eq!(left, Vec::<String>::new(), "after {sent} bytes");
        }
    }
}

#[test]
fn a_header_that_never_comes() {
    let (reader, _writer) = pipe();
    let cancel = Cancel::default();
    let error = stopped(&cancel, || read_header(reader.into(), &cancel), || true);
    assert!(error.is_cancelled());
}

#[test]
fn a_stream_held_back_by_its_limit() {
    let dir = TempDir::new();
    let (mut reader, writer) = pipe();
    let control = Control::default();
    let options = ExportOptions {
        rate: NonZeroU64::new(1),
        ..ExportOptions::new(dense(&dir), writer.into())
    };
    let drain =
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()).unwrap());
    let error = stopped(
        &control.cancel,
        || export(options, &control),
        || control.meter.bytes() > 0,
    );
    assert!(error.is_cancelled());
    drain.join().unwrap();
}

#[test]
fn stopped_before_it_began() {
    let dir = TempDir::new();
    let control = Control::default();
    control.cancel.stop();
    let (mut reader, writer) = pipe();
    let error = export(ExportOptions::new(dense(&dir), writer.into()), &control).unwrap_err();
    assert!(error.is_cancelled());
    let mut received = Vec::new();
    reader.read_to_end(&mut received).unwrap();
    assert!(received.is_empty());
    let error = create_file(
        &dir.path("new.raw"),
        1 << 30,
        Prealloc::Full,
        0o600,
        &control.cancel,
    )
    .unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(dir.names(), ["dense.raw"]);
}

#[test]
fn stopping_twice_and_from_many_threads_is_stopping_once() {
    let (reader, _writer) = pipe();
    let cancel = Cancel::default();
    let result: Result<u64> = std::thread::scope(|scope| {
        let working = scope.spawn(|| read_header(reader.into(), &cancel));
        for _ in 0..4 {
            scope.spawn(|| {
                cancel.stop();
                cancel.stop();
            });
        }
        working.join().unwrap()
    });
    assert!(result.unwrap_err().is_cancelled());
}

#[test]
fn the_signal_is_never_missed() {
    // Races the switch against all the places between two system calls.
    for round in 0..300_u32 {
        let (reader, writer) = pipe();
        let cancel = Cancel::default();
        let result = std::thread::scope(|scope| {
            let working = scope.spawn(|| read_header(reader.into(), &cancel));
            for _ in 0..round * 20 {
                std::hint::spin_loop();
            }
            cancel.stop();
            working.join().unwrap()
        });
        assert!(result.unwrap_err().is_cancelled());
        drop(writer);
    }
}

#[test]
fn one_stream_stopped_does_not_disturb_another() {
    let dir = TempDir::new();
    let (mut reader, writer) = pipe();
    let content = noise(8 << 20, 1);
    let source = dense(&dir);
    std::thread::scope(|scope| {
        let exporting = scope.spawn(|| -> Result<Summary> {
            export(
                ExportOptions::new(source, writer.into()),
                &Control::default(),
            )
        });
        let mut received = vec![0; 1_000_000];
        reader.read_exact(&mut received).unwrap();
        for _ in 0..20 {
            let (silent, _writer) = pipe();
            let cancel = Cancel::default();
            stopped(&cancel, || read_header(silent.into(), &cancel), || true);
        }
        reader.read_to_end(&mut received).unwrap();
        exporting.join().unwrap().unwrap();
        assert!(received == stream_of(&content));
    });
}
