// SPDX-License-Identifier: AGPL-3.0-or-later
//! `raw+size` streams: eight bytes of size (little endian), then exactly that many bytes.

mod buffer;
mod cancel;
mod digest;
mod export;
mod header;
mod import;
mod lender;
mod method;
mod pipe_end;
mod progress;
mod rate;
mod read_ahead;
mod sink;
mod source;
mod target;
mod trail;
mod write_behind;
mod zero;

pub use cancel::Cancel;
pub use export::{ExportOptions, export};
pub use header::{HEADER_BYTES, MAX_SIZE, read_header};
pub use import::{ImportOptions, import};
pub use method::{ReadMethod, WriteMethod};
pub use progress::{Meter, Progress, Ticker};
pub use target::TargetKind;
pub use zero::is_zero;

pub(crate) use header::read_size;
pub(crate) use pipe_end::PipeEnd;
pub(crate) use rate::Limiter;
pub(crate) use sink::Sink;
pub(crate) use write_behind::WriteBehind;

/// Totals of a finished stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Payload bytes, holes included, header excluded.
    pub bytes: u64,
    /// Payload bytes that were read from the source or written to the target; the rest were holes or zeros.
    pub data_bytes: u64,
    /// Wall time in seconds.
    pub seconds: f64,
    /// SHA-256 of the payload in lower-case hexadecimal, when asked for.
    pub sha256: Option<String>,
}

/// What a running stream shares with the outside.
#[derive(Clone, Default)]
pub struct Control {
    /// Stops the stream.
    pub cancel: Cancel,
    /// Bytes so far.
    pub meter: Meter,
}
