// SPDX-License-Identifier: AGPL-3.0-or-later
//! Services of the file system and of block devices. Every function may block; call it on a thread of its own.

mod attributes;
mod create;
mod loops;
mod prealloc;
mod probe;
mod reflink;
mod rename;
mod size;

pub use attributes::set_immutable;
pub use create::NewFile;
pub use loops::loop_devices_of;
pub use prealloc::{Prealloc, create_file, grow_file};
pub use probe::{DirInfo, probe_dir};
pub use reflink::{ReflinkOptions, reflink, reflink_supported};
pub use rename::{rename_exchange, rename_exclusive};
pub use size::block_size;
