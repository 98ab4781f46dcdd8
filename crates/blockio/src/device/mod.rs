// SPDX-License-Identifier: AGPL-3.0-or-later
//! Disks of arrays on this node: found by what the kernel says of their identity, never by a name or a number.
//!
//! All of it reads (and in `change` writes) sysfs below a root of one's choice: see [`Sysfs`]. Finding a disk costs one
//! small file for each SCSI device; everything else looks at exactly the addresses that are given.

mod bounded;
mod change;
mod designator;
mod fc;
mod hctl;
mod holders;
mod iscsi;
mod mounts;
mod nvme;
mod openers;
mod scsi;
mod steps;
mod sweep;
mod sysfs;
mod uevent;
mod users;
mod wait;
mod wwid;

pub use bounded::bounded;
pub(crate) use bounded::joined;
pub use change::{PathState, delete, rescan, scan, set_state};
pub use fc::{FcTarget, fc_targets};
pub use hctl::Hctl;
pub(crate) use holders::holders_but;
pub use holders::{Holder, InUse, holders};
pub use iscsi::{IscsiSession, sessions};
pub use nvme::{
    NvmeController, NvmeNamespace, NvmePath, nvme_controllers, nvme_disks, nvme_namespace,
    nvme_rescan,
};
pub(crate) use openers::{Opener, openers_of};
pub(crate) use scsi::{BLOCKS, address_in, path_called};
pub use scsi::{ScsiPath, path_at, paths_at, paths_of};
pub use steps::{
    delete_within, flush_within, is_busy_within, nvme_rescan_within, rescan_within, scan_within,
};
pub(crate) use steps::{flush_joined, is_flushed};
pub use sysfs::{Devno, Sysfs, Trace};
pub use uevent::Uevents;
pub use users::users_within;
pub use wait::{FoundPaths, Watch, wait_for, wait_paths};
pub use wwid::{Kind as WwidKind, Wwid};
