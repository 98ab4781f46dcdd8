// SPDX-License-Identifier: AGPL-3.0-or-later
//! Exports: every way to read, every kind of sink, and what can go wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

mod common;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use blockio::ErrorKind;
use blockio::stream::{Control, ExportOptions, HEADER_BYTES, ReadMethod, export};
use common::{
    TempDir, allocated, export_into, noise, pipe, sha256, sockets, sparse_file, stream_of,
};

const MIB: usize = 1 << 20;

const METHODS: [ReadMethod; 5] = [
    ReadMethod::Auto,
    ReadMethod::Lend,
    ReadMethod::Buffered,
    ReadMethod::Direct { in_flight: 1 },
    ReadMethod::Direct { in_flight: 4 },
];

/// A file with holes in front, between and behind odd pieces of data.
fn holey(dir: &TempDir) -> (PathBuf, Vec<u8>) {
    let path = dir.path("holey.raw");
    let size = 5 * MIB + 1234;
    let pieces = [
        (300_000, noise(100_001, 1)),
        (2 * MIB, noise(MIB + 7, 2)),
        (4 * MIB - 1, noise(2, 3)),
    ];
    let mut content = vec![0; size];
    for (offset, bytes) in &pieces {
        content[*offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    let data: Vec<_> = pieces
        .iter()
        .map(|(offset, bytes)| (*offset as u64, bytes.as_slice()))
        .collect();
    sparse_file(&path, size as u64, &data);
    (path, content)
}

#[test]
fn every_method_sends_the_same_bytes_to_every_kind_of_sink() {
    let dir = TempDir::new();
    let (source, content) = holey(&dir);
    for method in METHODS {
        for (name, (reader, writer)) in [("pipe", pipe()), ("socket", sockets())] {
            for digest in [false, true] {
                let (reader, writer) = (reader.try_clone().unwrap(), writer.try_clone().unwrap());
                let options = ExportOptions {
                    method,
                    digest,
                    ..ExportOptions::new(source.clone(), writer.into())
                };
                let received = std::thread::scope(|scope| {
                    let receiver = scope.spawn(|| {
                        let mut bytes = vec![0; content.len() + HEADER_BYTES];
                        (&reader).read_exact(&mut bytes).unwrap();
                        bytes
                    });
                    let summary = export(options, &Control::default()).unwrap();
                    assert_eq!(summary.bytes, content.len() as u64);
                    assert!(
                        summary.data_bytes < summary.bytes / 2,
                        "holes were read: {summary:?}"
                    );
                    if digest {
                        assert_eq!(summary.sha256, Some(sha256(&content)));
                    }
                    receiver.join().unwrap()
                });
                assert!(
                    received == stream_of(&content),
                    "{method:?} to {name}, digest {digest}"
                );
            }
        }
    }
}

#[test]
fn nothing_follows_the_payload() {
    let dir = TempDir::new();
    for (number, size) in [1, 511, 512, 4095, 4096, 4097, 512 << 10, MIB + 3]
        .into_iter()
        .enumerate()
    {
        let source = dir.path(&format!("{size}.raw"));
        let content = noise(size, number as u64);
        std::fs::write(&source, &content).unwrap();
        for method in METHODS {
            let (reader, writer) = pipe();
            let options = ExportOptions {
                method,
                ..ExportOptions::new(source.clone(), writer.into())
            };
            let (result, received) = export_into(options, reader, &Control::default());
            assert_eq!(result.unwrap().bytes, size as u64);
            assert!(
                received == stream_of(&content),
                "{size} bytes by {method:?}"
            );
        }
    }
}

#[test]
fn a_hole_of_gigabytes_costs_no_reads() {
    let dir = TempDir::new();
    let source = dir.path("hole.raw");
    let data = noise(4096, 1);
    sparse_file(&source, 3 << 30, &[(2 << 30, &data)]);
    let (mut reader, writer) = pipe();
    std::thread::scope(|scope| {
        scope.spawn(move || std::io::copy(&mut reader, &mut std::io::sink()).unwrap());
        let summary = export(
            ExportOptions::new(source, writer.into()),
            &Control::default(),
        )
        .unwrap();
        assert_eq!(summary.bytes, 3 << 30);
        // File systems allocate in blocks of up to 64 KiB.
        assert!(summary.data_bytes <= 64 << 10, "{summary:?}");
    });
}

#[test]
fn a_file_sink_keeps_the_holes() {
    let dir = TempDir::new();
    let (source, content) = holey(&dir);
    let sink = dir.path("stream");
    let file = File::create(&sink).unwrap();
    let summary = export(ExportOptions::new(source, file.into()), &Control::default()).unwrap();
    assert_eq!(summary.bytes, content.len() as u64);
    assert!(std::fs::read(&sink).unwrap() == stream_of(&content));
    assert!(
        allocated(&sink) < 2 * MIB as u64,
        "{} bytes allocated",
        allocated(&sink)
    );
}

#[test]
fn old_content_of_a_file_sink_does_not_show_through_holes() {
    let dir = TempDir::new();
    let (source, content) = holey(&dir);
    let sink = dir.path("stream");
    let old = noise(8 * MIB, 9);
    std::fs::write(&sink, &old).unwrap();
    let file = OpenOptions::new().write(true).open(&sink).unwrap();
    export(ExportOptions::new(source, file.into()), &Control::default()).unwrap();
    let expected = stream_of(&content);
    let written = std::fs::read(&sink).unwrap();
    assert!(written[..expected.len()] == expected);
    assert!(
        written[expected.len()..] == old[expected.len()..],
        "what lies behind is not ours"
    );
}

#[test]
fn an_appending_file_sink_gets_all_of_it_at_its_end() {
    let dir = TempDir::new();
    let (source, content) = holey(&dir);
    for before in [&b""[..], b"before"] {
        let sink = dir.path("stream");
        std::fs::write(&sink, before).unwrap();
        let file = OpenOptions::new().append(true).open(&sink).unwrap();
        export(
            ExportOptions::new(source.clone(), file.into()),
            &Control::default(),
        )
        .unwrap();
        assert!(std::fs::read(&sink).unwrap() == [before, &stream_of(&content)].concat());
    }
}

#[test]
fn two_exports_into_one_file_follow_each_other() {
    let dir = TempDir::new();
    let (source, content) = holey(&dir);
    let sink = dir.path("streams");
    let file = File::create(&sink).unwrap();
    for _ in 0..2 {
        let sink = file.try_clone().unwrap();
        export(
            ExportOptions::new(source.clone(), sink.into()),
            &Control::default(),
        )
        .unwrap();
    }
    let expected = [stream_of(&content), stream_of(&content)].concat();
    assert!(std::fs::read(&sink).unwrap() == expected);
}

#[test]
fn a_nonblocking_sink_is_waited_for() {
    let dir = TempDir::new();
    let (source, content) = holey(&dir);
    for (reader, writer) in [pipe(), sockets()] {
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        for method in METHODS {
            let options = ExportOptions {
                method,
                ..ExportOptions::new(source.clone(), writer.try_clone().unwrap().into())
            };
            std::thread::scope(|scope| {
                let receiver = scope.spawn(|| {
                    let mut bytes = vec![0; content.len() + HEADER_BYTES];
                    (&reader).read_exact(&mut bytes).unwrap();
                    bytes
                });
                export(options, &Control::default()).unwrap();
                assert!(
                    receiver.join().unwrap() == stream_of(&content),
                    "{method:?}"
                );
            });
        }
    }
}

#[test]
fn a_receiver_that_goes_away_is_an_error() {
    let dir = TempDir::new();
    let dense = dir.path("dense.raw");
    std::fs::write(&dense, noise(4 * MIB, 1)).unwrap();
    let hole = dir.path("hole.raw");
    sparse_file(&hole, 64 << 20, &[]);
    for source in [&dense, &hole] {
        for method in METHODS {
            for (mut reader, writer) in [pipe(), sockets()] {
                let options = ExportOptions {
                    method,
                    ..ExportOptions::new(source.clone(), writer.into())
                };
                let control = Control::default();
                let error = std::thread::scope(|scope| {
                    scope.spawn(move || reader.read_exact(&mut vec![0; 100_000]).unwrap());
                    export(options, &control).unwrap_err()
                });
                assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
                assert!(
                    error
                        .message()
                        .starts_with("write stream: the receiver went away after"),
                    "{error}"
                );
                assert!(control.meter.bytes() < 64 << 20);
            }
        }
    }
}

#[test]
fn a_source_that_shrinks_is_an_error_and_never_zeros() {
    let dir = TempDir::new();
    let size = 32 * MIB;
    let dense = noise(size, 1);
    for method in METHODS {
        for data in [true, false] {
            let source = dir.path("shrinking.raw");
            if data {
                std::fs::write(&source, &dense).unwrap();
            } else {
                sparse_file(
                    &source,
                    size as u64,
                    &[(0, &noise(4096, 1)), (31 << 20, &noise(4096, 2))],
                );
            }
            let (mut reader, writer) = pipe();
            let options = ExportOptions {
                method,
                ..ExportOptions::new(source.clone(), writer.into())
            };
            let (result, received) = std::thread::scope(|scope| {
                let exporting = scope.spawn(|| export(options, &Control::default()));
                // The pipe is full by now, or will be: the export cannot have come further than a few megabytes.
                let mut received = vec![0; MIB];
                reader.read_exact(&mut received).unwrap();
                let file = OpenOptions::new().write(true).open(&source).unwrap();
                file.set_len(20 * MIB as u64).unwrap();
                reader.read_to_end(&mut received).unwrap();
                (exporting.join().unwrap(), received.len())
            });
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{method:?}: {error}");
            assert!(error.message().contains("truncated"), "{error}");
            assert!(
                received < size + HEADER_BYTES,
                "{method:?} sent {received} bytes"
            );
        }
    }
}

#[test]
fn a_source_that_shrinks_behind_the_last_read_is_an_error_too() {
    // What was read ahead is still sent whole, but a volume that is being changed is no volume to copy.
    let dir = TempDir::new();
    for method in [ReadMethod::Buffered, ReadMethod::Direct { in_flight: 2 }] {
        let source = dir.path("shrinking.raw");
        std::fs::write(&source, noise(MIB + MIB / 2, 1)).unwrap();
        let (mut reader, writer) = pipe();
        let options = ExportOptions {
            method,
            ..ExportOptions::new(source.clone(), writer.into())
        };
        let error = std::thread::scope(|scope| {
            let exporting = scope.spawn(|| export(options, &Control::default()));
            // Two thirds fill the pipe, the rest is read ahead. Should it not be yet, the other check finds out.
            reader.read_exact(&mut [0; HEADER_BYTES]).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            OpenOptions::new()
                .write(true)
                .open(&source)
                .unwrap()
                .set_len(4096)
                .unwrap();
            std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
            exporting.join().unwrap().unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::Invalid, "{method:?}: {error}");
        assert!(error.message().contains("truncated"), "{error}");
    }
}

#[test]
fn a_source_that_grows_keeps_the_size_it_announced() {
    let dir = TempDir::new();
    let source = dir.path("growing.raw");
    let content = noise(4 * MIB, 1);
    std::fs::write(&source, &content).unwrap();
    let (mut reader, writer) = pipe();
    let received = std::thread::scope(|scope| {
        let exporting = scope.spawn(|| {
            export(
                ExportOptions::new(source.clone(), writer.into()),
                &Control::default(),
            )
            .unwrap();
        });
        let mut received = vec![0; 100_000];
        reader.read_exact(&mut received).unwrap();
        let file = OpenOptions::new().write(true).open(&source).unwrap();
        file.write_all_at(b"more", 4 * MIB as u64).unwrap();
        reader.read_to_end(&mut received).unwrap();
        exporting.join().unwrap();
        received
    });
    assert!(received == stream_of(&content));
}

#[test]
fn unfit_sources_are_refused_before_anything_is_sent() {
    let dir = TempDir::new();
    let fifo = dir.path("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
    let empty = dir.path("empty.raw");
    std::fs::write(&empty, b"").unwrap();
    for (source, kind) in [
        (dir.path("missing.raw"), ErrorKind::Absent),
        (dir.dir().to_owned(), ErrorKind::Invalid),
        (fifo, ErrorKind::Invalid),
        (empty, ErrorKind::Invalid),
    ] {
        let (reader, writer) = pipe();
        let options = ExportOptions::new(source.clone(), writer.into());
        let (result, received) = export_into(options, reader, &Control::default());
        let error = result.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.message().contains(source.to_str().unwrap()),
            "{error}"
        );
        assert!(received.is_empty());
    }
}

#[test]
fn a_full_disk_is_no_space() {
    let dir = TempDir::new();
    let source = dir.path("data.raw");
    std::fs::write(&source, noise(100_000, 1)).unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = export(ExportOptions::new(source, full.into()), &Control::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
}

#[test]
fn a_limited_export_sends_the_same_bytes() {
    let dir = TempDir::new();
    let (source, content) = holey(&dir);
    for method in METHODS {
        let (reader, writer) = pipe();
        let options = ExportOptions {
            method,
            rate: NonZeroU64::new(200_000_000),
            ..ExportOptions::new(source.clone(), writer.into())
        };
        let (result, received) = export_into(options, reader, &Control::default());
        result.unwrap();
        assert!(received == stream_of(&content), "{method:?}");
    }
}

#[test]
fn the_meter_counts_what_was_sent() {
    let dir = TempDir::new();
    let (source, content) = holey(&dir);
    let control = Control::default();
    let (reader, writer) = pipe();
    let (result, _) = export_into(ExportOptions::new(source, writer.into()), reader, &control);
    assert_eq!(control.meter.bytes(), content.len() as u64);
    assert_eq!(control.meter.data_bytes(), result.unwrap().data_bytes);
}

#[test]
fn the_position_of_the_callers_descriptor_does_not_matter() {
    // Exports read by offset; a source that somebody else has open and moved must not confuse them.
    let dir = TempDir::new();
    let (source, content) = holey(&dir);
    let mut other = File::open(&source).unwrap();
    other.seek(SeekFrom::End(0)).unwrap();
    let (reader, writer) = pipe();
    let through_proc = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&other));
    let options = ExportOptions::new(through_proc.into(), writer.into());
    let (result, received) = export_into(options, reader, &Control::default());
    result.unwrap();
    assert!(received == stream_of(&content));
    other.flush().unwrap();
}
