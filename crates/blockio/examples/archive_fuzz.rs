// SPDX-License-Identifier: AGPL-3.0-or-later
//! Unpacks broken archives until the time is over: `archive_fuzz SECONDS [SEED]`. What fails names its seed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that is run by hand stops by panicking, and says how far it came"
)]

#[path = "../tests/common/archives.rs"]
mod archives;

use std::time::{Duration, Instant};

use archives::{Random, damaged};
use blockio::archive::{remove_tree, unpack};
use blockio::stream::{Cancel, Control};

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u64>().unwrap());
    let end = Instant::now() + Duration::from_secs(arguments.next().unwrap_or(600));
    let mut seed = arguments.next().unwrap_or(1_000);
    let parent =
        std::path::Path::new("/dev/shm").join(format!("blockio-fuzz-{}", std::process::id()));
    std::fs::create_dir(&parent).unwrap();
    let target = parent.join("target");
    let (mut count, mut accepted) = (0_u64, 0_u64);
    while Instant::now() < end {
        std::fs::create_dir(&target).unwrap();
        let bytes = damaged(&mut Random::new(seed));
        let mut rest = bytes.as_slice();
        let mut source = |buffer: &mut [u8]| {
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            rest = &rest[length..];
            Ok(length)
        };
        match unpack(&mut source, &target, &Control::default()) {
            Ok(()) => accepted += 1,
            Err(error) => assert!(
                error.kind() != blockio::ErrorKind::Internal,
                "seed {seed}: {error}"
            ),
        }
        let names = std::fs::read_dir(&parent).unwrap().count();
        assert!(names == 1, "seed {seed}: something is beside the target");
        remove_tree(&target, &Cancel::default()).unwrap();
        count += 1;
        seed += 1;
    }
    std::fs::remove_dir(&parent).unwrap();
    println!("{count} archives, {accepted} of them accepted, no failure; next seed {seed}");
}
