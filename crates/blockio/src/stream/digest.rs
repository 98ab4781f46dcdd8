// SPDX-License-Identifier: AGPL-3.0-or-later
//! SHA-256 of the payload on a thread of its own, in step with the copy.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use sha2::{Digest as _, Sha256};

use super::buffer::Buf;
use crate::{Error, Result};

/// Pieces that may wait to be hashed; each holds a buffer.
pub const QUEUE: usize = 2;

/// What to hash next.
enum Piece {
    Data(Arc<Buf>),
    Zeros(u64),
}

/// The hashing thread, or nothing when no digest was asked for.
pub struct Hashing<'scope> {
    running: Option<(SyncSender<Piece>, ScopedJoinHandle<'scope, String>)>,
}

impl<'scope> Hashing<'scope> {
    /// Starts the thread when `wanted`.
    pub fn start<'env>(scope: &'scope Scope<'scope, 'env>, wanted: bool) -> Result<Self> {
        if !wanted {
            return Ok(Self { running: None });
        }
        let (sender, receiver) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("blockio-digest".into())
            .spawn_scoped(scope, move || hash(&receiver))
            .map_err(|error| Error::internal(format!("start a thread: {error}")))?;
        Ok(Self {
            running: Some((sender, thread)),
        })
    }

    /// True when a digest was asked for.
    pub const fn wanted(&self) -> bool {
        self.running.is_some()
    }

    /// Hashes a filled buffer.
    pub fn data(&self, buffer: &Arc<Buf>) -> Result<()> {
        self.send(|| Piece::Data(Arc::clone(buffer)))
    }

    /// Hashes `length` zeros.
    pub fn zeros(&self, length: u64) -> Result<()> {
        self.send(|| Piece::Zeros(length))
    }

    fn send(&self, piece: impl FnOnce() -> Piece) -> Result<()> {
        match &self.running {
            None => Ok(()),
            Some((sender, _)) => sender
                .send(piece())
                .map_err(|_| Error::internal("the digest thread ended early")),
        }
    }

    /// The digest of everything, in lower-case hexadecimal.
    pub fn finish(self) -> Result<Option<String>> {
        self.running
            .map(|(sender, thread)| {
                drop(sender);
                thread
                    .join()
                    .map_err(|_| Error::internal("the digest thread failed"))
            })
            .transpose()
    }
}

fn hash(pieces: &Receiver<Piece>) -> String {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut hasher = Sha256::new();
    for piece in pieces {
        match piece {
            Piece::Data(buffer) => hasher.update(&**buffer),
            Piece::Zeros(mut left) => {
                while left > 0 {
                    let step = ZEROS.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    hasher.update(&ZEROS[..step]);
                    left -= step as u64;
                }
            }
        }
    }
    hasher
        .finalize()
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::super::buffer::Pool;
    use super::*;

    #[test]
    fn zeros_and_data_hash_like_the_bytes_they_stand_for() {
        let pool = Pool::new(1, 4096).unwrap();
        let digest = std::thread::scope(|scope| {
            let hashing = Hashing::start(scope, true).unwrap();
            let mut buffer = pool.take();
            buffer.space()[..3].copy_from_slice(b"abc");
            buffer.set_filled(0..3);
            hashing.data(&Arc::new(buffer)).unwrap();
            hashing.zeros(10_000).unwrap();
            hashing.finish().unwrap().unwrap()
        });
        let mut expected = Sha256::new();
        expected.update(b"abc");
        expected.update(vec![0; 10_000]);
        assert_eq!(digest, format!("{:x}", expected.finalize()));
    }

    #[test]
    fn a_known_value() {
        let digest =
            std::thread::scope(|scope| Hashing::start(scope, true).unwrap().finish().unwrap());
        assert_eq!(
            digest.unwrap(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
