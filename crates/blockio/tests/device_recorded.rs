// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is read of a real kernel's trees, and of the same trees damaged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

mod common;
#[path = "common/damage.rs"]
mod damage;
#[path = "common/recorded.rs"]
mod recorded;

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use blockio::ErrorKind;
use blockio::device::{
    Hctl, NvmeNamespace, ScsiPath, Sysfs, Wwid, delete, holders, nvme_controllers, nvme_disks,
    nvme_namespace, path_at, paths_at, paths_of, rescan, scan, sessions, users_within, wait_paths,
};
use blockio::multipath::{DeviceState, Map, Multipath, Patience};
use blockio::stream::Cancel;
use common::TempDir;
use damage::{Damage, apply, damage};
use proptest::prelude::*;
use proptest::sample::Index;
use recorded::{ISCSI, ISCSI_PATH_LOST, NVME, NVME_PATH_LOST, lay_out};

const MIB: u64 = 1 << 20;
const TARGET: &str = "iqn.2020-01.org.example:t";
/// Of LUN 0 and LUN 1.
const WWIDS: [&str; 2] = [
    "3600140526b609bc89706eb29c40a19c3",
    "36001405f3e90ce87a25538f5a4be79a0",
];
const SUBSYSTEM: &str = "nqn.2020-01.org.example:n";
/// Of namespace 1 and namespace 2.
const UUIDS: [&str; 2] = [
    "uuid.20961941-ece6-34af-cdb5-830e6ce6bd04",
    "uuid.a4386734-91da-ae81-48ea-e77373b6a467",
];
/// Of namespace 2, whose `wwid` shows its UUID.
const NGUID: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const ADDRESSES: [&str; 2] = ["10.77.1.2", "10.77.2.2"];

fn tree(recorded: &str) -> (TempDir, Sysfs) {
    let dir = TempDir::in_memory();
    lay_out(recorded, dir.dir());
    let sysfs = Sysfs::new(dir.dir());
    (dir, sysfs)
}

/// udev's links to the maps, which are not recorded.
fn link_maps(root: &Path) {
    let links = root.join("dev/disk/by-id");
    std::fs::create_dir_all(&links).unwrap();
    for (number, wwid) in WWIDS.iter().enumerate() {
        let link = links.join(format!("dm-uuid-mpath-{wwid}"));
        symlink(format!("../../dm-{number}"), link).unwrap();
    }
}

fn wwid(text: &str) -> Wwid {
    text.parse().unwrap()
}

/// The map of a WWID, as sysfs alone has it.
fn map(root: &Path, wwid: &str) -> blockio::Result<Option<Map>> {
    let cancel = Cancel::default();
    let nobody = root.join("run/nobody").display().to_string();
    let patience = Patience::new(Duration::from_secs(60), &cancel);
    Multipath::new(root, Some(&nobody)).map_of(wwid, &patience)
}

fn sorted(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut words: Vec<_> = words.into_iter().collect();
    words.sort();
    words
}

#[test]
fn both_paths_of_a_disk_are_found_with_session_and_portal() {
    let (dir, sysfs) = tree(ISCSI);
    for (lun, identity) in WWIDS.iter().enumerate() {
        let paths = paths_of(&sysfs, &wwid(identity)).unwrap();
        assert_eq!(paths.len(), 2);
        for path in &paths {
            assert_eq!(path.hctl.lun, lun as u64);
            assert_eq!(path.wwid, Some(wwid(identity)));
            assert_eq!((path.size, path.read_only), (64 * MIB, false));
            assert_eq!(
                (path.vendor.as_str(), path.state.as_str()),
                ("LIO-ORG", "running")
            );
            // The kernel's own link, from the other side.
            let link = format!("sys/block/{}/device", path.name.as_ref().unwrap());
            let device = std::fs::canonicalize(dir.path(&link)).unwrap();
            assert!(device.ends_with(path.hctl.to_string()), "{path:?}");
            let known = path_at(&sysfs, path.hctl).unwrap().unwrap();
            // What is only looked up when nobody says which identity is meant.
            let other = known.aliases.iter().map(ToString::to_string);
            let other: Vec<_> = other.collect();
            assert!(
                matches!(&other[..], [t10] if t10.starts_with("1LIO-ORG_FILEIO:")),
                "{other:?}"
            );
            let aliases = Vec::new();
            assert_eq!(
                ScsiPath {
                    aliases,
                    ..known.clone()
                },
                *path
            );
            let there = paths_at(&sysfs, path.hctl.host, lun as u64).unwrap();
            assert_eq!(there, [known]);
        }
        let portals = sorted(paths.iter().filter_map(|path| path.portal.clone()));
        assert_eq!(portals, ADDRESSES.map(|address| format!("{address}:3260")));
        let deadline = Instant::now() + Duration::from_secs(60);
        let addresses: Vec<_> = paths.iter().map(|path| path.hctl).collect();
        let cancel = Cancel::default();
        let found = wait_paths(&sysfs, &wwid(identity), &addresses, deadline, &cancel).unwrap();
        assert_eq!(found.there, paths);
    }
}

#[test]
fn the_paths_of_a_map_are_those_of_its_disk() {
    for recorded in [ISCSI, ISCSI_PATH_LOST] {
        let (dir, sysfs) = tree(recorded);
        link_maps(dir.dir());
        for identity in WWIDS {
            let (seen, trace) = Sysfs::traced(dir.dir());
            let multipath = Multipath::new(dir.dir(), None).seen_through(seen);
            let used = multipath.used_paths(&wwid(identity)).unwrap();
            let all = trace.take().contains(&"sys/bus/scsi/devices".to_owned());
            assert!(!all, "all devices were asked");
            assert_eq!(used, paths_of(&sysfs, &wwid(identity)).unwrap());
            assert!(!used.is_empty());
        }
    }
}

#[test]
fn the_page_of_identities_says_the_same_as_the_kernel() {
    let (dir, sysfs) = tree(ISCSI);
    let before = paths_of(&sysfs, &wwid(WWIDS[1])).unwrap();
    for path in &before {
        let file = format!("sys/bus/scsi/devices/{}/wwid", path.hctl);
        std::fs::remove_file(dir.path(&file)).unwrap();
    }
    let after = paths_of(&sysfs, &wwid(WWIDS[1])).unwrap();
    assert_eq!(after.len(), 2);
    assert!(after.iter().all(|path| path.wwid == Some(wwid(WWIDS[1]))));
}

#[test]
fn sessions_are_found_with_their_luns() {
    let (_dir, sysfs) = tree(ISCSI);
    let found = sessions(&sysfs, TARGET).unwrap();
    assert_eq!(found.len(), 2);
    for session in &found {
        assert_eq!(session.state, "LOGGED_IN");
        assert_eq!(
            (session.channel, session.target, session.tpgt),
            (0, 0, Some(1))
        );
        let luns: Vec<_> = session.luns.iter().map(|at| (at.host, at.lun)).collect();
        assert_eq!(luns, [(session.host, 0), (session.host, 1)]);
    }
    assert_eq!(
        sessions(&sysfs, "iqn.2020-01.org.example:other").unwrap(),
        []
    );
}

#[test]
fn a_map_has_the_paths_that_sysfs_has_by_identity() {
    let (dir, sysfs) = tree(ISCSI);
    for identity in WWIDS {
        let map = map(dir.dir(), identity).unwrap().unwrap();
        assert_eq!((map.name.as_str(), map.size), (identity, 64 * MIB));
        assert!(!map.suspended && map.usable() == 2);
        let paths = paths_of(&sysfs, &wwid(identity)).unwrap();
        for path in &paths {
            let hctl = path.hctl.to_string();
            let of_map = map
                .paths
                .iter()
                .find(|one| Some(&one.name) == path.name.as_ref());
            assert_eq!(of_map.unwrap().hctl, Some(hctl));
        }
    }
    assert_eq!(
        map(dir.dir(), "3600140500000000000000000000000ff"),
        Ok(None)
    );
}

#[test]
fn users_of_disks_and_maps_are_named() {
    let (dir, sysfs) = tree(ISCSI);
    let users = |device: &str| holders(&sysfs, device).unwrap().by;
    let maps = WWIDS.map(|identity| map(dir.dir(), identity).unwrap().unwrap());
    for (identity, map) in WWIDS.iter().zip(&maps) {
        for path in &map.paths {
            assert_eq!(
                users(&path.name),
                [format!("multipath map {identity} on it")]
            );
        }
    }
    assert_eq!(users(&maps[0].device), ["LVM volume vg-data on it"]);
    let on_second = holders(&sysfs, &maps[1].device).unwrap();
    assert_eq!(
        on_second.by,
        [format!("partition map {}p1 on it", WWIDS[1])]
    );
    assert_eq!(users(&on_second.holders[0].name), ["mounted on /mnt/data"]);
    let cancel = Cancel::default();
    let patience = Patience::new(Duration::from_secs(60), &cancel);
    let nobody = dir.path("run/nobody").display().to_string();
    let multipath = Multipath::new(dir.dir(), Some(&nobody));
    for (identity, user) in WWIDS.iter().zip([
        "LVM volume vg-data on it",
        "partition 1: mounted on /mnt/data",
    ]) {
        let error = multipath.remove_map(identity, &patience).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(error.message().contains(user), "{error}");
    }
}

#[test]
fn a_lost_portal_shows_in_session_path_and_map() {
    let (dir, sysfs) = tree(ISCSI_PATH_LOST);
    let lost: Vec<_> = sessions(&sysfs, TARGET).unwrap();
    let lost: Vec<_> = lost.iter().filter(|one| one.state != "LOGGED_IN").collect();
    assert_eq!(lost.len(), 1);
    for identity in WWIDS {
        for path in paths_of(&sysfs, &wwid(identity)).unwrap() {
            let state = if path.session == Some(lost[0].id) {
                "transport-offline"
            } else {
                "running"
            };
            assert_eq!(path.state, state, "{path:?}");
        }
        let map = map(dir.dir(), identity).unwrap().unwrap();
        assert_eq!((map.paths.len(), map.usable()), (2, 1));
        let offline =
            |path: &&blockio::multipath::MapPath| path.device_state == DeviceState::Offline;
        assert_eq!(map.paths.iter().filter(offline).count(), 1);
    }
}

#[test]
fn a_namespace_is_one_disk_with_a_path_for_each_controller() {
    let (_dir, sysfs) = tree(NVME);
    let controllers = nvme_controllers(&sysfs, SUBSYSTEM).unwrap();
    assert_eq!(controllers.len(), 2);
    for (controller, address) in controllers.iter().zip(ADDRESSES) {
        let start = format!("traddr={address},trsvcid=4420,");
        assert!(controller.address.starts_with(&start), "{controller:?}");
        assert_eq!(
            (controller.state.as_str(), controller.transport.as_str()),
            ("live", "tcp")
        );
    }
    let mut names = Vec::new();
    for (index, uuid) in UUIDS.iter().enumerate() {
        let found = namespace(&sysfs, uuid).unwrap();
        assert_eq!(found.nsid, Some(u32::try_from(index).unwrap() + 1));
        assert_eq!((found.size, found.read_only), (64 * MIB, false));
        assert!(found.multipath && found.paths.len() == 2);
        for (path, controller) in found.paths.iter().zip(&controllers) {
            assert_eq!(path.controller, *controller);
            assert_eq!(path.ana_state, "optimized");
        }
        names.push(found.name);
    }
    names.sort();
    assert_eq!(nvme_disks(&sysfs, SUBSYSTEM).unwrap(), names);
    let by_nguid = namespace(&sysfs, NGUID).unwrap();
    assert_eq!(
        by_nguid.nsid,
        Some(2),
        "its UUID is what the kernel shows first"
    );
    assert_eq!(
        namespace(&sysfs, "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8fa"),
        None
    );
    let elsewhere = nvme_namespace(&sysfs, "nqn.other", &wwid(UUIDS[0])).unwrap();
    assert_eq!(elsewhere, None);
}

#[test]
fn a_lost_controller_stays_a_path_that_is_not_live() {
    let (_dir, sysfs) = tree(NVME_PATH_LOST);
    for uuid in UUIDS {
        let found = namespace(&sysfs, uuid).unwrap();
        let states = found.paths.iter().map(|path| path.controller.state.clone());
        assert_eq!(sorted(states), ["connecting", "live"]);
    }
}

fn namespace(sysfs: &Sysfs, identity: &str) -> Option<NvmeNamespace> {
    nvme_namespace(sysfs, SUBSYSTEM, &Wwid::nvme(identity).unwrap()).unwrap()
}

// --- damaged

/// What the files of a tree say, read by no code of the crate: true when one of `files` in `dir` contains the identity, as
/// text or as bytes.
fn says(dir: &Path, files: &[&str], identity: &str) -> bool {
    let digits: String = identity
        .trim_start_matches("uuid.")
        .chars()
        .filter(|c| *c != '-')
        .collect();
    let digits = if digits.len() == 33 {
        &digits[1..]
    } else {
        &digits
    };
    let bytes: Vec<u8> = (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    files.iter().any(|file| {
        // Not of a pipe.
        let path = dir.join(file);
        if !path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
            return false;
        }
        let content = std::fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&content).replace('-', "");
        text.contains(digits) || content.windows(bytes.len()).any(|part| part == bytes)
    })
}

/// Whatever the tree is like: what is found as a disk is what its own files say it is.
fn check_path(root: &Path, identity: &str, path: &ScsiPath) {
    let dir = root
        .join("sys/bus/scsi/devices")
        .join(path.hctl.to_string());
    assert!(
        says(&dir, &["wwid", "vpd_pg83"], identity),
        "another disk: {path:?}"
    );
    if let Some(name) = &path.name {
        assert!(
            dir.join("block").join(name).exists(),
            "another name: {path:?}"
        );
    }
}

fn check_namespace(root: &Path, identity: &str, found: &NvmeNamespace) {
    let classes = ["sys/class/nvme-subsystem", "sys/class/nvme"];
    let parents = classes
        .iter()
        .filter_map(|class| std::fs::read_dir(root.join(class)).ok());
    let dirs: Vec<_> = parents
        .flatten()
        .map(|parent| parent.unwrap().path())
        .filter(|parent| parent.join(&found.name).is_dir())
        .filter(|parent| {
            let nqn = parent.join("subsysnqn");
            nqn.is_file()
                && std::fs::read(nqn).is_ok_and(|nqn| nqn.trim_ascii() == SUBSYSTEM.as_bytes())
        })
        .collect();
    let files = ["wwid", "uuid", "nguid", "eui"];
    assert!(
        dirs.iter()
            .any(|dir| says(&dir.join(&found.name), &files, identity)),
        "another namespace: {found:?}"
    );
}

/// Asks everything there is to ask about the disks of an iSCSI target.
fn ask_iscsi(root: &Path, check: impl Fn(&str, &ScsiPath)) {
    let sysfs = Sysfs::new(root);
    let cancel = Cancel::default();
    let at = |host, lun| Hctl {
        host,
        channel: 0,
        target: 0,
        lun,
    };
    for (lun, identity) in (0..).zip(WWIDS) {
        let wanted = wwid(identity);
        for path in paths_of(&sysfs, &wanted).unwrap() {
            assert!(path.is(&wanted));
            check(identity, &path);
        }
        for path in Multipath::new(root, None).used_paths(&wanted).unwrap() {
            assert!(path.is(&wanted));
            check(identity, &path);
        }
        let all = [at(0, lun), at(1, lun), at(0, 1 - lun)];
        let found = wait_paths(&sysfs, &wanted, &all, Instant::now(), &cancel).unwrap();
        assert_eq!(
            found.there.len() + found.missing.len() + found.foreign.len(),
            3
        );
        for path in &found.there {
            assert!(path.is(&wanted) && path.size > 0);
            check(identity, path);
        }
        for address in all {
            let _ = path_at(&sysfs, address).unwrap();
            let _ = scan(&sysfs, address);
            let _ = rescan(&sysfs, address, &wanted);
        }
        if let Ok(Some(found)) = map(root, identity) {
            assert_eq!(found.wwid, identity);
        }
        let _ = paths_at(&sysfs, 0, lun).unwrap();
    }
    for session in sessions(&sysfs, TARGET).unwrap() {
        assert!(session.target_name.eq_ignore_ascii_case(TARGET));
    }
    for device in [
        "sda", "sdb", "dm-0", "dm-1", "dm-2", "dm-3", "8:16", "253:1",
    ] {
        let _ = holders(&sysfs, device);
        let _ = users_within(&sysfs, device, Duration::ZERO);
    }
}

fn ask_nvme(root: &Path, check: impl Fn(&str, &NvmeNamespace)) {
    let sysfs = Sysfs::new(root);
    for identity in [UUIDS[0], UUIDS[1], NGUID] {
        let wanted = Wwid::nvme(identity).unwrap();
        if let Ok(Some(found)) = nvme_namespace(&sysfs, SUBSYSTEM, &wanted) {
            check(identity, &found);
        }
    }
    let _ = nvme_controllers(&sysfs, SUBSYSTEM).unwrap();
    for name in nvme_disks(&sysfs, SUBSYSTEM).unwrap() {
        let _ = holders(&sysfs, &name);
    }
}

/// Where each disk is, as the kernel left it.
fn truth(root: &Path) -> BTreeMap<Hctl, (String, String)> {
    let devices = std::fs::read_dir(root.join("sys/bus/scsi/devices")).unwrap();
    devices
        .filter_map(|entry| {
            let dir = entry.unwrap().path();
            let hctl = dir.file_name()?.to_str()?.parse().ok()?;
            let wwid = std::fs::read_to_string(dir.join("wwid")).unwrap();
            let mut block = std::fs::read_dir(dir.join("block")).unwrap();
            let name = block.next().unwrap().unwrap().file_name();
            let wwid = wwid.trim().replace("naa.", "3");
            Some((hctl, (wwid, name.into_string().unwrap())))
        })
        .collect()
}

fn damages() -> impl Strategy<Value = Vec<(Index, Damage)>> {
    prop::collection::vec((any::<Index>(), damage()), 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_that_lacks_things_shows_no_disk_as_another(all in damages(), lost: bool) {
        let (dir, sysfs) = tree(if lost { ISCSI_PATH_LOST } else { ISCSI });
        link_maps(dir.dir());
        let truth = truth(dir.dir());
        prop_assert_eq!(truth.len(), 4);
        for (place, damage) in all.iter().filter(|(_, damage)| !damage.makes_another_tree()) {
            apply(dir.dir(), *place, damage);
        }
        ask_iscsi(dir.dir(), |identity, path| {
            let (wwid, name) = &truth[&path.hctl];
            assert_eq!(wwid, identity, "another disk: {path:?}");
            assert!(path.name.as_ref().is_none_or(|found| found == name), "another name: {path:?}");
        });
        for (hctl, (_, _)) in &truth {
            let other = WWIDS[1 - usize::try_from(hctl.lun).unwrap()];
            let deleted = delete(&sysfs, *hctl, &wwid(other));
            prop_assert!(!matches!(deleted, Ok(true)), "another disk is deleted");
        }
    }

    #[test]
    fn whatever_a_tree_says_is_what_is_believed(all in damages(), lost: bool) {
        let (dir, _) = tree(if lost { ISCSI_PATH_LOST } else { ISCSI });
        link_maps(dir.dir());
        for (place, damage) in &all {
            apply(dir.dir(), *place, damage);
        }
        ask_iscsi(dir.dir(), |identity, path| check_path(dir.dir(), identity, path));
    }

    #[test]
    fn no_namespace_is_taken_for_another(all in damages(), lost: bool) {
        let (dir, _) = tree(if lost { NVME_PATH_LOST } else { NVME });
        for (place, damage) in &all {
            apply(dir.dir(), *place, damage);
        }
        ask_nvme(dir.dir(), |identity, found| check_namespace(dir.dir(), identity, found));
    }

    #[test]
    fn devices_may_vanish_while_they_are_looked_at(all in prop::collection::vec(any::<Index>(), 24), nvme: bool) {
        let (dir, _) = tree(if nvme { NVME } else { ISCSI });
        link_maps(dir.dir());
        let truth = if nvme { BTreeMap::new() } else { truth(dir.dir()) };
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for place in &all {
                    apply(dir.dir(), *place, &Damage::Remove);
                }
                done.store(true, Ordering::Release);
            });
            loop {
                let last = done.load(Ordering::Acquire);
                if nvme {
                    ask_nvme(dir.dir(), |_, _| ());
                } else {
                    ask_iscsi(dir.dir(), |identity, path| assert_eq!(truth[&path.hctl].0, identity));
                }
                if last {
                    break;
                }
            }
        });
    }
}
