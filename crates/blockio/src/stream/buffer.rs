// SPDX-License-Identifier: AGPL-3.0-or-later
//! Page-aligned buffers that go round between the threads of a stream.

use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::{Error, Result};

/// Anonymous memory of its own mapping: page-aligned as `O_DIRECT` wants it, and given back when dropped.
pub struct Mapping {
    start: *mut u8,
    length: usize,
}

// SAFETY: the mapping is owned and plain memory.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `length` bytes, which read as zeros.
    pub fn new(length: usize) -> Result<Self> {
        // SAFETY: a new anonymous mapping at a place the kernel chooses overlaps nothing.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        };
        match start {
            Ok(start) => Ok(Self {
                start: start.cast(),
                length,
            }),
            Err(errno) => Err(Error::os(
                format!("allocate {length} bytes of buffer"),
                errno,
            )),
        }
    }
}

impl Deref for Mapping {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is `length` initialised bytes and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

impl DerefMut for Mapping {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `length` are those of our mapping, and no reference into it outlives `self`.
        // It can only fail for a range that is not ours.
        let _ = unsafe { munmap(self.start.cast(), self.length) };
    }
}

/// A fixed number of equal buffers.
pub struct Pool {
    free: Mutex<Vec<Mapping>>,
    returned: Condvar,
}

impl Pool {
    /// `count` buffers of `size` bytes.
    pub fn new(count: usize, size: usize) -> Result<Arc<Self>> {
        let free = (0..count)
            .map(|_| Mapping::new(size))
            .collect::<Result<_>>()?;
        Ok(Arc::new(Self {
            free: Mutex::new(free),
            returned: Condvar::new(),
        }))
    }

    /// Waits for a free buffer.
    ///
    /// Needs no cancellation of its own: whoever holds buffers stops when the stream does and gives them back.
    pub fn take(self: &Arc<Self>) -> Buf {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(memory) = free.pop() {
                return Buf {
                    memory: Some(memory),
                    filled: 0..0,
                    pool: Arc::clone(self),
                };
            }
            free = self
                .returned
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A buffer taken from a [`Pool`], to which it returns when dropped. Derefs to its filled part.
pub struct Buf {
    memory: Option<Mapping>,
    filled: Range<usize>,
    pool: Arc<Pool>,
}

impl Buf {
    /// The whole capacity.
    pub fn space(&mut self) -> &mut [u8] {
        self.memory.as_deref_mut().unwrap_or_default()
    }

    /// Says which part of the capacity is filled.
    ///
    /// # Panics
    /// When the range does not lie within the capacity.
    pub fn set_filled(&mut self, range: Range<usize>) {
        assert!(
            range.start <= range.end && range.end <= self.space().len(),
            "filled beyond the buffer"
        );
        self.filled = range;
    }
}

impl Deref for Buf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.memory.as_deref().unwrap_or_default()[self.filled.clone()]
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.pool
                .free
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(memory);
            self.pool.returned.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_page_aligned_and_zero() {
        let pool = Pool::new(2, 8192).unwrap();
        let mut buffer = pool.take();
        assert_eq!(buffer.space().as_ptr().align_offset(4096), 0);
        assert_eq!(buffer.space().len(), 8192);
        assert!(buffer.space().iter().all(|byte| *byte == 0));
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_returned_buffer_does_not_show_its_old_length() {
        let pool = Pool::new(1, 4096).unwrap();
        let mut buffer = pool.take();
        buffer.space().fill(7);
        buffer.set_filled(4..104);
        assert_eq!(buffer.len(), 100);
        drop(buffer);
        assert!(pool.take().is_empty());
    }

    #[test]
    fn taking_waits_for_a_return() {
        let pool = Pool::new(1, 4096).unwrap();
        let held = pool.take();
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| pool.take().space().len());
            drop(held);
            assert_eq!(taker.join().unwrap(), 4096);
        });
    }
}
