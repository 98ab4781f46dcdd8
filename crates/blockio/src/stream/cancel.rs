// SPDX-License-Identifier: AGPL-3.0-or-later
//! Stopping a stream at any moment, also while it is blocked on a pipe with nobody at the other end.
//!
//! The descriptors of a stream are inherited, so `O_NONBLOCK` is not ours to set: it belongs to the open file
//! description, which other processes share. A real-time signal without `SA_RESTART`, directed at the blocked
//! thread, makes the call return `EINTR` instead. A signal that arrives just before the call is lost, so it is
//! repeated until the thread has left.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// First and longest pause between two signals.
const NUDGE_MIN: Duration = Duration::from_millis(1);
const NUDGE_MAX: Duration = Duration::from_millis(100);

/// Shared switch that stops a stream. Clones are the same switch. It cannot be switched back.
#[derive(Clone, Default)]
pub struct Cancel(Arc<State>);

#[derive(Default)]
struct State {
    stopped: AtomicBool,
    threads: Mutex<Vec<libc::pthread_t>>,
    changed: Condvar,
}

impl State {
    fn threads(&self) -> MutexGuard<'_, Vec<libc::pthread_t>> {
        // No code that can panic runs under this lock.
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signals the registered threads until none is left.
    fn nudge(&self) {
        let mut pause = NUDGE_MIN;
        let mut threads = self.threads();
        while !threads.is_empty() {
            for thread in threads.iter() {
                // SAFETY: a thread takes itself off the list, under this lock, before it ends.
                unsafe { libc::pthread_kill(*thread, signal()) };
            }
            threads = self
                .changed
                .wait_timeout(threads, pause)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            pause = (pause * 2).min(NUDGE_MAX);
        }
    }
}

impl Cancel {
    /// Stops the stream; returns at once. May be called from any thread and any number of times.
    pub fn stop(&self) {
        let threads = self.0.threads();
        if self.0.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        self.0.changed.notify_all();
        drop(threads);
        let state = Arc::clone(&self.0);
        // Without a thread to repeat it, one signal is better than none.
        if std::thread::Builder::new()
            .name("blockio-cancel".into())
            .spawn(move || state.nudge())
            .is_err()
        {
            for thread in self.0.threads().iter() {
                // SAFETY: as in `nudge`.
                unsafe { libc::pthread_kill(*thread, signal()) };
            }
        }
    }

    /// True once [`stop`](Self::stop) was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed)
    }

    /// Fails once the stream is to stop.
    ///
    /// # Errors
    /// [`Cancelled`](crate::ErrorKind::Cancelled).
    pub fn check(&self) -> Result<()> {
        if self.is_stopped() {
            Err(Error::cancelled())
        } else {
            Ok(())
        }
    }

    /// Makes the calling thread's blocking calls interruptible until the guard is dropped.
    #[must_use]
    pub fn enter(&self) -> Interruptible {
        // SAFETY: pthread_self has no preconditions; the mask is this thread's own and `set` outlives the call.
        let thread = unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, signal());
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
            // A receiver that goes away must be an error of the call, also in programs that do not ignore SIGPIPE.
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGPIPE);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            libc::pthread_self()
        };
        self.0.threads().push(thread);
        Interruptible {
            cancel: self.clone(),
            thread,
            own_thread: PhantomData,
        }
    }

    /// Sleeps, or fails at once when the stream is stopped.
    ///
    /// # Errors
    /// [`Cancelled`](crate::ErrorKind::Cancelled).
    pub fn sleep(&self, duration: Duration) -> Result<()> {
        let Some(end) = Instant::now().checked_add(duration) else {
            return Err(Error::invalid("wait: the rate is too low for this stream"));
        };
        let mut threads = self.0.threads();
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            threads = self
                .0
                .changed
                .wait_timeout(threads, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// Registration of the thread that made it; see [`Cancel::enter`]. Bound to that thread.
pub struct Interruptible {
    cancel: Cancel,
    thread: libc::pthread_t,
    own_thread: PhantomData<*const ()>,
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        let mut threads = self.cancel.0.threads();
        if let Some(at) = threads.iter().position(|thread| *thread == self.thread) {
            threads.swap_remove(at);
        }
        self.cancel.0.changed.notify_all();
    }
}

/// The signal that interrupts blocked calls: the first real-time signal that nobody else handles.
fn signal() -> libc::c_int {
    static SIGNAL: OnceLock<libc::c_int> = OnceLock::new();
    *SIGNAL.get_or_init(|| {
        let (first, last) = (libc::SIGRTMIN() + 5, libc::SIGRTMAX());
        (first..=last)
            .find(|number| install(*number))
            .unwrap_or(last)
    })
}

/// Installs the handler unless the signal is in use.
fn install(number: libc::c_int) -> bool {
    // Its arrival is all we want: the interrupted call returns EINTR.
    extern "C" fn arrived(_: libc::c_int) {}
    let handler: extern "C" fn(libc::c_int) = arrived;
    // SAFETY: both structures live through the calls; the handler does nothing, so it is async-signal-safe.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(number, std::ptr::null(), &raw mut old) != 0
            || old.sa_sigaction != libc::SIG_DFL
        {
            return false;
        }
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = handler as usize;
        libc::sigemptyset(&raw mut new.sa_mask);
        libc::sigaction(number, &raw const new, std::ptr::null_mut()) == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_signal_that_came_too_early_is_repeated() {
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        let cancel = Cancel::default();
        let entered = AtomicBool::new(false);
        let interrupted = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let _interruptible = cancel.enter();
                entered.store(true, Ordering::SeqCst);
                // The first signals go to a thread that is not blocked in a read.
                while !cancel.is_stopped() {
                    std::hint::spin_loop();
                }
                std::thread::sleep(Duration::from_millis(50));
                rustix::io::read(&reader, &mut [0])
            });
            while !entered.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            cancel.stop();
            thread.join().unwrap()
        });
        assert_eq!(interrupted, Err(Errno::INTR));
    }

    #[test]
    fn sleeping_ends_when_stopped_and_not_before_its_time() {
        let cancel = Cancel::default();
        let started = Instant::now();
        cancel.sleep(Duration::from_millis(10)).unwrap();
        assert!(started.elapsed() >= Duration::from_millis(10));
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| cancel.sleep(Duration::from_secs(3600)));
            cancel.stop();
            assert!(sleeper.join().unwrap().unwrap_err().is_cancelled());
        });
    }

    #[test]
    fn a_thread_that_left_is_not_signalled() {
        let cancel = Cancel::default();
        drop(cancel.enter());
        assert!(cancel.0.threads().is_empty());
        cancel.stop();
        assert!(cancel.check().unwrap_err().is_cancelled());
    }
}
