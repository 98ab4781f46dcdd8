// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the integration tests share.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "tests stop by panicking"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use blockio::Result;
use blockio::stream::{Control, ExportOptions, ImportOptions, Summary, TargetKind};
use sha2::{Digest, Sha256};

/// A directory of its own, removed when dropped, also when the test panics.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// In memory, where there is such a place: for trees of hundreds of files.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            Self::below(memory)
        } else {
            Self::new()
        }
    }

    pub fn below(parent: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = parent.join(format!("blockio-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    pub fn dir(&self) -> &Path {
        &self.0
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Names of everything in it, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes that look random, the same for the same seed, and never zero.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3] | 1
        })
        .collect()
}

/// Creates a file of `size` bytes with `data` at the given offsets and holes elsewhere.
pub fn sparse_file(path: &Path, size: u64, data: &[(u64, &[u8])]) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (offset, bytes) in data {
        file.write_all_at(bytes, *offset).unwrap();
    }
    // So that the file system has decided where the holes are.
    file.sync_all().unwrap();
}

/// Bytes that a file occupies.
pub fn allocated(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().blocks() * 512
}

/// A `raw+size` stream of `payload`.
pub fn stream_of(payload: &[u8]) -> Vec<u8> {
    let mut stream = (payload.len() as u64).to_le_bytes().to_vec();
    stream.extend_from_slice(payload);
    stream
}

pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// A pipe as reader and writer.
pub fn pipe() -> (File, File) {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (File::from(reader), File::from(writer))
}

/// A connected pair of sockets as reader and writer.
pub fn sockets() -> (File, File) {
    let (reader, writer) = UnixStream::pair().unwrap();
    (
        File::from(OwnedFd::from(reader)),
        File::from(OwnedFd::from(writer)),
    )
}

/// Exports into `sink` while another thread reads `reader` to its end.
pub fn export_into(
    options: ExportOptions,
    mut reader: File,
    control: &Control,
) -> (Result<Summary>, Vec<u8>) {
    std::thread::scope(|scope| {
        let received = scope.spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let result = blockio::stream::export(options, control);
        (result, received.join().unwrap())
    })
}

/// Imports `stream`, which another thread sends through a pipe.
pub fn import_bytes(kind: TargetKind, path: &Path, stream: &[u8], zeroed: bool) -> Result<Summary> {
    let (reader, writer) = pipe();
    let options = ImportOptions {
        zeroed,
        ..ImportOptions::new(reader.into(), kind, path.to_owned())
    };
    import_from(options, stream, writer)
}

/// Imports while another thread writes `stream` into `writer` and closes it.
pub fn import_from(options: ImportOptions, stream: &[u8], mut writer: File) -> Result<Summary> {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // The importer may stop early; its result says why.
            let _ = writer.write_all(stream);
        });
        blockio::stream::import(options, &Control::default())
    })
}

/// Runs a program that must succeed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program)
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
