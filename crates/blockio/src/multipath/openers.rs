// SPDX-License-Identifier: AGPL-3.0-or-later
//! Processes that have a map open, and what they want with it.

use crate::device::{Opener, Sysfs, openers_of};

/// As many names as a message needs.
const NAMES_MAX: usize = 5;

/// Who has one of some devices open, as far as this can be seen from here.
pub(super) struct Openers(Vec<Opener>);

impl Openers {
    /// Looks at each descriptor of each process: not for every turn of a loop.
    pub fn of(sysfs: &Sysfs, devices: &[&str]) -> Self {
        // Who cannot be seen is not named, and counts as somebody who keeps it.
        Self(openers_of(sysfs, devices).unwrap_or_default())
    }

    /// In words.
    pub fn names(&self) -> Vec<String> {
        if self.0.is_empty() {
            return vec!["something has it open".to_owned()];
        }
        self.0
            .iter()
            .take(NAMES_MAX)
            .map(ToString::to_string)
            .collect()
    }

    /// True when these are all that have it open, so many times, and none of them wants to keep it.
    pub fn only_passing(&self, opened: u32) -> bool {
        let seen: u32 = self.0.iter().map(|opener| opener.times).sum();
        seen >= opened && self.0.iter().all(Opener::is_passing)
    }
}
