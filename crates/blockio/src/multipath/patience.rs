// SPDX-License-Identifier: AGPL-3.0-or-later
//! How long a caller is willing to wait, and how it can be told to stop or to look again.

use std::time::{Duration, Instant};

use crate::stream::Cancel;
use crate::{Error, ErrorKind, Result};

/// Longer than any operation; keeps the arithmetic of moments safe.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

/// Waits for at most the given time; returns earlier when devices changed.
pub type WakeUp<'a> = dyn Fn(Duration) + Sync + 'a;

/// A deadline, a switch that stops the wait, and optionally something that wakes it.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    end: Instant,
    cancel: &'a Cancel,
    wake: Option<&'a WakeUp<'a>>,
}

impl<'a> Patience<'a> {
    /// Waits until `timeout` from now, or until `cancel` is stopped.
    #[must_use]
    pub fn new(timeout: Duration, cancel: &'a Cancel) -> Self {
        Self {
            end: Instant::now() + timeout.min(FOREVER),
            cancel,
            wake: None,
        }
    }

    /// The same, with pauses that `wake` may end early, in place of the kernel's announcements.
    #[must_use]
    pub fn woken_by(self, wake: &'a WakeUp<'a>) -> Self {
        Self {
            wake: Some(wake),
            ..self
        }
    }

    /// The same, with these pauses unless it has others already.
    pub(super) fn or_woken_by(self, wake: &'a WakeUp<'a>) -> Self {
        Self {
            wake: self.wake.or(Some(wake)),
            ..self
        }
    }

    /// The same, but no longer than `limit` from now.
    #[must_use]
    pub fn at_most(self, limit: Duration) -> Self {
        Self {
            end: self.end.min(Instant::now() + limit.min(FOREVER)),
            ..self
        }
    }

    /// The same, but until exactly `limit` from now: for what has to be finished also after the deadline.
    pub(super) fn for_another(self, limit: Duration) -> Self {
        Self {
            end: Instant::now() + limit.min(FOREVER),
            ..self
        }
    }

    /// The switch.
    pub(super) const fn cancel(&self) -> &'a Cancel {
        self.cancel
    }

    /// Time until the deadline.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// True after the deadline.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// Fails once the caller cancelled.
    ///
    /// # Errors
    /// [`Cancelled`](ErrorKind::Cancelled).
    pub fn check(&self) -> Result<()> {
        self.cancel.check()
    }

    /// Sleeps for `pause`, less when the deadline is nearer or something woke it.
    ///
    /// # Errors
    /// [`Cancelled`](ErrorKind::Cancelled).
    pub fn pause(&self, pause: Duration) -> Result<()> {
        let pause = pause.min(self.left());
        match self.wake {
            None => self.cancel.sleep(pause),
            Some(wake) => {
                self.check()?;
                wake(pause);
                self.check()
            }
        }
    }

    /// The error of an operation that was not done in time; `what` is "operation object: problem; next step".
    pub(super) fn overdue(what: String) -> Error {
        Error::new(ErrorKind::Timeout, what)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_wait_ends_with_the_nearer_deadline_or_the_switch() {
        let cancel = Cancel::default();
        let long = Patience::new(Duration::MAX, &cancel);
        assert!(!long.is_over());
        assert!(long.at_most(Duration::ZERO).is_over());
        assert!(
            !long
                .at_most(Duration::ZERO)
                .for_another(Duration::MAX)
                .is_over()
        );
        let short = Patience::new(Duration::from_millis(1), &cancel);
        short.pause(Duration::from_secs(3600)).unwrap();
        assert!(short.at_most(Duration::from_secs(9)).is_over());
        cancel.stop();
        assert!(long.pause(Duration::MAX).unwrap_err().is_cancelled());
    }

    #[test]
    fn what_wakes_gets_the_time_that_is_left() {
        let cancel = Cancel::default();
        let calls = AtomicU32::new(0);
        let wake = |pause: Duration| {
            assert!(pause <= Duration::from_secs(5));
            calls.fetch_add(1, Ordering::Relaxed);
        };
        let patience = Patience::new(Duration::from_secs(5), &cancel).woken_by(&wake);
        patience.pause(Duration::from_secs(3600)).unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
