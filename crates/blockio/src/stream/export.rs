// SPDX-License-Identifier: AGPL-3.0-or-later
//! Sending a file or block device as a `raw+size` stream.

use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

use super::digest::Hashing;
use super::method::ReadMethod;
use super::pipe_end::Kind;
use super::read_ahead::{Item, ReadAhead};
use super::sink::Sink;
use super::source::{Extent, Source};
use super::trail::Trail;
use super::zero::is_zero;
use super::{Control, Summary};
use crate::Result;

/// What to export and how.
pub struct ExportOptions {
    /// A regular file or a block device.
    pub source: PathBuf,
    /// Where the stream goes: a pipe, a socket or a file. Closed at the end.
    pub sink: OwnedFd,
    /// Compute the SHA-256 of the payload. Costs one processor; off unless somebody compares it.
    pub digest: bool,
    /// Limit in bytes per second.
    pub rate: Option<NonZeroU64>,
    /// Leave this at its default, but for measurements.
    pub method: ReadMethod,
}

impl ExportOptions {
    /// An export without digest and limit.
    #[must_use]
    pub fn new(source: PathBuf, sink: OwnedFd) -> Self {
        Self {
            source,
            sink,
            digest: false,
            rate: None,
            method: ReadMethod::default(),
        }
    }
}

/// Writes header and payload of `options.source`. Blocks until done, failed, or stopped through `control`.
///
/// Holes are not read. Pages of files go to pipes without being copied, and do not stay in the page cache unless
/// they were there before; devices are read around it with several requests in flight.
///
/// # Errors
/// `absent` for a missing source; `invalid` for a source that is empty, of another kind, or shrinks while it is
/// read; `unreachable` when the receiver goes away or the device fails; `no-space`; `cancelled`.
pub fn export(options: ExportOptions, control: &Control) -> Result<Summary> {
    let _interruptible = control.cancel.enter();
    let started = Instant::now();
    let source = Source::open(&options.source)?;
    let mut sink = Sink::new(options.sink, options.rate, control.clone())?;
    sink.header(source.size())?;

    let method = match options.method {
        ReadMethod::Auto => choose(&source, sink.kind(), options.digest),
        // Lent pages never come by here.
        ReadMethod::Lend if options.digest => ReadMethod::Buffered,
        method => method,
    };
    let sent = match method {
        ReadMethod::Lend => lend(&source, &mut sink, control)?,
        _ => 0,
    };
    let sha256 = if sent == source.size() {
        None
    } else {
        send_by_reading(&source, sent, &mut sink, method, options.digest, control)?
    };

    source.check_size()?;
    sink.finish()?;
    Ok(Summary {
        bytes: source.size(),
        data_bytes: control.meter.data_bytes(),
        seconds: started.elapsed().as_secs_f64(),
        sha256,
    })
}

/// Pages of files are lent to pipes; a digest needs the bytes here, and sockets take pages slower than bytes.
/// Devices are read around the page cache: another node may have written to them, and many requests in flight hide
/// the way to the array.
fn choose(source: &Source, sink: Kind, digest: bool) -> ReadMethod {
    match sink {
        _ if source.is_device() => ReadMethod::Direct { in_flight: 8 },
        Kind::Pipe if !digest => ReadMethod::Lend,
        _ => ReadMethod::Buffered,
    }
}

/// Lends the page cache's pages to the receiver. Returns how far that went: less than the size when the kernel
/// cannot do it for this file.
fn lend(source: &Source, sink: &mut Sink, control: &Control) -> Result<u64> {
    let mut trail = Trail::new(source);
    let mut extents = source.extents(0);
    while let Some(extent) = extents.next()? {
        match extent {
            Extent::Hole(range) => sink.zeros(range.end - range.start)?,
            Extent::Data(range) => {
                let mut at = range.start;
                while at < range.end {
                    let left = range.end - at;
                    match sink.lend(source, &mut at, left)? {
                        None => return Ok(at),
                        Some(0) => return Err(source.ended_at(at)),
                        Some(moved) => {
                            control.meter.add_data(moved);
                            trail.reached(at);
                        }
                    }
                }
            }
        }
    }
    Ok(source.size())
}

/// Reads ahead on other threads and writes here.
fn send_by_reading(
    source: &Source,
    from: u64,
    sink: &mut Sink,
    method: ReadMethod,
    digest: bool,
    control: &Control,
) -> Result<Option<String>> {
    let (direct, in_flight) = match method {
        ReadMethod::Direct { in_flight } => (source.open_direct(), in_flight),
        _ => (None, 1),
    };
    std::thread::scope(|scope| {
        let hashing = Hashing::start(scope, digest)?;
        let mut ahead = ReadAhead::start(scope, source, direct.as_ref(), in_flight)?;
        let mut trail = direct.is_none().then(|| Trail::new(source));
        let mut extents = source.extents(from);
        let mut data = 0..0;
        loop {
            while ahead.has_room() {
                if data.is_empty() {
                    match extents.next()? {
                        None => break,
                        Some(Extent::Hole(range)) => {
                            ahead.push_hole(range.end - range.start);
                            continue;
                        }
                        Some(Extent::Data(range)) => data = range,
                    }
                }
                data.start = ahead.push_data(&data)?;
                if let Some(trail) = &mut trail {
                    trail.reached(data.start);
                }
            }
            match ahead.pop(source)? {
                None => break,
                Some(Item::Hole(length)) => send_zeros(length, sink, &hashing)?,
                Some(Item::Data(buffer)) => {
                    hashing.data(&buffer)?;
                    // Zeros are lent, bytes are copied: thin devices read as zeros where nothing was written.
                    if sink.kind() == Kind::Pipe && is_zero(&buffer) {
                        sink.zeros(buffer.len() as u64)?;
                    } else {
                        sink.data(&buffer)?;
                    }
                    control.meter.add_data(buffer.len() as u64);
                }
            }
        }
        hashing.finish()
    })
}

/// Sends zeros in steps, so that the digest keeps pace.
fn send_zeros(mut left: u64, sink: &mut Sink, hashing: &Hashing<'_>) -> Result<()> {
    const STEP: u64 = 16 << 20;
    while left > 0 {
        let step = if hashing.wanted() {
            left.min(STEP)
        } else {
            left
        };
        hashing.zeros(step)?;
        sink.zeros(step)?;
        left -= step;
    }
    Ok(())
}
