// SPDX-License-Identifier: AGPL-3.0-or-later
//! The first eight bytes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

mod common;

use std::fs::File;
use std::io::{Read, Write};

use blockio::stream::{Cancel, MAX_SIZE, read_header};
use blockio::{ErrorKind, Result};
use common::{pipe, sockets};

fn header_of(pieces: &[&[u8]]) -> Result<u64> {
    let (reader, mut writer) = pipe();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for piece in pieces {
                writer.write_all(piece).unwrap();
                // A chance for the reader to see the pieces one by one.
                std::thread::yield_now();
            }
        });
        read_header(reader.into(), &Cancel::default())
    })
}

#[test]
fn sizes_are_little_endian() {
    assert_eq!(header_of(&[&[0, 2, 0, 0, 0, 0, 0, 0]]), Ok(512));
    assert_eq!(
        header_of(&[&[1, 0, 0, 0, 0, 0, 0, 0]]),
        Ok(1),
        "not a multiple of 512"
    );
    assert_eq!(header_of(&[&MAX_SIZE.to_le_bytes()]), Ok(MAX_SIZE));
}

#[test]
fn short_reads_add_up() {
    let bytes = 0x0123_4567_89ab_u64.to_le_bytes();
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(header_of(&single), Ok(0x0123_4567_89ab));
}

#[test]
fn what_is_no_header_is_invalid() {
    for (bytes, message) in [
        (&[][..], "stream ended after 0 of 8 header bytes"),
        (&[1, 2, 3][..], "stream ended after 3 of 8 header bytes"),
        (&[0; 8][..], "stream announces an empty volume"),
        (b"<!DOCTYP", "it is not in the format raw+size"),
        (&[0xff; 8], "it is not in the format raw+size"),
        (
            &(MAX_SIZE + 1).to_le_bytes(),
            "it is not in the format raw+size",
        ),
    ] {
        let error = header_of(&[bytes]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.message().contains(message), "{error}");
    }
}

#[test]
fn what_follows_stays_in_the_stream() {
    for (mut reader, mut writer) in [pipe(), sockets()] {
        writer.write_all(b"\0\x10\0\0\0\0\0\0payload").unwrap();
        drop(writer);
        let clone = reader.try_clone().unwrap();
        assert_eq!(read_header(clone.into(), &Cancel::default()), Ok(4096));
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "payload");
    }
}

#[test]
fn a_descriptor_for_writing_is_an_error() {
    let file = File::create("/dev/null").unwrap();
    assert_eq!(
        read_header(file.into(), &Cancel::default())
            .unwrap_err()
            .kind(),
        ErrorKind::Invalid
    );
}
