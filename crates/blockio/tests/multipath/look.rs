// SPDX-License-Identifier: AGPL-3.0-or-later
//! Finding a map.

use std::time::Instant;

use blockio::ErrorKind;
use blockio::multipath::{Checker, DeviceState, PathState};

use crate::fake_daemon::Answer;
use crate::node::{MIB, Node, UUID, WWID, shown};
use crate::{LONG, millis, within};

#[test]
fn a_map_is_known_by_its_wwid_whatever_its_name() {
    let node = Node::new();
    node.map("mpatha", &["sdb", "sdc"]);
    node.device(4, WWID, "LVM-x", &[]);
    let _daemon = node.daemon(|_, command| match command {
        "show map mpatha json" => shown("mpatha", ["ready", "faulty"]).into(),
        _ => "fail\n".into(),
    });
    for multipath in [node.multipath(), node.multipath_by_sysfs()] {
        let map = within(LONG, |patience| multipath.map_of(WWID, patience))
            .unwrap()
            .unwrap();
        assert_eq!((map.name.as_str(), map.device.as_str()), ("mpatha", "dm-3"));
        assert_eq!((map.wwid.as_str(), map.size), (WWID, 64 * MIB));
        assert_eq!(map.queueing, Some(true));
        assert_eq!(map.usable(), 1, "the checker knows better");
        let path = &map.paths[0];
        assert_eq!(
            (path.name.as_str(), path.hctl.as_deref()),
            ("sdb", Some("2:0:0:1"))
        );
        assert_eq!(
            (path.state, path.checker),
            (PathState::Active, Checker::Ready)
        );
        assert_eq!(path.device_state, DeviceState::Running);
    }
}

#[test]
fn the_kernel_is_enough() {
    let node = Node::new();
    node.map("mpatha", &["sdb", "sdc"]);
    node.mapper(UUID, |device| device.paths[0].1 = false);
    node.set_state("sdc", "offline");
    let map = within(LONG, |patience| node.multipath().map_of(WWID, patience))
        .unwrap()
        .unwrap();
    assert_eq!(map.paths[0].state, PathState::Failed);
    assert_eq!(map.paths[1].device_state, DeviceState::Offline);
    assert_eq!(map.usable(), 0);
}

#[test]
fn the_kernels_word_alone_asks_nobody() {
    let node = Node::new();
    node.map("mpatha", &["sdb", "sdc"]);
    let daemon = node.daemon(|_, _| Answer::Silence);
    for multipath in [node.multipath(), node.multipath_by_sysfs()] {
        let map = multipath.kernel_map(WWID).unwrap().unwrap();
        assert_eq!((map.size, map.usable()), (64 * MIB, 2));
        assert_eq!(map.paths[1].hctl.as_deref(), Some("3:0:0:1"));
        assert_eq!(multipath.kernel_map("3600"), Ok(None));
        let error = multipath.kernel_map("../x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    assert!(daemon.commands().is_empty());
}

#[test]
fn a_silent_daemon_delays_but_does_not_hide_a_map() {
    let node = Node::new();
    node.map("mpatha", &["sdb", "sdc"]);
    let _daemon = node.daemon(|_, _| Answer::Silence);
    let started = Instant::now();
    let map = within(LONG, |patience| node.multipath().map_of(WWID, patience)).unwrap();
    assert_eq!(map.unwrap().usable(), 2);
    assert!(started.elapsed() < millis(5000));
}

#[test]
fn no_map_is_not_an_error_and_no_sysfs_is() {
    let node = Node::new();
    node.device(
        3,
        "other",
        "mpath-360014059abcde3c584628a02620bf7967",
        &["sdb"],
    );
    for multipath in [node.multipath(), node.multipath_by_sysfs()] {
        assert_eq!(
            within(LONG, |patience| multipath.map_of(WWID, patience)),
            Ok(None)
        );
        let error = within(LONG, |patience| multipath.map_of("../x", patience)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    std::fs::rename(node.path("sys"), node.path("gone")).unwrap();
    let by_sysfs = node.multipath_by_sysfs();
    assert!(within(LONG, |patience| by_sysfs.map_of(WWID, patience)).is_err());
}
