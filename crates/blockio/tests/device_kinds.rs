// SPDX-License-Identifier: AGPL-3.0-or-later
//! NVMe, Fibre Channel, and who uses a disk, in trees of files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

mod common;
#[path = "common/tree.rs"]
mod tree;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use blockio::ErrorKind;
use blockio::device::{
    Wwid, fc_targets, holders, nvme_controllers, nvme_disks, nvme_namespace, nvme_rescan,
    users_within,
};
use common::TempDir;
use tree::Tree;

const NQN: &str = "nqn.2025-06.example:vm-100";
const NGUID: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const OTHER: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8fa";

#[test]
fn the_head_of_an_nvme_namespace_is_found_with_its_paths() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    let wanted = Wwid::nvme(&NGUID.to_uppercase()).unwrap();
    assert_eq!(nvme_namespace(&tree.sysfs(), NQN, &wanted), Ok(None));
    let subsystem = tree.nvme_subsystem(0, NQN);
    tree.nvme_disk(&subsystem, "nvme0n1", OTHER, 1);
    tree.nvme_disk(&subsystem, "nvme0n2", NGUID, 2);
    for number in 0..2 {
        let state = if number == 0 { "live" } else { "connecting" };
        let controller = tree.nvme_controller(number, NQN, state);
        tree.nvme_disk(&controller, &format!("nvme0c{number}n1"), OTHER, 1);
        tree.nvme_disk(&controller, &format!("nvme0c{number}n2"), NGUID, 2);
        tree.write(
            &format!("{controller}/nvme0c{number}n2/ana_state"),
            "optimized\n",
        );
    }
    // The same identity in another subsystem is another disk.
    let stranger = tree.nvme_subsystem(5, "nqn.2025-06.example:other");
    tree.nvme_disk(&stranger, "nvme5n1", NGUID, 1);

    let found = nvme_namespace(&tree.sysfs(), NQN, &wanted)
        .unwrap()
        .unwrap();
    assert_eq!(found.name, "nvme0n2");
    assert_eq!(found.devno.to_string(), "259:2");
    assert_eq!((found.nsid, found.size), (Some(2), 4096 * 512));
    assert!(found.multipath);
    let names: Vec<_> = found.paths.iter().map(|path| path.name.as_str()).collect();
    assert_eq!(names, ["nvme0c0n2", "nvme0c1n2"]);
    assert_eq!(found.paths[1].controller.state, "connecting");
    assert_eq!(found.paths[1].ana_state, "optimized");

    let controllers = nvme_controllers(&tree.sysfs(), NQN).unwrap();
    assert_eq!(controllers.len(), 2);
    assert_eq!(
        controllers[0].address,
        "traddr=192.0.2.0,trsvcid=4420,src_addr=192.0.2.99"
    );
    assert_eq!(nvme_controllers(&tree.sysfs(), "nqn.x"), Ok(Vec::new()));
}

#[test]
fn the_disks_of_an_nvme_subsystem_are_listed_without_their_paths() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    let subsystem = tree.nvme_subsystem(0, NQN);
    tree.nvme_disk(&subsystem, "nvme0n2", NGUID, 2);
    let controller = tree.nvme_controller(0, NQN, "live");
    tree.nvme_disk(&controller, "nvme0c0n2", NGUID, 2);
    tree.nvme_disk(&controller, "nvme0n7", OTHER, 7);
    let found = nvme_disks(&tree.sysfs(), NQN).unwrap();
    assert_eq!(found, ["nvme0n2", "nvme0n7"]);
    assert!(nvme_disks(&tree.sysfs(), "nqn.other").unwrap().is_empty());
    for wrong in ["nvme9", "nvme0n1", "../nvme0"] {
        assert!(nvme_rescan(&tree.sysfs(), wrong).is_err());
    }
}

#[test]
fn a_namespace_with_a_uuid_is_found_by_its_nguid_too() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    let subsystem = tree.nvme_subsystem(0, NQN);
    tree.nvme_disk(&subsystem, "nvme0n1", NGUID, 1);
    let uuid = "uuid.11111111-2222-4333-8444-555555555555";
    tree.write(&format!("{subsystem}/nvme0n1/wwid"), format!("{uuid}\n"));
    for identity in [NGUID, uuid] {
        let wanted = Wwid::nvme(identity).unwrap();
        let found = nvme_namespace(&tree.sysfs(), NQN, &wanted).unwrap();
        assert_eq!(found.unwrap().name, "nvme0n1", "{identity}");
    }
    let other = Wwid::nvme(OTHER).unwrap();
    assert_eq!(nvme_namespace(&tree.sysfs(), NQN, &other), Ok(None));
}

#[test]
fn several_paths_without_native_multipath_are_not_used() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.nvme_subsystem(0, NQN);
    let wanted = Wwid::nvme(NGUID).unwrap();
    let first = tree.nvme_controller(0, NQN, "live");
    tree.nvme_disk(&first, "nvme0n1", NGUID, 1);
    let found = nvme_namespace(&tree.sysfs(), NQN, &wanted)
        .unwrap()
        .unwrap();
    assert_eq!(found.name, "nvme0n1");
    assert!(!found.multipath);
    assert_eq!(found.paths.len(), 1);
    let second = tree.nvme_controller(1, NQN, "live");
    tree.nvme_disk(&second, "nvme1n1", NGUID, 1);
    let error = nvme_namespace(&tree.sysfs(), NQN, &wanted).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[test]
fn fibre_channel_ports_tell_where_to_scan() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.fc_port(1, 0, "0x500a09c0ffe1aa01", "2");
    tree.fc_port(2, 4, "0x500a09c0ffe1aa01", "0");
    tree.fc_port(2, 5, "0x500a09c0ffe1aa01", "-1");
    tree.fc_port(2, 6, "0x500a09c0ffe1aa02", "1");
    let found = fc_targets(&tree.sysfs(), "50:0A:09:C0:FF:E1:AA:01").unwrap();
    let places: Vec<_> = found
        .iter()
        .map(|target| (target.host, target.channel, target.target))
        .collect();
    assert_eq!(places, [(1, 0, 2), (2, 0, 0)]);
    assert_eq!(found[0].port_name, "500a09c0ffe1aa01");
    assert_eq!(found[0].host_port_name.as_deref(), Some("10000000c9abcdef"));
    assert_eq!(found[0].state, "Online");
    let error = fc_targets(&tree.sysfs(), "iqn.x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[test]
fn users_of_a_disk_are_named() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.array(1, 1);
    let disk = format!("{}/block/sda", Tree::device("0:0:0:0"));
    let sysfs = tree.sysfs();
    let unused = holders(&sysfs, "sda").unwrap();
    assert_eq!(unused.by, Vec::<String>::new());

    for (part, minor) in [("sda1", 1), ("sda2", 2), ("sda3", 3)] {
        tree.write(&format!("{disk}/{part}/partition"), format!("{minor}\n"));
        tree.write(&format!("{disk}/{part}/dev"), format!("8:{minor}\n"));
        tree.dir(&format!("{disk}/{part}/holders"));
        tree.link(
            &format!("sys/class/block/{part}"),
            &format!("{disk}/{part}"),
        );
    }
    for (dm, name, uuid, holds) in [
        ("dm-0", "36001405", "mpath-36001405", &disk),
        ("dm-1", "vg-root", "LVM-abc", &format!("{disk}/sda1")),
        ("dm-2", "x-part1", "part1-mpath-x", &disk),
        ("dm-3", "plain", "", &disk),
    ] {
        let device = format!("sys/devices/virtual/block/{dm}");
        tree.write(&format!("{device}/dm/name"), format!("{name}\n"));
        tree.write(&format!("{device}/dm/uuid"), format!("{uuid}\n"));
        tree.link(&format!("sys/class/block/{dm}"), &device);
        tree.link(&format!("{holds}/holders/{dm}"), &device);
    }
    tree.write("sys/devices/virtual/block/md0/size", "1\n");
    tree.link("sys/class/block/md0", "sys/devices/virtual/block/md0");
    tree.link(
        &format!("{disk}/sda3/holders/md0"),
        "sys/devices/virtual/block/md0",
    );
    tree.write("sys/block/loop3/loop/backing_file", "/dev/sda3\n");
    tree.write(
        "proc/1/mountinfo",
        "20 1 8:2 / /mnt/my\\040disk rw - ext4 /dev/sda2 rw\n21 1 8:20 / /x rw - ext4 /dev/sdb rw\n",
    );
    tree.write(
        "proc/swaps",
        "Filename Type Size Used Priority\n/dev/sda3 partition 1 0 -2\n",
    );
    let found = holders(&sysfs, "8:0").unwrap();
    assert_eq!(
        found.by,
        [
            "multipath map 36001405 on it",
            "partition map x-part1 on it",
            "device mapper map plain on it",
            "LVM volume vg-root on partition sda1",
            "partition sda2 mounted on /mnt/my disk",
            "RAID md0 on partition sda3",
            "loop device loop3 on partition sda3",
            "partition sda3 used as swap",
        ]
    );
    assert_eq!(found.partitions, ["sda1", "sda2", "sda3"]);
    assert_eq!(found.holders[0].uuid.as_deref(), Some("mpath-36001405"));
    assert_eq!(found.holders[2].uuid, None);
    let part = holders(&sysfs, "sda2").unwrap();
    assert_eq!(part.by, ["mounted on /mnt/my disk"]);

    tree.write(
        "proc/1/mountinfo",
        "20 1 0:44 / /b rw - btrfs /dev/mapper/vg-root rw\n",
    );
    assert_eq!(holders(&sysfs, "dm-1").unwrap().by, ["mounted on /b"]);

    for (device, kind) in [
        ("sdz", ErrorKind::Absent),
        ("9:9", ErrorKind::Absent),
        ("../x", ErrorKind::Invalid),
        ("", ErrorKind::Invalid),
    ] {
        let error = holders(&sysfs, device).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[test]
fn a_mount_that_only_a_container_sees_is_a_use() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.array(1, 1);
    let devno = fs::read_to_string(tree.path("sys/class/block/sda/dev")).unwrap();
    let host = "20 1 8:200 / / rw - ext4 /dev/root rw\n";
    let inside = format!("30 2 {} / /data rw - ext4 /dev/sda rw\n", devno.trim());
    for (pid, space, mounts) in [
        ("1", "mnt:[1]", host.to_owned()),
        (
            "300",
            "mnt:[1]",
            "of the same name space, not read again".to_owned(),
        ),
        ("4711", "mnt:[2]", format!("{host}{inside}")),
        ("4712", "mnt:[2]", inside),
    ] {
        tree.write(&format!("proc/{pid}/mountinfo"), mounts);
        tree.dir(&format!("proc/{pid}/ns"));
        symlink(space, tree.path(&format!("proc/{pid}/ns/mnt"))).unwrap();
    }
    let found = holders(&tree.sysfs(), "sda").unwrap();
    assert_eq!(found.by, ["mounted on /data by process 4711"]);
}

#[test]
fn multipathd_that_watches_a_path_is_no_user_of_it() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.array(1, 1);
    for (pid, program) in [("7", "multipathd"), ("4711", "kvm")] {
        tree.write(&format!("proc/{pid}/comm"), format!("{program}\n"));
        tree.dir(&format!("proc/{pid}/fd"));
        symlink("/dev/sda", tree.path(&format!("proc/{pid}/fd/9"))).unwrap();
    }
    let found = users_within(&tree.sysfs(), "sda", Duration::ZERO).unwrap();
    assert_eq!(found, ["open in process 4711 (kvm)"]);
}

#[test]
fn who_only_looks_at_a_disk_is_waited_for() {
    let dir = TempDir::new();
    let tree = Tree::new(dir.dir());
    tree.array(1, 1);
    let open = |pid: &str, program: &str| {
        tree.write(&format!("proc/{pid}/comm"), format!("{program}\n"));
        tree.dir(&format!("proc/{pid}/fd"));
        symlink("/dev/sda", tree.path(&format!("proc/{pid}/fd/9"))).unwrap();
    };
    let users = |grace| users_within(&tree.sysfs(), "sda", grace).unwrap();
    open("20", "(udev-worker)");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            fs::remove_file(tree.path("proc/20/fd/9")).unwrap();
        });
        assert!(users(Duration::from_secs(60)).is_empty());
    });
    open("21", "blkid");
    let looking = users(Duration::from_millis(50));
    assert_eq!(looking, ["open in process 21 (blkid)"]);
    // It is no use to wait for one while another one keeps it.
    open("4711", "kvm");
    assert_eq!(users(Duration::from_secs(600)).len(), 2);
}
