// SPDX-License-Identifier: AGPL-3.0-or-later
//! Steps that may hang in the kernel, on threads that are left behind when they do.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::stream::Cancel;
use crate::{Error, ErrorKind, Result};

/// A wait looks this often after its circumstances.
const SLICE: Duration = Duration::from_millis(50);

/// A step under way.
#[derive(Default)]
struct Step {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    result: Option<Result<()>>,
    /// Somebody waited in vain.
    overdue: bool,
}

type Steps = HashMap<String, Arc<Step>>;

/// The steps under way, by what they are. A thread that waits for a device cannot be ended.
static UNDER_WAY: LazyLock<Mutex<Steps>> = LazyLock::new(Mutex::default);

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
    let wait = Wait::new(what, timeout, cancel);
    let slot = Arc::new(Mutex::new(None));
    let work = {
        let slot = Arc::clone(&slot);
        move || {
            *lock(&slot) = Some(step()?);
            Ok(())
        }
    };
    let mine = loop {
        cancel.check()?;
        let earlier = {
            let mut under_way = lock(&UNDER_WAY);
            match under_way.get(what) {
                None => break start(&mut under_way, what, work)?,
                Some(earlier) => Arc::clone(earlier),
            }
        };
        if earlier.is_overdue() {
            return Err(Error::new(
                ErrorKind::Timeout,
                format!("{what}: an earlier attempt is still not back; check its device"),
            ));
        }
        let over = |state: &State| state.overdue || state.result.is_some();
        wait.until(&earlier, over, || Ok(()))?;
    };
    wait.result(&mine, || Ok(()))?;
    let value = lock(&slot).take();
    value.ok_or_else(|| Error::internal(format!("{what}: the step has no result")))
}

/// As [`bounded`], but joins a step of this name that is under way, also an overdue one. `meanwhile` is called several
/// times a second: it may do what brings the step back.
///
/// # Errors
/// The step's own and those of `meanwhile`; `timeout` when it is not back in time; `cancelled`.
pub(crate) fn joined(
    what: &str,
    timeout: Duration,
    cancel: &Cancel,
    step: impl FnOnce() -> Result<()> + Send + 'static,
    meanwhile: impl FnMut() -> Result<()>,
) -> Result<()> {
    let wait = Wait::new(what, timeout, cancel);
    let step = {
        let mut under_way = lock(&UNDER_WAY);
        match under_way.get(what) {
            None => start(&mut under_way, what, step)?,
            Some(earlier) => Arc::clone(earlier),
        }
    };
    wait.result(&step, meanwhile)
}

/// True while a step of this name has not come back.
pub(crate) fn is_under_way(what: &str) -> bool {
    lock(&UNDER_WAY).contains_key(what)
}

fn start(
    under_way: &mut Steps,
    what: &str,
    work: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<Arc<Step>> {
    let step = Arc::new(Step::default());
    let (shared, name) = (Arc::clone(&step), what.to_owned());
    let run = move || {
        let result = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err(Error::internal(format!("{name}: the step failed"))));
        // First: who has the result may begin the next one.
        lock(&UNDER_WAY).remove(&name);
        lock(&shared.state).result = Some(result);
        shared.changed.notify_all();
    };
    std::thread::Builder::new()
        .name("blockio-step".into())
        .spawn(run)
        .map_err(|error| Error::internal(format!("{what}: cannot start a thread: {error}")))?;
    under_way.insert(what.to_owned(), Arc::clone(&step));
    Ok(step)
}

impl Step {
    fn is_overdue(&self) -> bool {
        lock(&self.state).overdue
    }

    /// Waits for a moment; true when it is `over`.
    fn wait(&self, moment: Duration, over: impl Fn(&State) -> bool) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(lock(&self.state), moment, |state| !over(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        over(&state)
    }
}

/// The wait of one caller.
struct Wait<'a> {
    what: &'a str,
    timeout: Duration,
    /// A deadline that no clock reaches is none.
    end: Option<Instant>,
    cancel: &'a Cancel,
}

impl<'a> Wait<'a> {
    fn new(what: &'a str, timeout: Duration, cancel: &'a Cancel) -> Self {
        Self {
            what,
            timeout,
            end: Instant::now().checked_add(timeout),
            cancel,
        }
    }

    fn result(&self, step: &Step, meanwhile: impl FnMut() -> Result<()>) -> Result<()> {
        self.until(step, |state| state.result.is_some(), meanwhile)?;
        lock(&step.state).result.clone().unwrap_or(Ok(()))
    }

    fn until(
        &self,
        step: &Step,
        over: impl Fn(&State) -> bool,
        mut meanwhile: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        loop {
            self.cancel.check()?;
            let now = Instant::now();
            let left = self
                .end
                .map_or(SLICE, |end| end.saturating_duration_since(now));
            if step.wait(left.min(SLICE), &over) {
                return Ok(());
            }
            if left.is_zero() {
                return Err(self.late(step));
            }
            meanwhile()?;
        }
    }

    /// From now on, nobody begins another one.
    fn late(&self, step: &Step) -> Error {
        lock(&step.state).overdue = true;
        step.changed.notify_all();
        Error::new(
            ErrorKind::Timeout,
            format!(
                "{}: not finished within {} ms; check the device and its array",
                self.what,
                self.timeout.as_millis()
            ),
        )
    }
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
        while is_under_way("scan b") {
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

    #[test]
    fn a_joined_step_leaves_nothing_behind() {
        let cancel = Cancel::default();
        for result in [Ok(()), Err(Error::invalid("no"))] {
            let expected = result.clone();
            let step = || result;
            assert_eq!(
                joined("try it", PATIENCE, &cancel, step, || Ok(())),
                expected
            );
            assert!(!is_under_way("try it"));
        }
    }

    #[test]
    fn a_step_that_does_not_return_is_joined_until_it_does() {
        let cancel = Cancel::default();
        let short = Duration::from_millis(150);
        let (release, released) = channel::<()>();
        let mut looks = 0;
        let hang = move || {
            let _ = released.recv();
            Ok(())
        };
        let late = joined("hang", short, &cancel, hang, || {
            looks += 1;
            Ok(())
        });
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Timeout);
        assert!(looks >= 1 && is_under_way("hang"));
        let again = || unreachable!("a second step");
        let late = joined("hang", short, &cancel, again, || Ok(()));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Timeout);
        // What brings it back.
        let mut release = Some(release);
        let again = || unreachable!("a third step");
        let back = joined("hang", PATIENCE, &cancel, again, || {
            release = None;
            Ok(())
        });
        assert_eq!(back, Ok(()));
        assert!(!is_under_way("hang"));
    }

    #[test]
    fn a_joined_wait_ends_when_cancelled() {
        let cancel = Cancel::default();
        let (release, released) = channel::<()>();
        let hang = move || {
            let _ = released.recv();
            Ok(())
        };
        let error = joined("hang until cancelled", Duration::MAX, &cancel, hang, || {
            cancel.stop();
            Ok(())
        });
        assert!(error.unwrap_err().is_cancelled());
        drop(release);
    }
}
