// SPDX-License-Identifier: AGPL-3.0-or-later
//! Removing a map so that it stays gone.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use blockio::multipath::Removed;
use blockio::{ErrorKind, Result};

use crate::fake_daemon::{Answer, FakeDaemon};
use crate::node::{Node, UUID, WWID};
use crate::{LONG, millis, within};

const DONE: Result<Removed> = Ok(Removed {
    found: true,
    flushed: true,
});

fn remove(node: &Node, limit: Duration) -> Result<Removed> {
    within(limit, |patience| {
        node.multipath().remove_map(WWID, patience)
    })
}

fn with_map() -> Node {
    let node = Node::new();
    node.map("mpatha", &["sdb", "sdc"]);
    node
}

/// Removes the map when it is told so.
fn obedient(node: &Node) -> FakeDaemon {
    node.daemon(|node, command| {
        if command == "del map mpatha" {
            node.drop_device(UUID);
        }
        "ok\n".into()
    })
}

/// Nothing of the map was touched.
fn assert_refused(node: &Node, daemon: &FakeDaemon, users: &str) {
    let error = remove(node, millis(1500)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.message().contains(users), "{error}");
    assert!(daemon.orders().is_empty(), "{:?}", daemon.orders());
    assert!(node.has_map() && node.calls().is_empty());
}

#[test]
fn a_map_is_removed_by_its_name_and_its_paths_are_forgotten_afterwards() {
    let node = with_map();
    let daemon = obedient(&node);
    assert_eq!(remove(&node, LONG), DONE);
    assert_eq!(
        daemon.orders(),
        ["del map mpatha", "del path sdb", "del path sdc"]
    );
    assert!(!node.has_map() && node.calls().is_empty());
}

#[test]
fn a_map_that_is_gone_is_fine() {
    let node = Node::new();
    let daemon = obedient(&node);
    let nothing = Removed {
        found: false,
        flushed: true,
    };
    assert_eq!(remove(&node, LONG), Ok(nothing));
    assert!(daemon.commands().is_empty());
}

#[test]
fn what_is_in_use_stays() {
    let node = with_map();
    let daemon = obedient(&node);
    node.device(7, "vg0-data", "LVM-abc", &["dm-3"]);
    assert_refused(&node, &daemon, "LVM volume vg0-data on it");
    node.drop_device("LVM-abc");
    let mounts = "36 25 254:3 / /mnt/data rw - ext4 /dev/mapper/mpatha rw\n";
    fs::write(node.path("proc/self/mountinfo"), mounts).unwrap();
    assert_refused(&node, &daemon, "mounted on /mnt/data");
    fs::write(node.path("proc/self/mountinfo"), "").unwrap();
    let swaps = "Filename\tType\tSize\n/dev/dm-3  partition 65532 0 -2\n";
    fs::write(node.path("proc/swaps"), swaps).unwrap();
    assert_refused(&node, &daemon, "swap");
    fs::remove_file(node.path("proc/swaps")).unwrap();
    assert_eq!(remove(&node, LONG), DONE);
}

#[test]
fn a_partition_in_use_is_in_the_way_and_an_unused_one_goes_too() {
    let node = with_map();
    let daemon = node.daemon(|_, _| "fail\n".into());
    let partition = format!("part1-{UUID}");
    node.device(5, "mpatha-part1", &partition, &["dm-3"]);
    node.mapper(UUID, |device| device.open_count = 1);
    let mounts = "36 25 254:5 / /mnt/part rw - ext4 /dev/mapper/mpatha-part1 rw\n";
    fs::write(node.path("proc/self/mountinfo"), mounts).unwrap();
    assert_refused(&node, &daemon, "partition 1: mounted on /mnt/part");
    fs::write(node.path("proc/self/mountinfo"), "").unwrap();
    assert_eq!(remove(&node, LONG), DONE);
    assert_eq!(
        node.calls(),
        [format!("remove {partition}"), format!("remove {UUID}")]
    );
}

#[test]
fn a_process_that_keeps_it_open_is_named() {
    let node = with_map();
    let daemon = obedient(&node);
    opener(&node, "kvm");
    assert_refused(&node, &daemon, "open in process 4711 (kvm)");
}

/// A process that has the map open.
fn opener(node: &Node, name: &str) {
    node.mapper(UUID, |device| device.open_count = 1);
    fs::create_dir_all(node.path("proc/4711/fd")).unwrap();
    fs::write(node.path("proc/4711/comm"), format!("{name}\n")).unwrap();
    symlink("/dev/dm-3", node.path("proc/4711/fd/9")).unwrap();
}

#[test]
fn who_only_looks_must_not_wait_for_a_path_that_will_not_come() {
    for (name, opened, released) in [
        ("(udev-worker)", 1, true),
        ("kvm", 1, false),
        ("blkid", 2, false),
    ] {
        let node = with_map();
        let _daemon = obedient(&node);
        opener(&node, name);
        node.mapper(UUID, |device| {
            device.open_count = opened;
            device.paths.iter_mut().for_each(|path| path.1 = false);
        });
        // It gets its error, and closes the map.
        let closer = node.clone();
        let wake = move |pause: Duration| {
            std::thread::sleep(pause);
            if closer.calls() == ["queueing false"] && closer.has_map() {
                closer.mapper(UUID, |device| device.open_count = 0);
            }
        };
        let limit = if released { LONG } else { millis(1500) };
        let removed = within(limit, |patience| {
            node.multipath().remove_map(WWID, &patience.woken_by(&wake))
        });
        assert_eq!(removed == DONE, released, "{name}: {removed:?}");
        assert_eq!(node.calls().is_empty(), !released, "{name}");
    }
}

#[test]
fn udev_may_finish_looking_at_it() {
    let node = with_map();
    let daemon = obedient(&node);
    node.mapper(UUID, |device| device.open_count = 1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(millis(200));
            assert!(daemon.orders().is_empty());
            node.mapper(UUID, |device| device.open_count = 0);
        });
        assert_eq!(remove(&node, LONG), DONE);
    });
}

#[test]
fn the_kernel_removes_what_the_daemon_does_not() {
    for (answer, limit) in [
        (Answer::from("fail\n"), LONG),
        ("fail\ndevice not found\n".into(), LONG),
        ("ok\n".into(), LONG),
        (Answer::Raw(Vec::new()), LONG),
        // Half of the time is for the daemon.
        ("timeout\n".into(), millis(3000)),
        (Answer::Silence, millis(3000)),
    ] {
        let node = with_map();
        let _daemon = node.daemon(move |_, _| answer.clone());
        assert_eq!(remove(&node, limit), DONE);
        assert_eq!(node.calls(), [format!("remove {UUID}")]);
    }
    let node = with_map();
    assert_eq!(remove(&node, LONG), DONE, "without a daemon");
}

#[test]
fn a_map_that_comes_back_is_removed_again() {
    let node = with_map();
    let returns = AtomicU32::new(2);
    let daemon = node.daemon(move |node, command| {
        match command {
            "del map mpatha" => node.drop_device(UUID),
            "del path sdc" if returns.load(Ordering::SeqCst) > 0 => {
                returns.fetch_sub(1, Ordering::SeqCst);
                node.map("mpatha", &["sdb", "sdc"]);
            }
            _ => {}
        }
        "ok\n".into()
    });
    assert_eq!(remove(&node, LONG), DONE);
    assert!(!node.has_map());
    let removals = daemon
        .orders()
        .into_iter()
        .filter(|order| order == "del map mpatha");
    assert!(
        removals.count() + node.calls().len() == 3,
        "{:?}",
        daemon.orders()
    );
}

#[test]
fn one_that_always_comes_back_is_an_error() {
    let node = with_map();
    let _daemon = obedient(&node);
    let somebody = node.clone();
    let wake = move |_| {
        if !somebody.has_map() {
            somebody.map("mpatha", &["sdb", "sdc"]);
        }
    };
    let started = Instant::now();
    let error = within(millis(500), |patience| {
        node.multipath()
            .remove_map(WWID, &patience.woken_by(&wake))
            .unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(node.has_map() && started.elapsed() < LONG);
}

#[test]
fn without_a_path_nothing_may_wait_for_one() {
    let node = with_map();
    node.mapper(UUID, |device| {
        device.paths.iter_mut().for_each(|path| path.1 = false);
    });
    let daemon = obedient(&node);
    assert_eq!(remove(&node, LONG), DONE);
    assert_eq!(
        daemon.orders()[..2],
        ["disablequeueing map mpatha", "del map mpatha"]
    );
    assert_eq!(node.calls(), ["queueing false"]);
}

#[test]
fn a_blocked_path_may_come_back() {
    let node = with_map();
    for disk in ["sdb", "sdc"] {
        node.set_state(disk, "blocked");
    }
    let daemon = obedient(&node);
    assert_eq!(remove(&node, LONG), DONE);
    assert_eq!(daemon.orders()[0], "del map mpatha");
}

#[test]
fn a_map_that_could_not_be_removed_queues_as_before() {
    for (answer, calls) in [("ok\n", 1), ("fail\n", 2)] {
        let node = with_map();
        for disk in ["sdb", "sdc"] {
            node.set_state(disk, "offline");
        }
        let daemon = node.daemon(move |node, command| match command {
            "disablequeueing map mpatha" => {
                node.mapper(UUID, |device| device.open_count = 1);
                "ok\n".into()
            }
            "restorequeueing map mpatha" => answer.into(),
            _ => "fail\nmap or partition in use\n".into(),
        });
        let error = remove(&node, millis(2000)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert_eq!(
            daemon.orders().last().unwrap(),
            "restorequeueing map mpatha"
        );
        assert_eq!(node.calls().len(), calls, "{:?}", node.calls());
    }
}

#[test]
fn sysfs_and_the_daemon_are_enough() {
    let node = with_map();
    let _daemon = obedient(&node);
    let multipath = node.multipath_by_sysfs();
    assert_eq!(
        within(LONG, |patience| multipath.remove_map(WWID, patience)),
        DONE
    );
    assert!(!node.has_map());
}

#[test]
fn data_that_cannot_be_written_keeps_the_map() {
    let node = with_map();
    let daemon = obedient(&node);
    // What cannot be opened for reading cannot be written out either; root may open everything but this.
    fs::remove_file(node.path("dev/dm-3")).unwrap();
    symlink("dm-3", node.path("dev/dm-3")).unwrap();
    let error = remove(&node, LONG).unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.message().contains("flush"), "{error}");
    assert!(daemon.orders().is_empty() && node.has_map());
}
