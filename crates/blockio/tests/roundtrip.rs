// SPDX-License-Identifier: AGPL-3.0-or-later
//! Random images survive export and import by random methods.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

mod common;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use blockio::stream::{
    Control, ExportOptions, ImportOptions, ReadMethod, TargetKind, WriteMethod, export, import,
};
use common::{TempDir, noise, pipe, sockets};
use proptest::prelude::*;

/// Larger than two of the importer's buffers, so that runs cross their borders.
const LARGEST: u64 = 700_000;

#[derive(Clone, Debug)]
struct Image {
    size: u64,
    /// Offset, length, whether it is explicit zeros.
    extents: Vec<(u64, usize, bool)>,
}

fn image() -> impl Strategy<Value = Image> {
    (1..LARGEST).prop_flat_map(|size| {
        let near = prop_oneof![Just(0_u64), Just(1), Just(511), 0_u64..4096];
        let offset = (0..size, near).prop_map(|(at, near)| (at / 4096 * 4096).saturating_add(near));
        let extent = (offset, 1_usize..200_000, any::<bool>());
        prop::collection::vec(extent, 0..6).prop_map(move |extents| Image { size, extents })
    })
}

fn read_method() -> impl Strategy<Value = ReadMethod> {
    prop_oneof![
        Just(ReadMethod::Auto),
        Just(ReadMethod::Lend),
        Just(ReadMethod::Buffered),
        (1_usize..5).prop_map(|in_flight| ReadMethod::Direct { in_flight }),
    ]
}

fn write_method() -> impl Strategy<Value = WriteMethod> {
    prop_oneof![
        Just(WriteMethod::Auto),
        Just(WriteMethod::Buffered),
        Just(WriteMethod::WriteBehind),
        (1_usize..5).prop_map(|in_flight| WriteMethod::Direct { in_flight }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_out_is_what_went_in(
        image in image(),
        read in read_method(),
        write in write_method(),
        create in any::<bool>(),
        old in 0..LARGEST,
        socket in any::<bool>(),
        digest in any::<bool>(),
    ) {
        let dir = TempDir::new();
        let (source, target) = (dir.path("source.raw"), dir.path("target.raw"));
        let file = OpenOptions::new().create_new(true).write(true).open(&source).unwrap();
        file.set_len(image.size).unwrap();
        for (number, (offset, length, zero)) in image.extents.iter().enumerate() {
            let length = usize::try_from(image.size.saturating_sub(*offset)).unwrap().min(*length);
            let bytes = if *zero { vec![0; length] } else { noise(length, number as u64) };
            file.write_all_at(&bytes, *offset).unwrap();
        }
        let kind = if create { TargetKind::Create } else { TargetKind::File };
        if kind == TargetKind::File {
            std::fs::write(&target, noise(usize::try_from(old).unwrap(), 99)).unwrap();
        }

        let (reader, writer) = if socket { sockets() } else { pipe() };
        let (sent, received) = std::thread::scope(|scope| {
            let exporting = scope.spawn(|| {
                let options = ExportOptions { method: read, digest, ..ExportOptions::new(source.clone(), writer.into()) };
                export(options, &Control::default()).unwrap()
            });
            let options = ImportOptions { method: write, digest, ..ImportOptions::new(reader.into(), kind, target.clone()) };
            let received = import(options, &Control::default()).unwrap();
            (exporting.join().unwrap(), received)
        });

        prop_assert!(std::fs::read(&source).unwrap() == std::fs::read(&target).unwrap());
        prop_assert_eq!(sent.bytes, image.size);
        prop_assert_eq!(received.bytes, image.size);
        prop_assert_eq!(&sent.sha256, &received.sha256);
        prop_assert_eq!(sent.sha256.is_some(), digest);
    }
}
