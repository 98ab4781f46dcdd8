// SPDX-License-Identifier: AGPL-3.0-or-later
//! Processes that have a device open.

use std::path::{Path, PathBuf};

/// As many names as a message needs.
const NAMES_MAX: usize = 5;

/// Programs that read a little of every device that appears, changes or is there, and use none: udev and what it
/// starts, and LVM's lists. On a map without paths they wait like everybody else.
const PROBERS: [&str; 13] = [
    "(udev-worker)",
    "systemd-udevd",
    "udevd",
    "blkid",
    "kpartx",
    "multipath",
    "dmsetup",
    "lvm",
    "pvscan",
    "vgscan",
    "pvs",
    "vgs",
    "lvs",
];

struct Opener {
    pid: String,
    name: String,
    times: u32,
}

/// Who has one of some devices open, as far as this can be seen from here.
pub(super) struct Openers(Vec<Opener>);

impl Openers {
    /// Looks at each descriptor of each process: not for every turn of a loop.
    pub fn of(root: &Path, devices: &[String]) -> Self {
        let nodes: Vec<PathBuf> = devices
            .iter()
            .map(|device| Path::new("/dev").join(device))
            .collect();
        let processes = std::fs::read_dir(root.join("proc")).into_iter().flatten();
        let openers = processes.flatten().filter_map(|process| {
            let pid = process.file_name().into_string().ok()?;
            pid.parse::<u32>().ok()?;
            let times = times_open(&process.path().join("fd"), &nodes);
            let name = || std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            (times > 0).then(|| Opener {
                name: name().trim().to_owned(),
                pid,
                times,
            })
        });
        Self(openers.collect())
    }

    /// In words.
    pub fn names(&self) -> Vec<String> {
        if self.0.is_empty() {
            return vec!["something has it open".to_owned()];
        }
        self.0
            .iter()
            .take(NAMES_MAX)
            .map(|opener| format!("process {} ({})", opener.name, opener.pid))
            .collect()
    }

    /// True when these are all that have it open, so many times, and none of them wants to keep it.
    pub fn only_probe(&self, opened: u32) -> bool {
        let seen: u32 = self.0.iter().map(|opener| opener.times).sum();
        seen >= opened
            && self
                .0
                .iter()
                .all(|opener| PROBERS.contains(&opener.name.as_str()))
    }
}

fn times_open(descriptors: &Path, nodes: &[PathBuf]) -> u32 {
    let files = std::fs::read_dir(descriptors).into_iter().flatten();
    let targets = files
        .flatten()
        .filter_map(|file| std::fs::read_link(file.path()).ok());
    let count = targets.filter(|target| nodes.contains(target)).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}
