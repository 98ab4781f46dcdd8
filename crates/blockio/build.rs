// SPDX-License-Identifier: AGPL-3.0-or-later
//! Prepares the linker for a Node addon.
fn main() {
    #[cfg(feature = "addon")]
    napi_build::setup();
}
