// SPDX-License-Identifier: AGPL-3.0-or-later
//! Finding, changing and waiting for disks, in trees of files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

mod common;
#[path = "common/tree.rs"]
mod tree;

use std::time::{Duration, Instant};

use blockio::ErrorKind;
use blockio::device::{
    Devno, PathState, ScsiPath, Sysfs, Wwid, bounded, delete, delete_within, path_at, paths_at,
    paths_of, rescan, rescan_within, scan, scan_within, sessions, set_state, wait_for, wait_paths,
};
use blockio::stream::Cancel;
use common::TempDir;
use tree::{Session, Tree, at, digits, wwid};

/// Long enough never to matter.
const PATIENCE: Duration = Duration::from_secs(600);

fn addresses(paths: &[ScsiPath]) -> Vec<String> {
    paths.iter().map(|path| path.hctl.to_string()).collect()
}

#[test]
fn all_paths_of_a_disk_are_found_with_all_that_is_known() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.array(2, 3);
    tree.session(Session {
        id: 7,
        target_name: "iqn.2025-06.example:v6",
        address: "2001:db8::7",
    });
    tree.scsi("7:0:0:5", &format!("naa.{}", digits(1).to_uppercase()));
    let found = paths_of(&tree.sysfs(), &wwid(1)).unwrap();
    assert_eq!(addresses(&found), ["0:0:0:1", "1:0:0:1", "7:0:0:5"]);
    let expected = ScsiPath {
        hctl: at("1:0:0:1"),
        name: Some("sde".into()),
        devno: Some(Devno {
            major: 8,
            minor: 64,
        }),
        wwid: Some(wwid(1)),
        aliases: Vec::new(),
        size: 2 * 2048 * 512,
        read_only: false,
        state: "running".into(),
        session: Some(1),
        portal: Some("192.0.2.1:3260".into()),
        vendor: "SCST_BIO".into(),
        model: "Storage".into(),
    };
    assert_eq!(found[1], expected);
    assert_eq!(found[2].name, None, "the kernel has made no disk of it");
    assert_eq!(found[2].portal.as_deref(), Some("[2001:db8::7]:3260"));
    assert_eq!(paths_of(&tree.sysfs(), &wwid(9)), Ok(Vec::new()));
    assert_eq!(
        paths_of(&Sysfs::new(dir.path("nothing")), &wwid(1)),
        Ok(Vec::new())
    );
}

#[test]
fn a_thousand_other_disks_cost_one_file_each_and_activation_looks_at_none() {
    let activation = |luns: u32| {
        let dir = TempDir::in_memory();
        let tree = Tree::new(dir.dir());
        tree.crowd(4, luns, 7);
        let (sysfs, trace) = Sysfs::traced(tree.root());
        let paths: Vec<_> = (0..4).map(|host| at(&format!("{host}:0:0:7"))).collect();
        for path in &paths {
            scan(&sysfs, *path).unwrap();
        }
        let found =
            wait_paths(&sysfs, &wwid(7), &paths, Instant::now(), &Cancel::default()).unwrap();
        assert_eq!(found.there.len(), 4);
        let looked_at = trace.take();
        let own = |path: &String| {
            let nodes: Vec<_> = found.there.iter().filter_map(|p| p.name.clone()).collect();
            paths.iter().any(|p| path.contains(&format!("/{p}")))
                || nodes.iter().any(|node| *path == format!("dev/{node}"))
                || path.starts_with("sys/class/scsi_host/")
                || path.starts_with("sys/class/iscsi_")
        };
        let others: Vec<_> = looked_at.iter().filter(|path| !own(path)).collect();
        assert_eq!(others, Vec::<&String>::new());

        let found = paths_of(&sysfs, &wwid(7)).unwrap();
        assert_eq!(found.len(), 4);
        (looked_at.len(), trace.take().len())
    };
    let (few, search_few) = activation(10);
    let (many, search_many) = activation(1000);
    assert_eq!(few, many, "flat in the number of disks");
    assert!(many <= 4 * 20, "{many} for four paths");
    let more = search_many - search_few;
    // Each thread opens the bus and the target again.
    assert!(
        more <= 4 * 990 + 32,
        "{more} for 990 further disks on four paths"
    );
}

#[test]
fn an_address_is_looked_at_alone() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.array(2, 3);
    tree.scsi("1:0:4:2", "eui.3935353435363335");
    let (sysfs, trace) = Sysfs::traced(tree.root());
    let path = path_at(&sysfs, at("1:0:0:2")).unwrap().unwrap();
    assert_eq!(path.wwid, Some(wwid(2)));
    assert!(trace.take().iter().all(|path| !path.contains("0:0:0:")));
    assert_eq!(path_at(&sysfs, at("1:0:0:3")), Ok(None));
    drop(trace.take());

    let found = paths_at(&sysfs, 1, 2).unwrap();
    assert_eq!(addresses(&found), ["1:0:0:2", "1:0:4:2"]);
    let others: Vec<_> = trace
        .take()
        .into_iter()
        .filter(|path| path.contains("devices/0:") || path.ends_with(":1"))
        .collect();
    assert_eq!(others, Vec::<String>::new());
}

#[test]
fn a_disk_is_found_by_the_identity_that_udev_takes_when_the_kernel_shows_another() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.array(1, 2);
    tree.scsi("0:0:0:5", "eui.00112233445566778899aabbccddeeff");
    let mut page = vec![0, 0x83, 0, 32, 1, 2, 0, 16];
    page.extend([
        0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
    ]);
    page.extend([1, 3, 0, 8, 0x50, 1, 2, 3, 4, 5, 6, 7]);
    tree.write(&format!("{}/vpd_pg83", Tree::device("0:0:0:5")), page);
    for identity in ["35001020304050607", "200112233445566778899aabbccddeeff"] {
        let wanted: Wwid = identity.parse().unwrap();
        let found = paths_of(&tree.sysfs(), &wanted).unwrap();
        assert_eq!(addresses(&found), ["0:0:0:5"], "{identity}");
        let wwid = found[0].wwid.as_ref().unwrap().to_string();
        if identity.starts_with('3') {
            // Not asked for another kind, it does not look for one.
            assert_eq!(wwid, "35001020304050607");
        }
        assert!(found[0].is(&wanted));
    }
    let path = path_at(&tree.sysfs(), at("0:0:0:5")).unwrap().unwrap();
    assert_eq!(path.wwid.unwrap().to_string(), "35001020304050607");
    assert_eq!(path.aliases.len(), 1);
}

#[test]
fn sessions_are_found_by_the_name_of_their_target() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.array(2, 2);
    tree.session(Session {
        id: 4,
        target_name: "iqn.2025-06.example:other",
        address: "2001:db8::1",
    });
    let found = sessions(&tree.sysfs(), "IQN.2025-06.example:vm-100-0").unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].id, 1);
    assert_eq!(found[1].host, 1);
    assert_eq!(found[1].state, "LOGGED_IN");
    assert_eq!(found[1].tpgt, Some(1));
    assert_eq!(found[1].portals, ["192.0.2.1:3260"]);
    assert_eq!(found[1].luns, [at("1:0:0:0"), at("1:0:0:1")]);
    // Nothing was scanned yet, so there is no SCSI target.
    let other = &sessions(&tree.sysfs(), "iqn.2025-06.example:other").unwrap()[0];
    assert_eq!((other.host, other.channel, other.target), (4, 0, 0));
    assert_eq!(other.portals, ["[2001:db8::1]:3260"]);
    assert!(other.luns.is_empty());
    assert_eq!(sessions(&tree.sysfs(), "iqn.2025-06.example"), Ok(vec![]));
}

#[test]
fn a_scan_is_for_one_lun_of_one_target() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.array(2, 1);
    let cancel = Cancel::default();
    scan_within(&tree.sysfs(), at("1:0:0:33"), PATIENCE, &cancel).unwrap();
    assert_eq!(tree.read("sys/class/scsi_host/host1/scan"), "0 0 33");
    assert_eq!(tree.read("sys/class/scsi_host/host0/scan"), "");
    let error = scan(&tree.sysfs(), at("5:0:0:0")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Absent, "{error}");
}

#[test]
fn only_the_expected_disk_is_changed() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.array(1, 2);
    tree.scsi("0:0:0:9", "");
    let sysfs = tree.sysfs();
    let device = Tree::device("0:0:0:1");
    for refused in [
        rescan(&sysfs, at("0:0:0:1"), &wwid(0)),
        delete(&sysfs, at("0:0:0:1"), &wwid(0)).map(drop),
        delete(&sysfs, at("0:0:0:9"), &wwid(0)).map(drop),
        set_state(&sysfs, at("0:0:0:1"), &wwid(0), PathState::Offline).map(drop),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    }
    for file in ["rescan", "delete"] {
        assert_eq!(tree.read(&format!("{device}/{file}")), "");
    }
    assert_eq!(tree.read(&format!("{device}/state")), "running\n");

    let cancel = Cancel::default();
    rescan_within(&sysfs, at("0:0:0:1"), &wwid(1), PATIENCE, &cancel).unwrap();
    assert_eq!(tree.read(&format!("{device}/rescan")), "1");
    assert_eq!(
        set_state(&sysfs, at("0:0:0:1"), &wwid(1), PathState::Offline),
        Ok(true)
    );
    assert_eq!(tree.read(&format!("{device}/state")), "offline");
    let deleted = delete_within(&sysfs, at("0:0:0:1"), &wwid(1), PATIENCE, &cancel);
    assert_eq!(deleted, Ok(true));
    assert_eq!(tree.read(&format!("{device}/delete")), "1");

    let gone = at("0:0:0:44");
    assert_eq!(delete(&sysfs, gone, &wwid(1)), Ok(false));
    let error = rescan(&sysfs, gone, &wwid(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Absent, "{error}");
}

#[test]
fn waiting_ends_when_the_last_path_has_a_node_and_a_size() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.array(1, 3);
    tree.session(Session {
        id: 1,
        target_name: "iqn.2025-06.example:vm-100-0",
        address: "192.0.2.1",
    });
    let wanted = [at("0:0:0:2"), at("1:0:0:2")];
    let look = |deadline| {
        let cancel = Cancel::default();
        wait_paths(&tree.sysfs(), &wwid(2), &wanted, deadline, &cancel).unwrap()
    };
    let now = look(Instant::now());
    assert_eq!(addresses(&now.there), ["0:0:0:2"]);
    assert_eq!(now.missing, [at("1:0:0:2")]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| look(Instant::now() + PATIENCE));
        tree.scsi("1:0:0:2", &format!("naa.{}", digits(2)));
        let disk = tree.disk("1:0:0:2", 99, 0);
        let now = look(Instant::now());
        assert_eq!(now.missing, [at("1:0:0:2")], "no size yet");
        let size = format!("{}/block/{disk}/size", Tree::device("1:0:0:2"));
        tree.write(&size, "2048\n");
        let found = waiting.join().unwrap();
        assert_eq!(addresses(&found.there), ["0:0:0:2", "1:0:0:2"]);
        assert_eq!((found.missing.len(), found.foreign.len()), (0, 0));
    });
    std::fs::remove_file(tree.path("dev/sdc")).unwrap();
    assert_eq!(look(Instant::now()).missing, [at("0:0:0:2")], "no node");
}

#[test]
fn another_disk_at_the_address_is_told_at_once() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.array(2, 3);
    tree.scsi("0:0:0:8", "");
    let cancel = Cancel::default();
    let wanted = [at("0:0:0:1"), at("1:0:0:2"), at("0:0:0:8")];
    let found = wait_paths(
        &tree.sysfs(),
        &wwid(1),
        &wanted,
        Instant::now() + PATIENCE,
        &cancel,
    )
    .unwrap();
    assert_eq!(addresses(&found.there), ["0:0:0:1"]);
    assert_eq!(addresses(&found.foreign), ["1:0:0:2", "0:0:0:8"]);
    assert_eq!(found.foreign[0].wwid, Some(wwid(2)));
    assert_eq!(found.foreign[1].wwid, None, "it does not say");
}

#[test]
fn a_cancelled_wait_ends() {
    let dir = TempDir::new();
    for root in [dir.dir(), std::path::Path::new("/")] {
        let cancel = Cancel::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                wait_for::<()>(
                    &Sysfs::new(root),
                    Instant::now() + PATIENCE,
                    &cancel,
                    |_| Ok(None),
                )
            });
            std::thread::sleep(Duration::from_millis(20));
            cancel.stop();
            assert!(waiting.join().unwrap().unwrap_err().is_cancelled());
        });
    }
}

#[test]
fn a_wait_looks_for_the_last_time_at_its_deadline() {
    let dir = TempDir::new();
    let deadline = Instant::now() + Duration::from_millis(150);
    let found = wait_for(&Sysfs::new(dir.dir()), deadline, &Cancel::default(), |_| {
        Ok((Instant::now() >= deadline).then_some(()))
    });
    assert_eq!(found, Ok(Some(())));
}

#[test]
fn limits_of_time_are_per_tree() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.array(1, 1);
    let cancel = Cancel::default();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let hang = move || Ok(released.recv().is_err());
    let late = bounded("scan SCSI host 0", Duration::ZERO, &cancel, hang);
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Timeout);
    scan_within(&tree.sysfs(), at("0:0:0:0"), PATIENCE, &cancel).unwrap();
    drop(release);
}
