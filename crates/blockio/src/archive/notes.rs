// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is worth a line in the task log but is no reason to stop.

use std::sync::{Mutex, PoisonError};

/// Lines that are kept; of the others only the number is.
const KEPT: usize = 100;

/// Remarks of all threads of an archive.
#[derive(Default)]
pub struct Notes(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    lines: Vec<String>,
    more: u64,
}

impl Notes {
    /// Adds a line.
    pub fn add(&self, line: impl FnOnce() -> String) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.lines.len() < KEPT {
            kept.lines.push(line());
        } else {
            kept.more += 1;
        }
    }

    /// All lines, and how many there were beyond them.
    pub fn into_lines(self) -> Vec<String> {
        let Kept { mut lines, more } = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        if more > 0 {
            lines.push(format!("... and {more} more of that kind"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_are_kept_and_the_others_are_counted() {
        let notes = Notes::default();
        for number in 0..KEPT + 7 {
            notes.add(|| number.to_string());
        }
        let lines = notes.into_lines();
        assert_eq!(lines.len(), KEPT + 1);
        assert_eq!(lines[KEPT], "... and 7 more of that kind");
    }
}
