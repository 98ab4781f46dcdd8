// SPDX-License-Identifier: AGPL-3.0-or-later
//! Operations on block devices by their nodes. Every one may block: on a device whose paths are gone, for ever.

mod device;
pub(crate) mod ioctl;

pub use device::{BlockDevice, is_busy};
