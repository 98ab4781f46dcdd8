// SPDX-License-Identifier: AGPL-3.0-or-later
//! Volume streams, archives of directories, the disks of arrays, and the file system services behind them.
//!
//! Plain Rust, tested without Node. The feature `addon` adds the N-API surface (`napi`), which only
//! converts arguments, calls one function of this crate on a thread of its own, and converts the result.
//!
//! Everything here may block for as long as the kernel likes. Streams stop through a [`stream::Cancel`].

pub mod archive;
pub mod block;
pub mod device;
pub mod error;
pub mod fs;
pub mod multipath;
pub mod stream;
mod sys;

#[cfg(test)]
mod testing;

// Not in the unit tests: they have no Node to register with.
#[cfg(all(feature = "addon", not(test)))]
mod napi;

pub use error::{Error, ErrorKind, Result};
