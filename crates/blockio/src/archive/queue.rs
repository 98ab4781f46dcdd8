// SPDX-License-Identifier: AGPL-3.0-or-later
//! Results that are made on several threads and used in order, within a bound of memory.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

/// A place for one result.
pub struct Slot<T> {
    value: Mutex<Option<Result<T>>>,
    filled: Condvar,
}

impl<T> Slot<T> {
    /// An empty slot, and the promise to fill it.
    pub fn new() -> (Arc<Self>, Promise<T>) {
        let slot = Arc::new(Self {
            value: Mutex::new(None),
            filled: Condvar::new(),
        });
        (Arc::clone(&slot), Promise(slot))
    }

    /// Waits for the result.
    pub fn take(&self) -> Result<T> {
        let mut value = lock(&self.value);
        loop {
            if let Some(result) = value.take() {
                return result;
            }
            value = self
                .filled
                .wait(value)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put(&self, result: Result<T>) {
        lock(&self.value).get_or_insert(result);
        self.filled.notify_one();
    }
}

/// Fills a [`Slot`]; with an error when it is dropped before, so that nobody waits for a thread that has failed.
pub struct Promise<T>(Arc<Slot<T>>);

impl<T> Promise<T> {
    pub fn keep(self, result: Result<T>) {
        self.0.put(result);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        let mut value = lock(&self.0.value);
        if value.is_none() && Arc::strong_count(&self.0) > 1 {
            *value = Some(Err(Error::internal("a reader thread ended early")));
            self.0.filled.notify_one();
        }
    }
}

/// Bytes that may be held at a time. Whose turn it is gets them in any case: others may hold all of them, and wait for it.
pub struct Budget {
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    used: usize,
    /// Whose turn it is.
    turn: u64,
    ended: bool,
}

impl Budget {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits for `bytes` on behalf of `number`.
    pub fn take(&self, number: u64, bytes: usize) {
        let mut state = lock(&self.state);
        while !state.ended && state.turn != number && state.used + bytes > self.limit {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.used += bytes;
    }

    pub fn give_back(&self, bytes: usize) {
        let mut state = lock(&self.state);
        state.used = state.used.saturating_sub(bytes);
        self.changed.notify_all();
    }

    /// Waits until nothing is held.
    pub fn wait_idle(&self) {
        let mut state = lock(&self.state);
        while !state.ended && state.used > 0 {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// It is the turn of `number`.
    pub fn turn(&self, number: u64) {
        lock(&self.state).turn = number;
        self.changed.notify_all();
    }

    /// Nobody waits any more.
    pub fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_that_is_dropped_is_an_error() {
        let (slot, promise) = Slot::<()>::new();
        std::thread::spawn(move || drop(promise));
        assert!(slot.take().is_err());
    }

    #[test]
    fn whose_turn_it_is_does_not_wait_for_others() {
        let budget = Budget::new(10);
        budget.take(2, 10);
        budget.turn(1);
        budget.take(1, 100);
        std::thread::scope(|scope| {
            scope.spawn(|| budget.take(3, 1));
            budget.give_back(100);
            budget.give_back(10);
        });
    }
}
