// SPDX-License-Identifier: AGPL-3.0-or-later
//! The header of a `raw+size` stream.

use std::os::fd::OwnedFd;

use super::Cancel;
use super::pipe_end::PipeEnd;
use crate::{Error, Result};

/// Length of the header.
pub const HEADER_BYTES: usize = 8;

/// Largest size that is believed: no file or device of Linux is larger.
pub const MAX_SIZE: u64 = 1 << 62;

/// Reads the header of a stream: the payload's size in bytes.
///
/// # Errors
/// `invalid` when the stream ends early or announces a size that no volume has; `cancelled`.
pub fn read_header(stream: OwnedFd, cancel: &Cancel) -> Result<u64> {
    let _interruptible = cancel.enter();
    read_from(&PipeEnd::reader(stream, cancel.clone())?)
}

/// As [`read_header`], on an end that is open already.
pub(super) fn read_from(stream: &PipeEnd) -> Result<u64> {
    check(read_size(stream)?)
}

/// The header as it is.
pub(crate) fn read_size(stream: &PipeEnd) -> Result<u64> {
    let mut header = [0; HEADER_BYTES];
    let mut filled = 0;
    while filled < HEADER_BYTES {
        let got = stream
            .call(|fd| rustix::io::read(fd, &mut header[filled..]))?
            .map_err(|errno| Error::os("read the stream's header", errno))?;
        if got == 0 {
            return Err(Error::invalid(format!(
                "stream ended after {filled} of {HEADER_BYTES} header bytes; see the sender's log"
            )));
        }
        filled += got;
    }
    Ok(u64::from_le_bytes(header))
}

/// Accepts sizes that a volume can have.
pub(super) fn check(size: u64) -> Result<u64> {
    match size {
        0 => Err(Error::invalid(
            "stream announces an empty volume; see the sender's log",
        )),
        1..=MAX_SIZE => Ok(size),
        _ => Err(Error::invalid(format!(
            "stream announces {size} bytes: it is not in the format raw+size"
        ))),
    }
}
