// SPDX-License-Identifier: AGPL-3.0-or-later
//! Measures how long finding a disk takes among many, in a tree of files.
//!
//! `devices DIR [LUNS [SESSIONS]]` makes the tree in DIR, which is to be empty, and prints Markdown.

#![allow(clippy::unwrap_used, reason = "whoever measures looks at what fails")]

#[path = "../tests/common/tree.rs"]
mod tree;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use blockio::device::{path_at, paths_of, wait_paths};
use blockio::stream::Cancel;
use tree::{Tree, at, wwid};

const SAMPLES: usize = 31;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().unwrap_or_else(|| ".".to_owned());
    let mut number = |default: u32| {
        let given = arguments.next();
        given.map_or(default, |given| given.parse().unwrap())
    };
    let (luns, sessions) = (number(1000), number(4));
    let tree = Tree::new(Path::new(&dir));
    let wanted = luns / 2;
    tree.crowd(sessions, luns, wanted);
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
    row("find all paths of a disk", || {
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
    let mut times: Vec<Duration> = (0..SAMPLES)
        .map(|_| {
            let started = Instant::now();
            sample();
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    let millis = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    report(what, &millis(times[SAMPLES / 2]), &millis(times[0]));
}

fn report(what: &str, median: &str, best: &str) {
    #[expect(clippy::print_stdout, reason = "the example's own report")]
    {
        println!("| {what} | {median} | {best} |");
    }
}
