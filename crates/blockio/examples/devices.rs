// SPDX-License-Identifier: AGPL-3.0-or-later
//! Measures how long finding a disk takes among many, in a tree of files.
//!
//! `devices DIR [LUNS [SESSIONS]]` makes the tree in DIR, which is to be empty, and prints Markdown. `devices --used DIR
//! LUN` and `devices --all DIR LUN` are single searches in a tree that is there, each in a process of its own: they print
//! their nanoseconds and what was found.

#![allow(clippy::unwrap_used, reason = "whoever measures looks at what fails")]

#[path = "../tests/common/tree.rs"]
mod tree;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use blockio::device::{Sysfs, path_at, paths_of, wait_paths};
use blockio::multipath::Multipath;
use blockio::stream::Cancel;
use tree::{Tree, at, wwid};

const SAMPLES: usize = 31;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().unwrap_or_else(|| ".".to_owned());
    if let Some(paths) = dir.strip_prefix("--") {
        let (dir, lun) = (arguments.next().unwrap(), arguments.next().unwrap());
        return search(paths, Path::new(&dir), lun.parse().unwrap());
    }
    let mut number = |default: u32| {
        let given = arguments.next();
        given.map_or(default, |given| given.parse().unwrap())
    };
    let (luns, sessions) = (number(1000), number(4));
    let tree = Tree::new(Path::new(&dir));
    let wanted = luns / 2;
    tree.crowd(sessions, luns, wanted);
    tree.maps(sessions, luns);
    let sysfs = tree.sysfs();
    let paths: Vec<_> = (0..sessions)
        .map(|host| at(&format!("{host}:0:0:{wanted}")))
        .collect();
    let all: Vec<_> = (0..sessions)
        .flat_map(|host| (0..luns).map(move |lun| format!("{host}:0:0:{lun}")))
        .map(|at| tree.path(&format!("sys/bus/scsi/devices/{at}/wwid")))
        .collect();

    report(
        &format!("{luns} disks on {sessions} paths each"),
        "median, ms",
        "best, ms",
    );
    report("---", "--:", "--:");
    for (what, which) in [
        ("find the paths that a disk is used through", "--used"),
        ("find all paths of a disk", "--all"),
    ] {
        let times = (0..SAMPLES).map(|_| searched(which, &dir, wanted, paths.len()));
        times_of(what, times.collect());
    }
    row("all paths, again in the same process", || {
        assert_eq!(paths_of(&sysfs, &wwid(wanted)).unwrap().len(), paths.len());
    });
    row("the same files, one after the other, only read", || {
        let mut buffer = [0; 256];
        for path in &all {
            assert_ne!(File::open(path).unwrap().read(&mut buffer).unwrap(), 0);
        }
    });
    row("see that the paths at known addresses are there", || {
        let now = Instant::now();
        let found = wait_paths(&sysfs, &wwid(wanted), &paths, now, &Cancel::default()).unwrap();
        assert_eq!(found.there.len(), paths.len());
    });
    row("look at one address", || {
        assert!(
            path_at(&sysfs, at(&format!("0:0:0:{wanted}")))
                .unwrap()
                .is_some()
        );
    });
}

fn row(what: &str, mut sample: impl FnMut()) {
    let times = (0..SAMPLES).map(|_| {
        let started = Instant::now();
        sample();
        started.elapsed()
    });
    times_of(what, times.collect());
}

fn times_of(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let millis = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    report(what, &millis(times[SAMPLES / 2]), &millis(times[0]));
}

/// What a connector calls, with nothing known before.
fn search(which: &str, dir: &Path, lun: u32) {
    let wanted = wwid(lun);
    let started = Instant::now();
    let found = match which {
        "used" => Multipath::new(dir, None).used_paths(&wanted),
        _ => paths_of(&Sysfs::new(dir), &wanted),
    };
    let nanos = started.elapsed().as_nanos();
    print(&format!("{nanos} {}", found.unwrap().len()));
}

/// The time of such a search.
fn searched(which: &str, dir: &str, lun: u32, paths: usize) -> Duration {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args([which, dir, &lun.to_string()]).output();
    let printed = String::from_utf8(output.unwrap().stdout).unwrap();
    let (nanos, found) = printed.trim().split_once(' ').unwrap();
    assert_eq!(found, paths.to_string());
    Duration::from_nanos(nanos.parse().unwrap())
}

fn report(what: &str, median: &str, best: &str) {
    print(&format!("| {what} | {median} | {best} |"));
}

fn print(line: &str) {
    #[expect(clippy::print_stdout, reason = "the example's own report")]
    {
        println!("{line}");
    }
}
