// SPDX-License-Identifier: AGPL-3.0-or-later
//! Rate limit: pure arithmetic, so that its bounds are unit tests without a clock.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use super::Cancel;
use crate::Result;

/// Time that an idle stream may save up. Short, so that the rate is smooth on the wire.
const BURST: Duration = Duration::from_millis(100);

/// Pieces per second when the rate is the limit.
const PIECES_PER_SECOND: u64 = 20;

/// When the next piece may go, as time since the start (a virtual schedule, like the GCRA of networks).
#[derive(Debug)]
struct Schedule {
    rate: NonZeroU64,
    /// When everything sent so far is paid for.
    due: Duration,
}

impl Schedule {
    /// Books `bytes` at time `now` and returns how long to wait before moving them.
    fn book(&mut self, now: Duration, bytes: u64) -> Duration {
        let start = self.due.max(now.saturating_sub(BURST));
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate.get());
        self.due = start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        start.saturating_sub(now)
    }
}

/// Holds a stream to a rate, or not.
#[derive(Debug)]
pub struct Limiter {
    schedule: Option<Schedule>,
    started: Instant,
}

impl Limiter {
    /// `rate` is in bytes per second; `None` is unlimited.
    pub fn new(rate: Option<NonZeroU64>) -> Self {
        let schedule = rate.map(|rate| Schedule {
            rate,
            due: Duration::ZERO,
        });
        Self {
            schedule,
            started: Instant::now(),
        }
    }

    /// The largest piece to move at once, at most `usual`.
    pub fn piece(&self, usual: usize) -> usize {
        self.schedule.as_ref().map_or(usual, |schedule| {
            let smooth = (schedule.rate.get() / PIECES_PER_SECOND).max(4096);
            usize::try_from(smooth).map_or(usual, |smooth| smooth.min(usual) / 4096 * 4096)
        })
    }

    /// Waits until `bytes` more may move; ends early when cancelled.
    pub fn wait(&mut self, bytes: usize, cancel: &Cancel) -> Result<()> {
        match &mut self.schedule {
            None => Ok(()),
            Some(schedule) => cancel.sleep(schedule.book(self.started.elapsed(), bytes as u64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rate: u64) -> Schedule {
        Schedule {
            rate: NonZeroU64::new(rate).unwrap(),
            due: Duration::ZERO,
        }
    }

    #[test]
    fn never_faster_than_the_rate_plus_one_burst() {
        let mut schedule = schedule(1_000_000);
        let mut now = Duration::ZERO;
        let mut sent = 0_u64;
        for _ in 0..1000 {
            now += schedule.book(now, 10_000);
            // The piece booked last is under way: it is not counted as sent.
            let allowed = (now + BURST).as_micros();
            assert!(
                u128::from(sent) <= allowed,
                "{sent} bytes after {now:?} at 1 byte per microsecond"
            );
            sent += 10_000;
        }
        assert_eq!(now, Duration::from_millis(9_990));
    }

    #[test]
    fn a_pause_earns_no_more_than_one_burst() {
        let mut schedule = schedule(1_000_000);
        let mut now = Duration::from_secs(3600);
        let mut free = 0;
        while schedule.book(now, 10_000) == Duration::ZERO {
            free += 10_000;
        }
        assert_eq!(
            free, 110_000,
            "100 ms worth, and the piece that crosses the line"
        );
        now += Duration::from_secs(1);
        assert_eq!(schedule.book(now, 10_000), Duration::ZERO);
    }

    #[test]
    fn pieces_shrink_with_the_rate() {
        let piece = |rate| Limiter::new(NonZeroU64::new(rate)).piece(1 << 20);
        assert_eq!(piece(0), 1 << 20, "unlimited");
        assert_eq!(piece(1), 4096);
        assert_eq!(piece(2_000_000), 98_304);
        assert_eq!(piece(u64::MAX), 1 << 20);
    }

    #[test]
    fn huge_numbers_do_not_overflow() {
        let mut schedule = schedule(1);
        schedule.book(Duration::ZERO, u64::MAX / 2_000_000_000);
        assert!(schedule.book(Duration::ZERO, 1) > Duration::from_secs(1_000_000));
    }

    #[test]
    fn a_cancelled_wait_ends() {
        let cancel = Cancel::default();
        let mut limiter = Limiter::new(NonZeroU64::new(1));
        limiter.wait(1 << 30, &cancel).unwrap();
        cancel.stop();
        assert!(limiter.wait(1, &cancel).unwrap_err().is_cancelled());
    }
}
