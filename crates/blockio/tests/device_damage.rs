// SPDX-License-Identifier: AGPL-3.0-or-later
//! Damaged trees: whatever is missing, cut, or of another type, nothing panics and no wrong disk is taken.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

mod common;
#[path = "common/damage.rs"]
mod damage;
#[path = "common/tree.rs"]
mod tree;

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use blockio::device::{
    Hctl, ScsiPath, Wwid, delete, fc_targets, holders, nvme_controllers, nvme_namespace, path_at,
    paths_at, paths_of, rescan, scan, sessions, wait_paths,
};
use blockio::multipath::Multipath;
use blockio::stream::Cancel;
use common::TempDir;
use damage::{apply, damage};
use proptest::prelude::*;
use proptest::sample::Index;
use tree::{Tree, at, wwid};

const SESSIONS: u32 = 2;
const LUNS: u32 = 3;
const TARGET: &str = "iqn.2025-06.example:vm-100-0";
const NQN: &str = "nqn.2025-06.example:vm-100";
const NGUID: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const OTHER: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8fa";
const WWPN: &str = "0x500a09c0ffe1aa01";

fn whole(dir: &Path) -> Tree {
    let tree = Tree::new(dir);
    tree.array(SESSIONS, LUNS);
    tree.maps(SESSIONS, LUNS);
    let subsystem = tree.nvme_subsystem(0, NQN);
    tree.nvme_disk(&subsystem, "nvme0n1", OTHER, 1);
    tree.nvme_disk(&subsystem, "nvme0n2", NGUID, 2);
    let controller = tree.nvme_controller(0, NQN, "live");
    tree.nvme_disk(&controller, "nvme0c0n2", NGUID, 2);
    tree.fc_port(9, 0, WWPN, "2");
    tree.write(
        "proc/1/mountinfo",
        "20 1 8:0 / /mnt rw - ext4 /dev/sda rw\n",
    );
    tree.write("proc/swaps", "Filename\n/dev/sda partition 1 0 -2\n");
    tree.write("sys/block/loop0/loop/backing_file", "/dev/sda\n");
    tree
}

/// The name of the disk at each address.
fn truth() -> HashMap<Hctl, (Wwid, String)> {
    let mut truth = HashMap::new();
    for host in 0..SESSIONS {
        for lun in 0..LUNS {
            let name = tree::disk_name(host * LUNS + lun);
            truth.insert(at(&format!("{host}:0:0:{lun}")), (wwid(lun), name));
        }
    }
    truth
}

fn check(truth: &HashMap<Hctl, (Wwid, String)>, wanted: &Wwid, path: &ScsiPath) {
    let (wwid, name) = &truth[&path.hctl];
    assert_eq!(wwid, wanted, "another disk: {path:?}");
    if let Some(found) = &path.name {
        assert_eq!(found, name, "another name: {path:?}");
    }
}

/// Asks everything, and checks what must hold whatever the tree is like.
fn ask_all(tree: &Tree, check: impl Fn(&Wwid, &ScsiPath)) {
    let sysfs = tree.sysfs();
    let cancel = Cancel::default();
    for lun in 0..=LUNS {
        let wanted = wwid(lun);
        for path in paths_of(&sysfs, &wanted).unwrap() {
            assert!(path.is(&wanted));
            check(&wanted, &path);
        }
        let multipath = Multipath::new(tree.root(), None);
        for path in multipath.used_paths(&wanted).unwrap() {
            assert!(path.is(&wanted));
            check(&wanted, &path);
        }
        let addresses: Vec<_> = (0..SESSIONS)
            .map(|host| at(&format!("{host}:0:0:{lun}")))
            .collect();
        let found = wait_paths(&sysfs, &wanted, &addresses, Instant::now(), &cancel).unwrap();
        let count = found.there.len() + found.missing.len() + found.foreign.len();
        assert_eq!(count, addresses.len());
        for path in &found.there {
            assert!(path.is(&wanted) && path.size > 0 && path.name.is_some());
            check(&wanted, path);
        }
        for path in &found.foreign {
            assert!(!path.is(&wanted));
        }
        for address in addresses {
            let _ = path_at(&sysfs, address).unwrap();
            let _ = rescan(&sysfs, address, &wanted);
            let _ = scan(&sysfs, address);
        }
        let _ = paths_at(&sysfs, 0, lun.into()).unwrap();
    }
    for session in sessions(&sysfs, TARGET).unwrap() {
        assert!(session.target_name.eq_ignore_ascii_case(TARGET));
    }
    for name in ["sda", "sdb", "8:0", "8:16"] {
        let _ = holders(&sysfs, name);
    }
    let _ = nvme_controllers(&sysfs, NQN).unwrap();
    let _ = nvme_namespace(&sysfs, NQN, &Wwid::nvme(NGUID).unwrap());
    let _ = fc_targets(&sysfs, WWPN).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_makes_a_wrong_match(
        all in prop::collection::vec((any::<Index>(), damage()), 1..24)
    ) {
        let dir = TempDir::in_memory();
        let tree = whole(dir.dir());
        let truth = truth();
        for (place, damage) in &all {
            if !damage.makes_another_tree() {
                apply(dir.dir(), *place, damage);
            }
        }
        ask_all(&tree, |wanted, path| check(&truth, wanted, path));
        let wanted = Wwid::nvme(NGUID).unwrap();
        if let Ok(Some(found)) = nvme_namespace(&tree.sysfs(), NQN, &wanted) {
            prop_assert_eq!(found.name, "nvme0n2");
        }
        for host in 0..SESSIONS {
            for lun in 0..LUNS {
                let address = at(&format!("{host}:0:0:{lun}"));
                let file = tree.path(&format!("{}/delete", Tree::device(&address.to_string())));
                let before = std::fs::metadata(&file).map(|meta| meta.len());
                let deleted = delete(&tree.sysfs(), address, &wwid(lun + 1));
                prop_assert!(!matches!(deleted, Ok(true)), "another disk is deleted");
                prop_assert_eq!(before.ok(), std::fs::metadata(&file).map(|meta| meta.len()).ok());
            }
        }
    }

    #[test]
    fn no_damage_makes_a_panic(
        all in prop::collection::vec((any::<Index>(), damage()), 1..24)
    ) {
        let dir = TempDir::in_memory();
        let tree = whole(dir.dir());
        for (place, damage) in &all {
            apply(dir.dir(), *place, damage);
        }
        ask_all(&tree, |_, _| ());
    }

    #[test]
    fn identities_are_parsed_and_written_alike(text in "(?:naa\\.|eui\\.|t10\\.|uuid\\.|[123])?\\PC{0,40}") {
        if let Ok(wwid) = text.parse::<Wwid>() {
            prop_assert_eq!(wwid.to_string().parse::<Wwid>(), Ok(wwid));
        }
    }

    #[test]
    fn hexadecimal_identities_survive_their_forms(digits in "[0-9a-fA-F]{15}[1-9a-f]", double in any::<bool>()) {
        let digits = if double { digits.repeat(2) } else { digits };
        let udev: Wwid = format!("3{digits}").parse().unwrap();
        prop_assert_eq!(Wwid::from_kernel(&format!("naa.{digits}\n")), Ok(udev.clone()));
        prop_assert_eq!(udev.to_string(), format!("3{}", digits.to_lowercase()));
    }
}
