// SPDX-License-Identifier: AGPL-3.0-or-later
//! Multipath maps, with a scripted multipathd and device trees made of files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

mod conversation;
mod ensure;
mod fake_daemon;
mod look;
mod node;
mod remove;
mod resize;

use std::time::Duration;

use blockio::multipath::Patience;
use blockio::stream::Cancel;

/// Runs `work` with this much time.
fn within<T>(limit: Duration, work: impl FnOnce(&Patience<'_>) -> T) -> T {
    let cancel = Cancel::default();
    work(&Patience::new(limit, &cancel))
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Long enough never to matter.
const LONG: Duration = Duration::from_secs(60);
