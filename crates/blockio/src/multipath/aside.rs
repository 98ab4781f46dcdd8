// SPDX-License-Identifier: AGPL-3.0-or-later
//! Calls that the kernel may never return from, on threads that can be left behind.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Patience;
use crate::{Error, Result};

/// A wait looks this often after its circumstances.
const SLICE: Duration = Duration::from_millis(100);

/// Result of a call, once there is one.
#[derive(Default)]
struct Call {
    done: Mutex<Option<Result<()>>>,
    changed: Condvar,
}

/// The calls under way, by what they do. A thread that waits for a device cannot be ended: who asks for the same again
/// waits with it, so a dead device costs one thread.
static UNDER_WAY: LazyLock<Mutex<HashMap<String, Arc<Call>>>> = LazyLock::new(Mutex::default);

/// Makes a call, or joins the one that does `what` ("operation object") already. `meanwhile` is called several times a
/// second.
///
/// # Errors
/// `timeout`, `cancelled`; those of `work` and `meanwhile`.
pub(super) fn run(
    what: &str,
    work: impl FnOnce() -> Result<()> + Send + 'static,
    patience: &Patience<'_>,
    mut meanwhile: impl FnMut() -> Result<()>,
) -> Result<()> {
    let call = start(what, work)?;
    loop {
        patience.check()?;
        if let Some(result) = call.wait(SLICE.min(patience.left())) {
            return result;
        }
        if patience.is_over() {
            return Err(Patience::overdue(format!(
                "{what}: it is not done in time; check the paths to the array"
            )));
        }
        meanwhile()?;
    }
}

/// True while a call that does this has not come back.
pub(super) fn is_under_way(what: &str) -> bool {
    lock(&UNDER_WAY).contains_key(what)
}

fn start(what: &str, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<Arc<Call>> {
    let mut under_way = lock(&UNDER_WAY);
    if let Some(call) = under_way.get(what) {
        return Ok(Arc::clone(call));
    }
    let call = Arc::new(Call::default());
    let (shared, key) = (Arc::clone(&call), what.to_owned());
    let run = move || {
        let result = work();
        lock(&UNDER_WAY).remove(&key);
        *lock(&shared.done) = Some(result);
        shared.changed.notify_all();
    };
    std::thread::Builder::new()
        .name("blockio-aside".into())
        .spawn(run)
        .map_err(|error| Error::internal(format!("{what}: cannot start a thread: {error}")))?;
    under_way.insert(what.to_owned(), Arc::clone(&call));
    Ok(call)
}

impl Call {
    fn wait(&self, limit: Duration) -> Option<Result<()>> {
        let (done, _) = self
            .changed
            .wait_timeout_while(lock(&self.done), limit, |done| done.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        done.clone()
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
    use crate::ErrorKind;
    use crate::stream::Cancel;

    #[test]
    fn a_result_comes_back_and_leaves_nothing_behind() {
        let cancel = Cancel::default();
        let patience = Patience::new(Duration::from_secs(60), &cancel);
        for result in [Ok(()), Err(Error::invalid("no"))] {
            let expected = result.clone();
            assert_eq!(run("try it", || result, &patience, || Ok(())), expected);
            assert!(!is_under_way("try it"));
        }
    }

    #[test]
    fn a_call_that_does_not_return_costs_one_thread() {
        let cancel = Cancel::default();
        let short = Patience::new(Duration::from_millis(150), &cancel);
        let (release, released) = channel::<()>();
        let mut looks = 0;
        let hang = move || {
            let _ = released.recv();
            Ok(())
        };
        let error = run("hang", hang, &short, || {
            looks += 1;
            Ok(())
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Timeout);
        assert!(looks >= 1 && is_under_way("hang"));
        let again = || unreachable!("a second call");
        let error = run("hang", again, &short, || Ok(()));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Timeout);
        drop(release);
        while is_under_way("hang") {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_wait_ends_when_cancelled() {
        let cancel = Cancel::default();
        let patience = Patience::new(Duration::MAX, &cancel);
        let (release, released) = channel::<()>();
        let hang = move || {
            let _ = released.recv();
            Ok(())
        };
        let error = run("hang until cancelled", hang, &patience, || {
            cancel.stop();
            Ok(())
        });
        assert!(error.unwrap_err().is_cancelled());
        drop(release);
    }
}
