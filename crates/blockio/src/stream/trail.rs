// SPDX-License-Identifier: AGPL-3.0-or-later
//! Reading a large file through the page cache without leaving it there.

use std::num::NonZeroU64;

use rustix::fs::Advice;

use super::source::Source;

/// Bytes after which read pages are dropped.
const STEP: u64 = 8 << 20;
/// What may still be on its way: pages in pipes and buffers cannot be dropped.
const LAG: u64 = 8 << 20;

/// Follows the reader of a file that was not cached before. Errors are not told: this is courtesy, not duty.
pub struct Trail<'a> {
    source: &'a Source,
    /// Everything before is dropped, `None` when nothing is to be.
    dropped: Option<u64>,
}

impl<'a> Trail<'a> {
    /// Follows when the source is a file that is not in the page cache now; what is there stays.
    pub fn new(source: &'a Source) -> Self {
        let dropped = (!source.is_cached()).then_some(0);
        Self { source, dropped }
    }

    /// Everything before `offset` was read.
    pub fn reached(&mut self, offset: u64) {
        let Some(dropped) = self.dropped else { return };
        let length = offset.saturating_sub(dropped + LAG);
        if length >= STEP {
            self.forget(dropped, length);
            self.dropped = Some(dropped + length);
        }
    }

    fn forget(&self, from: u64, length: u64) {
        if let Some(length) = NonZeroU64::new(length) {
            let _ = rustix::fs::fadvise(self.source, from, Some(length), Advice::DontNeed);
        }
    }
}

impl Drop for Trail<'_> {
    fn drop(&mut self) {
        if let Some(dropped) = self.dropped {
            self.forget(dropped, self.source.size().saturating_sub(dropped));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::sys::cached_bytes;

    const SIZE: u64 = 32 << 20;

    /// A file on disk; `None` where the kernel cannot tell what is cached, or caches for ever.
    fn file(dir: &std::path::Path) -> Option<std::path::PathBuf> {
        let path = dir.join(format!(
            "trail-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&vec![7; usize::try_from(SIZE).unwrap()])
            .unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        if cached_bytes(&file, 0, SIZE).is_ok_and(|cached| cached < SIZE / 4) {
            return Some(path);
        }
        std::fs::remove_file(&path).unwrap();
        None
    }

    fn cached_after_reading(path: &std::path::Path) -> u64 {
        let source = Source::open(path).unwrap();
        let mut trail = Trail::new(&source);
        let mut file = std::fs::File::open(path).unwrap();
        let mut buffer = vec![0; 1 << 20];
        for step in 1..=SIZE >> 20 {
            file.read_exact(&mut buffer).unwrap();
            trail.reached(step << 20);
        }
        drop(trail);
        cached_bytes(&file, 0, SIZE).unwrap()
    }

    #[test]
    fn leaves_nothing_of_a_file_that_was_not_cached_and_all_of_one_that_was() {
        let Some(path) = file(&std::env::temp_dir()) else {
            return;
        };
        let after_cold = cached_after_reading(&path);
        std::fs::read(&path).unwrap();
        let after_warm = cached_after_reading(&path);
        std::fs::remove_file(&path).unwrap();
        assert!(after_cold < SIZE / 4, "{after_cold} bytes stayed");
        assert!(after_warm > SIZE / 4 * 3, "only {after_warm} bytes stayed");
    }
}
