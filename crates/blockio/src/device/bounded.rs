// SPDX-License-Identifier: AGPL-3.0-or-later
//! Steps that may hang in the kernel, on threads that are left behind when they do.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::stream::Cancel;
use crate::{Error, ErrorKind, Result};

/// How long a cancellation may go unnoticed.
const CANCEL_CHECK: Duration = Duration::from_millis(50);

/// The steps under way, by what they are; true once somebody waited in vain.
static UNDER_WAY: LazyLock<Mutex<HashMap<String, bool>>> = LazyLock::new(Mutex::default);
static CHANGED: Condvar = Condvar::new();

/// Runs a step on a thread of its own and waits for it until `timeout`.
///
/// `what` is "operation object". Steps of the same name run one after the other, and once one is overdue, others fail
/// at once until it comes back. So a dead device costs one thread for each operation. A step that is left behind goes
/// on; its result is lost.
///
/// # Errors
/// The step's own; `timeout` when it is not back in time or an earlier one is overdue; `cancelled`.
pub fn bounded<T, F>(what: &str, timeout: Duration, cancel: &Cancel, step: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    // A deadline that no clock reaches is none.
    let end = Instant::now().checked_add(timeout);
    begin(what, timeout, end, cancel)?;
    let slot = Arc::new(Mutex::new(None));
    let work = {
        let (slot, what) = (Arc::clone(&slot), what.to_owned());
        move || {
            let result = catch_unwind(AssertUnwindSafe(step))
                .unwrap_or_else(|_| Err(Error::internal(format!("{what}: the step failed"))));
            *lock(&slot) = Some(result);
            lock(&UNDER_WAY).remove(&what);
            CHANGED.notify_all();
        }
    };
    if let Err(error) = std::thread::Builder::new()
        .name("blockio-step".into())
        .spawn(work)
    {
        lock(&UNDER_WAY).remove(what);
        CHANGED.notify_all();
        return Err(Error::internal(format!(
            "{what}: cannot start a thread: {error}"
        )));
    }
    let mut under_way = lock(&UNDER_WAY);
    loop {
        if let Some(result) = lock(&slot).take() {
            return result;
        }
        match wait(under_way, end, cancel) {
            Ok(again) => under_way = again,
            Err((_, Some(error))) => return Err(error),
            Err((under_way, None)) => return Err(late(under_way, what, timeout)),
        }
    }
}

/// Waits for its turn.
fn begin(what: &str, timeout: Duration, end: Option<Instant>, cancel: &Cancel) -> Result<()> {
    let mut under_way = lock(&UNDER_WAY);
    loop {
        cancel.check()?;
        match under_way.get(what) {
            None => {
                under_way.insert(what.to_owned(), false);
                return Ok(());
            }
            Some(true) => {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!("{what}: an earlier attempt is still not back; check its device"),
                ));
            }
            Some(false) => match wait(under_way, end, cancel) {
                Ok(again) => under_way = again,
                Err((_, Some(error))) => return Err(error),
                Err((under_way, None)) => return Err(late(under_way, what, timeout)),
            },
        }
    }
}

type Steps = MutexGuard<'static, HashMap<String, bool>>;

/// Waits for a change or a while; `None` for the error is the end of the time.
fn wait(
    under_way: Steps,
    end: Option<Instant>,
    cancel: &Cancel,
) -> std::result::Result<Steps, (Steps, Option<Error>)> {
    if let Err(error) = cancel.check() {
        return Err((under_way, Some(error)));
    }
    let left = end.map_or(CANCEL_CHECK, |end| {
        end.saturating_duration_since(Instant::now())
    });
    if left.is_zero() {
        return Err((under_way, None));
    }
    Ok(CHANGED
        .wait_timeout(under_way, left.min(CANCEL_CHECK))
        .unwrap_or_else(PoisonError::into_inner)
        .0)
}

/// From now on, nobody waits for this step.
fn late(mut under_way: Steps, what: &str, timeout: Duration) -> Error {
    if let Some(overdue) = under_way.get_mut(what) {
        *overdue = true;
    }
    CHANGED.notify_all();
    Error::new(
        ErrorKind::Timeout,
        format!(
            "{what}: not finished within {} ms; check the device and its array",
            timeout.as_millis()
        ),
    )
}

/// No code that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Long enough never to matter.
    const PATIENCE: Duration = Duration::from_secs(600);

    #[test]
    fn a_result_comes_back_and_so_does_an_error() {
        let cancel = Cancel::default();
        assert_eq!(bounded("add a", PATIENCE, &cancel, || Ok(1 + 1)), Ok(2));
        let refused = || Err::<(), _>(Error::new(ErrorKind::Refused, "no"));
        let error = bounded("add a", PATIENCE, &cancel, refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        let error = bounded::<(), _>("add a", PATIENCE, &cancel, || panic!("on purpose"));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(bounded("add a", PATIENCE, &cancel, || Ok(())), Ok(()));
        assert_eq!(bounded("add a", Duration::MAX, &cancel, || Ok(())), Ok(()));
    }

    #[test]
    fn a_hanging_step_is_left_behind_and_others_of_its_name_fail_at_once() {
        let cancel = Cancel::default();
        let (release, released) = channel::<()>();
        let hang = move || Ok(released.recv().is_err());
        let first = bounded("scan b", Duration::from_millis(1), &cancel, hang).unwrap_err();
        assert_eq!(first.kind(), ErrorKind::Timeout);
        let second = bounded("scan b", PATIENCE, &cancel, || -> Result<()> {
            unreachable!("it runs beside the first")
        });
        assert_eq!(second.unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(bounded("scan c", PATIENCE, &cancel, || Ok(3)), Ok(3));
        drop(release);
        while lock(&UNDER_WAY).contains_key("scan b") {
            std::thread::yield_now();
        }
        assert_eq!(bounded("scan b", PATIENCE, &cancel, || Ok(4)), Ok(4));
    }

    #[test]
    fn steps_of_one_name_run_one_after_the_other() {
        let running = Arc::new(Mutex::new(()));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let running = Arc::clone(&running);
                scope.spawn(move || {
                    let step = move || Ok(running.try_lock().is_ok());
                    let alone = bounded("scan d", PATIENCE, &Cancel::default(), step);
                    assert_eq!(alone, Ok(true));
                });
            }
        });
    }

    #[test]
    fn a_cancelled_wait_ends() {
        let cancel = Cancel::default();
        let (release, released) = channel::<()>();
        let stop = cancel.clone();
        let hang = move || {
            stop.stop();
            Ok(released.recv().is_err())
        };
        let error = bounded("scan e", PATIENCE, &cancel, hang).unwrap_err();
        assert!(error.is_cancelled());
        drop(release);
    }
}
