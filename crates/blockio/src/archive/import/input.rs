// SPDX-License-Identifier: AGPL-3.0-or-later
//! Reading the bytes of an archive.

use crate::archive::header::BLOCK;
use crate::{Error, Result};

/// Bytes that are asked for at a time.
const BUFFER: usize = 256 << 10;

/// Where bytes come from: fills a part of the buffer and returns its length, 0 at the end.
pub type Source<'a> = dyn FnMut(&mut [u8]) -> Result<usize> + 'a;

/// A buffered archive.
pub struct Input<'s, 'a> {
    source: &'s mut Source<'a>,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    /// Bytes handed on.
    total: u64,
}

impl<'s, 'a> Input<'s, 'a> {
    pub fn new(source: &'s mut Source<'a>) -> Self {
        Self {
            source,
            buffer: vec![0; BUFFER],
            at: 0,
            filled: 0,
            total: 0,
        }
    }

    /// Up to `most` bytes; none at the end of the stream.
    pub fn some(&mut self, most: u64) -> Result<&[u8]> {
        if self.at == self.filled {
            self.at = 0;
            self.filled = 0;
            self.filled = (self.source)(&mut self.buffer)?;
        }
        let there = self.filled - self.at;
        let length = usize::try_from(most).unwrap_or(there).min(there);
        let from = self.at;
        self.at += length;
        self.total += length as u64;
        Ok(&self.buffer[from..from + length])
    }

    /// As [`some`](Self::some), where the stream must not end.
    pub fn more(&mut self, most: u64) -> Result<&[u8]> {
        // The borrow checker does not see that an error ends it.
        if self.at == self.filled {
            self.at = 0;
            self.filled = 0;
            self.filled = (self.source)(&mut self.buffer)?;
            if self.filled == 0 {
                return Err(self.ended());
            }
        }
        self.some(most)
    }

    /// The next block; `None` at the end of the stream.
    pub fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut got = 0;
        while got < BLOCK {
            let some = self.some((BLOCK - got) as u64)?;
            if some.is_empty() {
                return if got == 0 {
                    Ok(None)
                } else {
                    Err(self.ended())
                };
            }
            block[got..got + some.len()].copy_from_slice(some);
            got += some.len();
        }
        Ok(Some(block))
    }

    /// Appends `length` bytes to `out`, whose memory grows with what really arrives.
    pub fn read_to(&mut self, out: &mut Vec<u8>, length: u64) -> Result<()> {
        let mut left = length;
        while left > 0 {
            let more = self.more(left)?;
            left -= more.len() as u64;
            out.extend_from_slice(more);
        }
        Ok(())
    }

    pub fn skip(&mut self, length: u64) -> Result<()> {
        let mut left = length;
        while left > 0 {
            left -= self.more(left)?.len() as u64;
        }
        Ok(())
    }

    /// Reads to the end of the stream, where only zeros may be.
    pub fn finish(&mut self) -> Result<()> {
        loop {
            let some = self.some(u64::MAX)?;
            if some.is_empty() {
                return Ok(());
            }
            if !crate::stream::is_zero(some) {
                return Err(Error::invalid(
                    "read archive: more follows after its end; check the format and the sender's log",
                ));
            }
        }
    }

    /// The error for a stream that ends within an archive.
    pub fn ended(&self) -> Error {
        Error::invalid(format!(
            "read archive: the stream ended after {} bytes, before the archive's end; see the sender's log",
            self.total
        ))
    }
}
