// SPDX-License-Identifier: AGPL-3.0-or-later
//! Keeping a large sequential write from filling the page cache with dirty pages.

use std::os::fd::BorrowedFd;

use rustix::fs::Advice;

use crate::sys;

/// Bytes after which write-back starts; up to twice as many are dirty.
const WINDOW: u64 = 8 << 20;

/// Follows a sequential writer: starts the write-back of each window when it is full, and waits for the window
/// before that, whose pages are then dropped.
pub struct WriteBehind<'a> {
    file: BorrowedFd<'a>,
    /// Everything before is written back.
    clean: u64,
    /// Everything before is written or being written back.
    started: u64,
}

impl<'a> WriteBehind<'a> {
    /// Follows the writes to `file`.
    pub fn new(file: BorrowedFd<'a>) -> Self {
        Self {
            file,
            clean: 0,
            started: 0,
        }
    }

    /// Everything before `offset` has been written. Write-back is help, not duty: errors are those of the final sync.
    pub fn reached(&mut self, offset: u64) {
        if offset < self.started + WINDOW {
            return;
        }
        let _ = sys::write_back(self.file, self.started, offset - self.started, false);
        if self.clean < self.started {
            let length = self.started - self.clean;
            let _ = sys::write_back(self.file, self.clean, length, true);
            let _ = rustix::fs::fadvise(
                self.file,
                self.clean,
                std::num::NonZeroU64::new(length),
                Advice::DontNeed,
            );
        }
        self.clean = self.started;
        self.started = offset;
    }
}
