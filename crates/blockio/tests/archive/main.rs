// SPDX-License-Identifier: AGPL-3.0-or-later
//! Archives of directories: round trips with this project and with GNU tar, trees that change, streams that end early.
//! Tests whose names begin with `sudo_` need root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

mod change;
#[path = "../common/mod.rs"]
mod common;
mod copy;
mod gnu;
mod roundtrip;
mod sudo;
mod trees;
