// SPDX-License-Identifier: AGPL-3.0-or-later
//! Services of the file system and of block devices. Every function may block; call it on a thread of its own.

mod attributes;
mod create;
mod loops;
mod probe;
mod reflink;
mod size;

pub use attributes::set_immutable;
pub use create::{NewFile, Prealloc, create_file};
pub use loops::loop_devices_of;
pub use probe::{DirInfo, probe_dir};
pub use reflink::{ReflinkOptions, reflink, reflink_supported};
pub use size::block_size;
