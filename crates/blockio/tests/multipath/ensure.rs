// SPDX-License-Identifier: AGPL-3.0-or-later
//! Making sure that a disk has its map.

use std::time::{Duration, Instant};

use blockio::multipath::{Ensured, Map, Off, Patience};
use blockio::stream::Cancel;
use blockio::{ErrorKind, Result};

use crate::fake_daemon::{Answer, FakeDaemon};
use crate::node::{Node, UUID, WWID};
use crate::{LONG, millis, within};

fn ensure(node: &Node, wanted: usize, limit: Duration) -> Result<Ensured> {
    let paths = ["sdb".to_owned(), "sdc".to_owned()];
    within(limit, |patience| {
        node.multipath().ensure_map(WWID, &paths, wanted, patience)
    })
}

fn map_of(ensured: Result<Ensured>) -> (Map, Vec<String>) {
    match ensured.unwrap() {
        Ensured::Map { map, missing } => (map, missing),
        off @ Ensured::Off(_) => panic!("{off:?}"),
    }
}

#[test]
fn a_daemon_that_makes_it_by_itself_is_left_alone() {
    let node = Node::new();
    let daemon = node.daemon(|_, _| "fail\n".into());
    // Before the first look again.
    let udev = node.clone();
    let wake = move |_| udev.map(WWID, &["sdb", "sdc"]);
    let paths = ["sdb".to_owned(), "sdc".to_owned()];
    let (map, missing) = map_of(within(LONG, |patience| {
        node.multipath()
            .ensure_map(WWID, &paths, 2, &patience.woken_by(&wake))
    }));
    assert_eq!((map.name.as_str(), missing.len()), (WWID, 0));
    assert!(daemon.orders().is_empty(), "{:?}", daemon.commands());
    // Again, with nothing to do.
    assert_eq!(map_of(ensure(&node, 2, LONG)).0.paths.len(), 2);
    assert!(daemon.orders().is_empty());
}

/// Makes the map on this command, and is content with every other.
fn makes_it_on(node: &Node, order: &'static str, says: &'static str) -> FakeDaemon {
    node.daemon(move |node, command| {
        if command == order {
            node.map("mpatha", &["sdb", "sdc"]);
            return says.into();
        }
        "ok\n".into()
    })
}

#[test]
fn paths_are_added_where_the_daemon_did_not_notice() {
    let node = Node::new();
    let daemon = makes_it_on(&node, "add path sdc", "ok\n");
    let (map, missing) = map_of(ensure(&node, 2, LONG));
    assert_eq!((map.name.as_str(), missing.len()), ("mpatha", 0));
    assert_eq!(daemon.orders(), ["add path sdb", "add path sdc"]);
}

#[test]
fn a_map_is_asked_for_where_paths_alone_do_not_make_one() {
    let node = Node::new();
    let daemon = makes_it_on(&node, "add map 360014059abcde3c584628a02620bf796", "ok\n");
    map_of(ensure(&node, 2, LONG));
    let orders = daemon.orders();
    assert_eq!(orders[2..], [format!("add map {WWID}")]);
}

#[test]
fn a_map_that_an_old_daemon_made_and_lost_is_shown_to_it() {
    let node = Node::new();
    let daemon = makes_it_on(&node, "add map 360014059abcde3c584628a02620bf796", "fail\n");
    map_of(ensure(&node, 2, LONG));
    let orders = daemon.orders();
    assert_eq!(
        orders[2..],
        [format!("add map {WWID}"), "add map mpatha".to_owned()]
    );
}

#[test]
fn a_path_that_appears_later_joins() {
    let node = Node::new();
    node.map("mpatha", &["sdb"]);
    let daemon = makes_it_on(&node, "add path sdc", "ok\n");
    assert_eq!(map_of(ensure(&node, 2, LONG)).1, Vec::<String>::new());
    assert_eq!(daemon.orders(), ["add path sdc"]);
}

#[test]
fn without_a_daemon_or_against_its_will_there_is_none() {
    let node = Node::new();
    assert_eq!(ensure(&node, 1, LONG), Ok(Ensured::Off(Off::NotRunning)));
    let daemon = node.daemon(|_, command| match command {
        "add map 360014059abcde3c584628a02620bf796" => "ok\n".into(),
        _ => "blacklisted\n".into(),
    });
    assert_eq!(ensure(&node, 1, LONG), Ok(Ensured::Off(Off::Excluded)));
    assert_eq!(daemon.orders(), ["add path sdb", "add path sdc"]);
    drop(daemon);
    std::fs::remove_file(node.path("run/multipathd.socket")).unwrap();
    let _daemon = node.daemon(|_, command| match command {
        "add map 360014059abcde3c584628a02620bf796" => "blacklisted\n".into(),
        _ => "ok\n".into(),
    });
    assert_eq!(ensure(&node, 1, LONG), Ok(Ensured::Off(Off::Excluded)));
}

#[test]
fn a_map_that_is_there_is_used_also_without_a_daemon() {
    let node = Node::new();
    node.map("mpatha", &["sdb"]);
    let (map, missing) = map_of(ensure(&node, 2, LONG));
    assert_eq!((map.usable(), missing), (1, vec!["sdc".to_owned()]));
}

#[test]
fn one_usable_path_is_enough_at_the_deadline() {
    let node = Node::new();
    node.map("mpatha", &["sdb", "sdc"]);
    node.mapper(UUID, |device| device.paths[1].1 = false);
    let _daemon = node.daemon(|_, _| "fail\n".into());
    let started = Instant::now();
    let (map, missing) = map_of(ensure(&node, 2, millis(300)));
    assert_eq!((map.usable(), missing.len()), (1, 0));
    assert!(started.elapsed() >= millis(300), "it waited for the other");
}

#[test]
fn nothing_usable_at_the_deadline_is_an_error_with_what_was_said() {
    let node = Node::new();
    let daemon = node.daemon(|_, command| match command {
        "add path sdc" => "fail\nno such luck\n".into(),
        "add map 360014059abcde3c584628a02620bf796" => "fail\ndevice not found\n".into(),
        _ => "ok\n".into(),
    });
    let error = ensure(&node, 1, millis(2000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        error.message().contains("multipathd does not know it"),
        "{error}"
    );
    node.map("mpatha", &["sdb", "sdc"]);
    node.mapper(UUID, |device| {
        device.paths.iter_mut().for_each(|path| path.1 = false);
    });
    let error = ensure(&node, 1, millis(100)).unwrap_err();
    assert!(error.message().contains("none of its 2 paths"), "{error}");
    drop(daemon);
}

#[test]
fn a_map_without_its_name_is_not_ready() {
    let node = Node::new();
    node.map("mpatha", &["sdb", "sdc"]);
    std::fs::remove_file(node.path("dev/mapper/mpatha")).unwrap();
    let error = ensure(&node, 1, millis(100)).unwrap_err();
    assert!(error.message().contains("/dev/mapper/mpatha"), "{error}");
}

#[test]
fn a_silent_daemon_does_not_hold_up_a_map_that_appears() {
    let node = Node::new();
    let _daemon = node.daemon(|_, _| Answer::Silence);
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(millis(600));
            node.map("mpatha", &["sdb", "sdc"]);
        });
        map_of(ensure(&node, 2, millis(4000)));
    });
    assert!(started.elapsed() < millis(4000));
}

#[test]
fn disks_that_the_kernel_does_not_have_are_not_told() {
    let node = Node::new();
    std::fs::remove_dir_all(node.path("sys/block/sdb")).unwrap();
    let daemon = node.daemon(|_, _| "ok\n".into());
    let error = ensure(&node, 1, millis(500)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(!daemon.commands().contains(&"add path sdb".to_owned()));
}

#[test]
fn disks_that_udev_has_not_looked_at_are_told_when_it_has() {
    let node = Node::new();
    let data = node.path("run/udev/data");
    std::fs::create_dir_all(&data).unwrap();
    let number = |disk: &str| {
        let text = std::fs::read_to_string(node.path(&format!("sys/block/{disk}/dev"))).unwrap();
        data.join(format!("b{}", text.trim()))
    };
    std::fs::write(number("sdb"), "").unwrap();
    let daemon = makes_it_on(&node, "add path sdc", "ok\n");
    let error = ensure(&node, 2, millis(1200)).unwrap_err();
    assert!(
        error.message().contains("udev has not looked at sdc"),
        "{error}"
    );
    assert_eq!(daemon.orders(), ["add path sdb"]);
    std::fs::write(number("sdc"), "").unwrap();
    assert_eq!(map_of(ensure(&node, 2, LONG)).0.paths.len(), 2);
}

#[test]
fn it_stops_when_cancelled() {
    let node = Node::new();
    let daemon = node.daemon(|_, _| Answer::Silence);
    let cancel = Cancel::default();
    std::thread::scope(|scope| {
        let multipath = node.multipath();
        let patience = Patience::new(LONG, &cancel);
        let paths = ["sdb".to_owned()];
        let waiter = scope.spawn(move || multipath.ensure_map(WWID, &paths, 1, &patience));
        while daemon.commands().is_empty() {
            std::thread::yield_now();
        }
        cancel.stop();
        assert!(waiter.join().unwrap().unwrap_err().is_cancelled());
    });
}
