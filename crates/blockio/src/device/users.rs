// SPDX-License-Identifier: AGPL-3.0-or-later
//! Who uses a disk: what is made of it, and programs that have it open.

use std::thread;
use std::time::{Duration, Instant};

use super::holders::holders;
use super::openers::{Opener, users_of};
use super::sysfs::Sysfs;
use crate::Result;

const PAUSE: Duration = Duration::from_millis(20);

/// Who uses a disk, in words such as `open in process 4711 (kvm)`; empty when nobody does. udev looks at each disk that a
/// writer has closed: whoever only looks is waited for, up to `grace`, and named when that is over.
///
/// # Errors
/// `absent` when there is no such device; `invalid` when this is no name of one.
pub fn users_within(sysfs: &Sysfs, device: &str, grace: Duration) -> Result<Vec<String>> {
    let end = Instant::now() + grace;
    loop {
        let mut users = holders(sysfs, device)?.by;
        let openers = users_of(sysfs, device)?;
        let passing =
            users.is_empty() && !openers.is_empty() && openers.iter().all(Opener::is_passing);
        if !passing || Instant::now() >= end {
            users.extend(openers.iter().map(ToString::to_string));
            return Ok(users);
        }
        thread::sleep(PAUSE);
    }
}
