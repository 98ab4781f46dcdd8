// SPDX-License-Identifier: AGPL-3.0-or-later
//! Counting bytes and telling about it once a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes moved so far. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    data: AtomicU64,
}

impl Meter {
    /// Adds payload bytes that went through the stream.
    pub(crate) fn add(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds payload bytes that were read from the source or written to the target.
    pub(crate) fn add_data(&self, bytes: u64) {
        self.0.data.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Payload bytes that went through the stream.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Payload bytes that were read from the source or written to the target.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.0.data.load(Ordering::Relaxed)
    }
}

/// One progress report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Payload bytes so far.
    pub bytes: u64,
    /// Time since the start.
    pub elapsed: Duration,
}

/// Thread that reports a [`Meter`] at a fixed interval until it is dropped. It does not report on the way out:
/// the totals are in the stream's result.
pub struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts reporting to `report`. A stream without progress is better than no stream, so nothing happens when
    /// the system has no thread left.
    pub fn start(
        meter: Meter,
        interval: Duration,
        mut report: impl FnMut(Progress) + Send + 'static,
    ) -> Self {
        let (stop, stopped) = mpsc::channel();
        let started = Instant::now();
        let thread = std::thread::Builder::new()
            .name("blockio-progress".into())
            .spawn(move || {
                while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    report(Progress {
                        bytes: meter.bytes(),
                        elapsed: started.elapsed(),
                    });
                }
            });
        Self {
            stop: Some(stop),
            thread: thread.ok(),
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the callback has been reported by the panic hook and harms nobody else.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_what_was_counted_and_ends_when_dropped() {
        let meter = Meter::default();
        meter.add(5);
        let (sender, receiver) = mpsc::channel();
        let ticker = Ticker::start(meter.clone(), Duration::from_millis(1), move |progress| {
            let _ = sender.send(progress.bytes);
        });
        assert_eq!(receiver.recv(), Ok(5));
        meter.add(2);
        while receiver.recv() != Ok(7) {}
        drop(ticker);
        while receiver.try_recv().is_ok() {}
        assert!(receiver.recv().is_err(), "the thread is gone");
    }
}
