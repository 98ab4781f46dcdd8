// SPDX-License-Identifier: AGPL-3.0-or-later
//! Giving a map its new size.

use std::time::Duration;

use blockio::{ErrorKind, Result};

use crate::node::{MIB, Node, WWID};
use crate::{LONG, millis, within};

fn resize(node: &Node, size: u64, limit: Duration) -> Result<()> {
    within(limit, |patience| {
        node.multipath().resize_map(WWID, size, patience)
    })
}

fn grown() -> Node {
    let node = Node::new();
    node.map("mpatha", &["sdb", "sdc"]);
    for disk in ["sdb", "sdc"] {
        node.set_size(disk, 128 * MIB);
    }
    node
}

#[test]
fn a_map_grows_by_its_name_and_once() {
    let node = grown();
    let daemon = node.daemon(|node, _| {
        node.set_size("dm-3", 128 * MIB);
        "ok\n".into()
    });
    for _ in 0..2 {
        resize(&node, 128 * MIB, LONG).unwrap();
    }
    assert_eq!(daemon.orders(), ["resize map mpatha"]);
}

#[test]
fn paths_come_first() {
    let node = grown();
    node.set_size("sdc", 64 * MIB);
    let daemon = node.daemon(|node, _| {
        node.set_size("dm-3", 128 * MIB);
        "ok\n".into()
    });
    let error = resize(&node, 128 * MIB, millis(100)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        error.message().contains("sdc has 67108864 bytes; rescan"),
        "{error}"
    );
    assert!(daemon.orders().is_empty());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(millis(60));
            node.set_size("sdc", 128 * MIB);
        });
        resize(&node, 128 * MIB, LONG).unwrap();
    });
}

#[test]
fn a_daemon_that_did_not_know_the_map_is_told() {
    let node = grown();
    let daemon = node.daemon(|node, command| {
        if command == "add map mpatha" {
            node.set_size("dm-3", 128 * MIB);
            return "ok\n".into();
        }
        "fail\n".into()
    });
    resize(&node, 128 * MIB, LONG).unwrap();
    assert_eq!(daemon.orders(), ["resize map mpatha", "add map mpatha"]);
}

#[test]
fn a_daemon_that_says_ok_is_not_believed() {
    let node = grown();
    let _daemon = node.daemon(|_, _| "ok\n".into());
    let error = resize(&node, 128 * MIB, millis(200)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        error
            .message()
            .contains("67108864 bytes instead of 134217728"),
        "{error}"
    );
}

#[test]
fn without_a_map_or_a_daemon_it_fails() {
    let node = grown();
    let error = resize(&node, 128 * MIB, LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let error = resize(&Node::new(), 128 * MIB, LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Absent);
}
