// SPDX-License-Identifier: AGPL-3.0-or-later
//! The ring of commands that the kernel shares with us: `linux/target_core_user.h`, version 2.

use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::scsi::{Buffers, Status, sense};

/// Offsets in the mailbox.
const VERSION: usize = 0;
const FLAGS: usize = 2;
const RING: usize = 4;
const RING_SIZE: usize = 8;
const HEAD: usize = 12;
const TAIL: usize = 64;
/// The mailbox understands answers that are shorter than the buffer.
const CAN_READ_LENGTH: u16 = 2;

/// Offsets in an entry.
const COMMAND_FLAGS: usize = 7;
const PIECES: usize = 8;
const CDB: usize = 24;
const FIRST_PIECE: usize = 48;
const PIECE: usize = 16;
const STATUS: usize = 8;
const READ_LENGTH: usize = 12;
const SENSE: usize = 16;

/// What an entry is.
const COMMAND: u32 = 1;
const UNKNOWN: u8 = 1;
const HAS_READ_LENGTH: u8 = 2;
const CHECK_CONDITION: u8 = 2;

/// The longest command.
const CDB_MAX: usize = 16;

/// Shared memory with the kernel, unmapped when dropped.
pub struct Mailbox {
    start: NonNull<u8>,
    size: usize,
    ring: usize,
    ring_size: usize,
    read_length: bool,
}

impl Mailbox {
    /// Maps the memory of a device.
    pub fn map(device: &File, size: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice, which only this value knows.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                size,
                protection,
                MapFlags::SHARED,
                device,
                0,
            )?
        };
        let start = NonNull::new(start.cast())
            .ok_or_else(|| io::Error::other("the kernel mapped nothing"))?;
        let mut mailbox = Self {
            start,
            size,
            ring: 0,
            ring_size: 0,
            read_length: false,
        };
        let version = mailbox.number::<2>(VERSION)?;
        if u16::from_ne_bytes(version) != 2 {
            return Err(io::Error::other(
                "the kernel's mailbox is of another version",
            ));
        }
        mailbox.read_length = u16::from_ne_bytes(mailbox.number(FLAGS)?) & CAN_READ_LENGTH != 0;
        mailbox.ring = u32::from_ne_bytes(mailbox.number(RING)?) as usize;
        mailbox.ring_size = u32::from_ne_bytes(mailbox.number(RING_SIZE)?) as usize;
        Ok(mailbox)
    }

    /// Carries out every command that waits.
    pub fn serve(
        &mut self,
        mut carry_out: impl FnMut(&[u8], &mut dyn Buffers) -> Status,
    ) -> io::Result<()> {
        loop {
            let tail = self.counter(TAIL)?.load(Ordering::Relaxed);
            if tail == self.counter(HEAD)?.load(Ordering::Acquire) {
                return Ok(());
            }
            let entry = self.ring + tail as usize;
            let kind = u32::from_ne_bytes(self.number(entry)?);
            let length = kind & !7;
            // Others are padding at the ring's end, and news of aborted commands: these still get their answer.
            if kind & 7 == COMMAND {
                self.command(entry, &mut carry_out)?;
            }
            if length == 0 {
                return Err(io::Error::other(
                    "an entry of the kernel's ring has no length",
                ));
            }
            let next = (tail as usize + length as usize) % self.ring_size.max(1);
            fence(Ordering::Release);
            self.counter(TAIL)?.store(next as u32, Ordering::Release);
        }
    }

    fn command(
        &mut self,
        entry: usize,
        carry_out: &mut impl FnMut(&[u8], &mut dyn Buffers) -> Status,
    ) -> io::Result<()> {
        let count = u32::from_ne_bytes(self.number(entry + PIECES)?) as usize;
        let cdb = u64::from_ne_bytes(self.number(entry + CDB)?) as usize;
        let cdb: [u8; CDB_MAX] = self.number(cdb)?;
        let mut pieces = Vec::with_capacity(count);
        for number in 0..count {
            let at = entry + FIRST_PIECE + number * PIECE;
            let base = u64::from_ne_bytes(self.number(at)?) as usize;
            let length = u64::from_ne_bytes(self.number(at + 8)?) as usize;
            self.at(base, length)?;
            pieces.push((base, length));
        }
        let mut data = Pieces {
            mailbox: self,
            pieces,
        };
        let status = carry_out(&cdb, &mut data);
        let all = data.length();
        // The answer takes the place of the request.
        self.set(entry + STATUS, &[0; 8 + 96])?;
        match status {
            Status::Good(length) if self.read_length && length > 0 && length < all => {
                self.set(entry + READ_LENGTH, &(length as u32).to_ne_bytes())?;
                let [flags] = self.number(entry + COMMAND_FLAGS)?;
                self.set(entry + COMMAND_FLAGS, &[flags & !UNKNOWN | HAS_READ_LENGTH])
            }
            Status::Good(_) => Ok(()),
            Status::Check(key, code, qualifier) => {
                self.set(entry + STATUS, &[CHECK_CONDITION])?;
                self.set(entry + SENSE, &sense(key, code, qualifier))
            }
        }
    }

    /// The address of a range, which is inside of the mapping.
    fn at(&self, offset: usize, length: usize) -> io::Result<*mut u8> {
        match offset.checked_add(length) {
            // SAFETY: the range was just checked against the mapping's size.
            Some(end) if end <= self.size => Ok(unsafe { self.start.as_ptr().add(offset) }),
            _ => Err(io::Error::other(
                "the kernel's ring leads out of its memory",
            )),
        }
    }

    fn number<const N: usize>(&self, offset: usize) -> io::Result<[u8; N]> {
        let from = self.at(offset, N)?;
        let mut bytes = [0; N];
        // SAFETY: both ranges have N bytes, and the kernel leaves an entry alone until it is answered.
        unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), N) };
        Ok(bytes)
    }

    fn set(&mut self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let to = self.at(offset, bytes.len())?;
        // SAFETY: the range is inside of the mapping, and the kernel leaves an entry alone until it is answered.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }

    fn counter(&self, offset: usize) -> io::Result<&AtomicU32> {
        // The mapping starts with a page, and both counters are aligned in it.
        #[allow(clippy::cast_ptr_alignment)]
        let at = self.at(offset, 4)?.cast::<u32>();
        // SAFETY: inside of the mapping, aligned, and both sides use it as an atomic number only.
        Ok(unsafe { AtomicU32::from_ptr(at) })
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing that borrows from it lives longer.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.size) };
    }
}

/// The buffers of one command.
struct Pieces<'a> {
    mailbox: &'a mut Mailbox,
    pieces: Vec<(usize, usize)>,
}

impl Pieces<'_> {
    /// The parts of a range: offset in the mailbox, and length.
    fn parts(&self, offset: usize, length: usize) -> Vec<(usize, usize)> {
        let (mut skip, mut left) = (offset, length);
        let mut parts = Vec::new();
        for &(base, size) in &self.pieces {
            let start = skip.min(size);
            let taken = left.min(size - start);
            if taken > 0 {
                parts.push((base + start, taken));
            }
            skip -= start;
            left -= taken;
        }
        parts
    }
}

impl Buffers for Pieces<'_> {
    fn length(&self) -> usize {
        self.pieces.iter().map(|(_, length)| length).sum()
    }

    fn get(&self, offset: usize, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        for (at, length) in self.parts(offset, length) {
            if let Ok(from) = self.mailbox.at(at, length) {
                // SAFETY: the range is inside of the mapping and initialised: the kernel zeroes or fills its pages.
                bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(from, length) });
            }
        }
        bytes
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        let mut left = bytes;
        for (at, length) in self.parts(offset, bytes.len()) {
            let (part, rest) = left.split_at(length);
            // Every piece was checked when the command was taken.
            let _ = self.mailbox.set(at, part);
            left = rest;
        }
    }
}
