// SPDX-License-Identifier: AGPL-3.0-or-later
//! Receiving a `tar+size` stream into a directory.

mod frame;
mod input;
mod member;
mod place;
mod tree;
mod writers;

use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{Mode, OFlags};

pub(super) use self::place::Powers;

use self::input::Input;
use self::member::Headers;
use self::tree::Tree;
use super::Summary;
use crate::stream::{self, Cancel, Control, Limiter, PipeEnd};
use crate::{Error, ErrorKind, Result};

/// Bytes of one read under a rate limit at most.
const PIECE: usize = 256 << 10;

/// What to import and where to.
pub struct ImportOptions {
    /// A pipe, socket or file. Read to its end.
    pub stream: OwnedFd,
    /// The announced size, when the header has been read already. Only 0 is possible: directories have no size.
    pub size: Option<u64>,
    /// An empty directory, which nobody else can enter.
    pub target: PathBuf,
    /// Limit in bytes per second.
    pub rate: Option<NonZeroU64>,
}

/// Unpacks `options.stream` in the target. Blocks until done, failed, or stopped through `control`. When it returns
/// successfully, the archive had an end, nothing came after it, and everything is durable.
///
/// Nothing outside the directory is created, changed or followed, whatever the archive says. Without privileges owners
/// are not restored, and devices are left out with a note.
///
/// # Errors
/// `invalid` for an archive that is cut off, damaged, or names places outside of the directory; `unsupported` for a
/// size other than 0; `no-space`; `cancelled`. After an error the directory holds a part of the archive.
pub fn import(options: ImportOptions, control: &Control) -> Result<Summary> {
    let _interruptible = control.cancel.enter();
    let started = Instant::now();
    let end = PipeEnd::reader(options.stream, control.cancel.clone())?;
    let size = match options.size {
        Some(size) => size,
        None => stream::read_size(&end)?,
    };
    check_size(size)?;
    let mut limiter = Limiter::new(options.rate);
    let mut source = |buffer: &mut [u8]| {
        let length = limiter.piece(PIECE).min(buffer.len());
        limiter.wait(length, &control.cancel)?;
        let got = end
            .call(|fd| rustix::io::read(fd, &mut buffer[..length]))?
            .map_err(|errno| {
                let done = control.meter.bytes();
                Error::os(format!("read stream after {done} bytes"), errno)
            })?;
        control.meter.add(got as u64);
        Ok(got)
    };
    let (members, notes) = unpack_into(&mut source, &options.target, control)?;
    Ok(Summary {
        stream: stream::Summary {
            bytes: control.meter.bytes(),
            data_bytes: control.meter.data_bytes(),
            seconds: started.elapsed().as_secs_f64(),
            sha256: None,
        },
        members,
        notes,
    })
}

/// Reads the header of a `tar+size` stream, and nothing behind it: the size of its volume in bytes, 0 for none.
///
/// # Errors
/// `invalid` when the stream ends early or is of another format; `cancelled`.
pub fn read_header(stream: OwnedFd, cancel: &Cancel) -> Result<u64> {
    let _interruptible = cancel.enter();
    let size = stream::read_size(&PipeEnd::reader(stream, cancel.clone())?)?;
    if size > stream::MAX_SIZE {
        return Err(Error::invalid(format!(
            "stream announces {size} bytes: it is not in the format tar+size"
        )));
    }
    Ok(size)
}

fn check_size(size: u64) -> Result<()> {
    if size == 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "import archive: its volume is limited to {size} bytes, and a directory has no limit here; use a volume of format raw"
        ),
    ))
}

/// Unpacks an archive without header from any source of bytes, which returns 0 at its end. As [`import`] otherwise.
///
/// # Errors
/// As [`import`].
pub fn unpack(
    source: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
    target: &Path,
    control: &Control,
) -> Result<()> {
    unpack_into(source, target, control).map(|_| ())
}

fn unpack_into(
    source: &mut input::Source<'_>,
    target: &Path,
    control: &Control,
) -> Result<(u64, Vec<String>)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(target, flags, Mode::empty())
        .map_err(|errno| Error::os(format!("open directory {}", target.display()), errno))?;
    let mut input = Input::new(source);
    let mut headers = Headers::default();
    let mut members = 0;
    let notes = tree::with(root, control, |tree: &mut Tree<'_>| {
        while let Some(member) = headers.next(&mut input)? {
            tree.check()?;
            let padding = member.padding;
            tree.add(member, &mut input)?;
            input.skip(padding)?;
            members += 1;
        }
        input.finish()
    })?;
    Ok((members, notes))
}
