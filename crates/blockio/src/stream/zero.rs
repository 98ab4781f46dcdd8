// SPDX-License-Identifier: AGPL-3.0-or-later
//! Finding zeros.

use std::ops::Range;

/// One step of the test: long enough for the vectoriser to unroll, short enough to stop early in data.
const STEP: usize = 256;

/// True when every byte is zero (also for an empty slice).
///
/// Written for the vectoriser: OR-ing a fixed number of bytes without a branch becomes a few wide loads,
/// and the one branch per step ends the test early in data.
#[must_use = "writing a zero block that could be skipped fills up thin storage"]
pub fn is_zero(bytes: &[u8]) -> bool {
    let mut steps = bytes.chunks_exact(STEP);
    for step in &mut steps {
        if step.iter().fold(0, |acc, byte| acc | byte) != 0 {
            return false;
        }
    }
    steps.remainder().iter().all(|byte| *byte == 0)
}

/// A run of blocks that are all zero or all not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Byte range within the buffer.
    pub range: Range<usize>,
    /// Every byte of the range is zero.
    pub zero: bool,
}

/// Splits a buffer into runs, testing blocks of `block` bytes (the last one may be shorter).
pub fn runs(bytes: &[u8], block: usize) -> impl Iterator<Item = Run> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == bytes.len() {
            return None;
        }
        let zero_at = |at: usize| is_zero(&bytes[at..bytes.len().min(at + block)]);
        let zero = zero_at(start);
        let mut end = start + block;
        while end < bytes.len() && zero_at(end) == zero {
            end += block;
        }
        let range = start..end.min(bytes.len());
        start = range.end;
        Some(Run { range, zero })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_single_byte_anywhere() {
        for length in [1, 7, 255, 256, 257, 511, 512, 4096, 4099] {
            let mut bytes = vec![0_u8; length];
            assert!(is_zero(&bytes), "{length}");
            for at in [0, length / 2, length - 1] {
                bytes[at] = 0x80;
                assert!(!is_zero(&bytes), "{length} at {at}");
                bytes[at] = 0;
            }
        }
        assert!(is_zero(&[]));
    }

    #[test]
    fn ignores_what_lies_outside_an_unaligned_slice() {
        let mut bytes = vec![1_u8; 1000];
        bytes[13..800].fill(0);
        assert!(is_zero(&bytes[13..800]));
        assert!(!is_zero(&bytes[12..800]));
        assert!(!is_zero(&bytes[13..801]));
    }

    #[test]
    fn runs_cover_the_buffer_without_gaps() {
        let mut bytes = vec![0_u8; 10 * 64 + 5];
        bytes[64] = 1;
        bytes[3 * 64 - 1] = 1;
        bytes[10 * 64 + 4] = 1;
        let found: Vec<_> = runs(&bytes, 64).map(|run| (run.range, run.zero)).collect();
        assert_eq!(
            found,
            vec![
                (0..64, true),
                (64..192, false),
                (192..640, true),
                (640..645, false)
            ]
        );
    }

    #[test]
    fn runs_of_an_empty_buffer() {
        assert_eq!(runs(&[], 64).count(), 0);
    }
}
