// SPDX-License-Identifier: AGPL-3.0-or-later
//! Multipath maps with a real kernel, a real multipathd and an iSCSI array on two fabrics.
//!
//! Needs root on a machine that may be turned inside out, with the commands `lab-san` (a storage array in a network
//! namespace) and `iscsiadm`:
//! `cargo test --test multipath_lab -- --ignored --test-threads 1`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use blockio::ErrorKind;
use blockio::multipath::{
    Checker, ControlNode, DeviceMapper, Ensured, FindMultipaths, Map, Multipath, PathState,
    Patience, Removed, Status,
};
use blockio::stream::Cancel;

const TARGET: &str = "iqn.2020-01.org.example:lab";
const MIB: u64 = 1 << 20;

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn shell(script: &str) -> String {
    run("/bin/sh", &["-ec", script])
}

/// A volume that is exported over two fabrics, and this node logged in to both.
struct Lab {
    wwid: String,
    multipath: Multipath,
}

impl Lab {
    fn new(configuration: &str) -> Self {
        fs::write(
            "/etc/multipath.conf",
            format!(
                "defaults {{\n polling_interval 2\n max_polling_interval 4\n{configuration}\n}}\n"
            ),
        )
        .unwrap();
        let _ = fs::remove_file("/etc/multipath/wwids");
        let _ = fs::remove_file("/etc/multipath/bindings");
        shell("systemctl reset-failed multipathd; systemctl restart multipathd");
        shell("lab-san volume v0 64M");
        shell(&format!("lab-san iscsi {TARGET} v0"));
        shell("iscsiadm -m discovery -t sendtargets -p 10.77.1.2 && iscsiadm -m node --login");
        let wwid = shell("lab-san wwid v0");
        let lab = Self {
            wwid,
            multipath: Multipath::new(Path::new("/"), None),
        };
        let started = Instant::now();
        while lab.disks().len() < 2 {
            assert!(started.elapsed() < Duration::from_secs(20), "no disks");
            std::thread::sleep(Duration::from_millis(100));
        }
        lab
    }

    /// Disks with this WWID, as udev knows them.
    fn disks(&self) -> Vec<String> {
        shell(&format!(
            "for d in /sys/block/sd*; do [ -e \"$d\" ] || continue; udevadm info -q property -n ${{d##*/}} 2>/dev/null | grep -qx ID_SERIAL={} && echo ${{d##*/}}; done; true",
            self.wwid
        ))
        .lines()
        .map(str::to_owned)
        .collect()
    }

    fn ensure(&self) -> Map {
        let disks = self.disks();
        let started = Instant::now();
        let ensured = within(20, |patience| {
            self.multipath.ensure_map(&self.wwid, &disks, 2, patience)
        });
        println_to_log(&format!("ensure: {:?}", started.elapsed()));
        match ensured.unwrap() {
            Ensured::Map { map, missing } => {
                assert!(missing.is_empty(), "{missing:?}");
                assert_eq!(map.usable(), 2, "{map:?}");
                map
            }
            off @ Ensured::Off(_) => panic!("{off:?}"),
        }
    }

    fn remove(&self) -> blockio::Result<Removed> {
        let started = Instant::now();
        let result = within(20, |patience| {
            self.multipath.remove_map(&self.wwid, patience)
        });
        println_to_log(&format!("remove: {:?} {result:?}", started.elapsed()));
        result
    }

    fn map(&self) -> Option<Map> {
        within(5, |patience| self.multipath.map_of(&self.wwid, patience)).unwrap()
    }

    fn dd(map: &Map) {
        shell(&format!(
            "dd if=/dev/urandom of=/dev/mapper/{} bs=1M count=8 2>/dev/null",
            map.name
        ));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = Command::new("lab-san").args(["fabric", "a", "up"]).output();
        let _ = Command::new("lab-san").args(["fabric", "b", "up"]).output();
        let _ = Command::new("iscsiadm")
            .args(["-m", "node", "--logout"])
            .output();
        let _ = Command::new("iscsiadm")
            .args(["-m", "node", "-o", "delete"])
            .output();
        let _ = Command::new("lab-san").arg("down").output();
    }
}

/// The lab's log, next to other results.
fn println_to_log(line: &str) {
    use std::io::Write;
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open("/tmp/multipath-lab.log");
    let _ = file.and_then(|mut file| writeln!(file, "{test}: {line}"));
}

fn within<T>(seconds: u64, work: impl FnOnce(&Patience<'_>) -> T) -> T {
    let cancel = Cancel::default();
    work(&Patience::new(Duration::from_secs(seconds), &cancel))
}

const DONE: blockio::Result<Removed> = Ok(Removed {
    found: true,
    flushed: true,
});

/// Made, used, removed, made again, in this configuration.
fn life_of_a_map(configuration: &str, named_by_wwid: bool, find: &FindMultipaths) {
    let lab = Lab::new(configuration);
    let daemon = lab.multipath.daemon();
    assert_eq!(
        within(5, |patience| daemon.status(patience)),
        Ok(Status::Running)
    );
    let settings = within(5, |patience| daemon.settings(patience))
        .unwrap()
        .unwrap();
    assert_eq!(
        (settings.named_by_wwid, &settings.find_multipaths),
        (named_by_wwid, find)
    );
    for _ in 0..3 {
        let map = lab.ensure();
        assert_eq!(map.name == lab.wwid, named_by_wwid, "{map:?}");
        assert_eq!(map.size, 64 * MIB);
        assert!(map.open_count.is_some());
        for path in &map.paths {
            assert_eq!(path.state, PathState::Active, "{path:?}");
            assert!(path.hctl.is_some(), "{path:?}");
        }
        Lab::dd(&map);
        assert_eq!(lab.remove(), DONE);
        assert_eq!(lab.map(), None);
        // A report about a path does not bring it back.
        for disk in lab.disks() {
            shell(&format!(
                "echo change > /sys/block/{disk}/uevent; udevadm settle"
            ));
        }
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(lab.map(), None);
    }
    assert!(!lab.remove().unwrap().found);
}

#[test]
#[ignore = "needs the lab"]
fn every_disk_becomes_a_map() {
    life_of_a_map(
        " find_multipaths no\n user_friendly_names no",
        true,
        &FindMultipaths::All,
    );
}

#[test]
#[ignore = "needs the lab"]
fn only_wanted_disks_become_maps() {
    life_of_a_map(
        " find_multipaths strict\n user_friendly_names no",
        true,
        &FindMultipaths::Wanted,
    );
}

#[test]
#[ignore = "needs the lab"]
fn maps_with_friendly_names() {
    life_of_a_map(
        " find_multipaths strict\n user_friendly_names yes",
        false,
        &FindMultipaths::Wanted,
    );
}

#[test]
#[ignore = "needs the lab"]
fn a_map_grows() {
    let lab = Lab::new(" find_multipaths strict\n user_friendly_names yes");
    lab.ensure();
    shell("lab-san resize v0 128M");
    let early = within(1, |patience| {
        lab.multipath.resize_map(&lab.wwid, 128 * MIB, patience)
    });
    assert!(early.unwrap_err().message().contains("rescan"));
    for disk in lab.disks() {
        fs::write(format!("/sys/block/{disk}/device/rescan"), "1").unwrap();
    }
    within(10, |patience| {
        lab.multipath.resize_map(&lab.wwid, 128 * MIB, patience)
    })
    .unwrap();
    assert_eq!(lab.map().unwrap().size, 128 * MIB);
    assert_eq!(lab.remove(), DONE);
}

#[test]
#[ignore = "needs the lab"]
fn users_are_named() {
    let lab = Lab::new(" find_multipaths strict\n user_friendly_names no");
    let map = lab.ensure();
    let node = format!("/dev/mapper/{}", map.name);
    let refused = |what: &str| {
        let error = lab.remove().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(error.message().contains(what), "{error}");
        assert_eq!(lab.map().unwrap().usable(), 2);
    };
    let file = fs::File::open(&node).unwrap();
    refused("process");
    drop(file);
    shell(&format!("mkfs.ext4 -q -F {node} && mount {node} /mnt"));
    refused("mounted on /mnt");
    shell("umount /mnt");
    shell(&format!(
        "wipefs -qa {node} && pvcreate -q {node} && vgcreate -q labvg {node} && lvcreate -qy -L 8M -n data labvg"
    ));
    refused("LVM volume labvg-data");
    shell("vgchange -qan labvg");
    shell(&format!(
        "wipefs -qaf {node}; printf 'label: gpt\\n,16M\\n' | sfdisk -q {node}; kpartx -a {node}; udevadm settle"
    ));
    assert!(
        fs::read_dir("/dev/mapper").unwrap().count() > 2,
        "there is a partition"
    );
    assert_eq!(lab.remove(), DONE);
    assert_eq!(lab.map(), None);
}

#[test]
#[ignore = "needs the lab"]
fn a_dead_map_goes_without_hanging() {
    let lab = Lab::new(" find_multipaths strict\n user_friendly_names no\n no_path_retry queue");
    let map = lab.ensure();
    assert_eq!(map.queueing, Some(true), "{map:?}");
    for disk in lab.disks() {
        fs::write(format!("/sys/block/{disk}/device/state"), "offline\n").unwrap();
    }
    let removed = lab.remove().unwrap();
    assert!(removed.found);
    assert_eq!(lab.map(), None);
}

#[test]
#[ignore = "needs the lab"]
fn a_map_whose_array_is_lost_goes_once_the_kernel_gives_its_paths_up() {
    let lab = Lab::new(" find_multipaths strict\n no_path_retry queue");
    let map = lab.ensure();
    Lab::dd(&map);
    for session in shell("ls /sys/class/iscsi_session").lines() {
        fs::write(
            format!("/sys/class/iscsi_session/{session}/recovery_tmo"),
            "3\n",
        )
        .unwrap();
    }
    shell("udevadm settle; lab-san fabric a down; lab-san fabric b down");
    // As udev does with each device that changes. It waits for a path, with the map open.
    shell("echo 3 > /proc/sys/vm/drop_caches");
    let node = format!("/dev/mapper/{}", map.name);
    let mut prober = Command::new("blkid").args(["-p", &node]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(lab.map().unwrap().open_count, Some(1));
    let removed = lab.remove().unwrap();
    assert!(!prober.wait().unwrap().success());
    assert!(removed.found);
    assert_eq!(lab.map(), None);
}

#[test]
#[ignore = "needs the lab"]
fn queueing_follows_the_device_mapper() {
    let lab = Lab::new(" find_multipaths strict\n no_path_retry queue");
    lab.ensure();
    let mapper = ControlNode::below(Path::new("/"));
    let uuid = format!("mpath-{}", lab.wwid);
    for on in [false, true, false] {
        mapper.set_queueing(&uuid, on).unwrap();
        assert_eq!(mapper.look(&uuid).unwrap().unwrap().queueing, on);
    }
    let held = fs::File::open(format!("/dev/mapper/{}", lab.wwid)).unwrap();
    assert_eq!(mapper.look(&uuid).unwrap().unwrap().open_count, 1);
    assert_eq!(mapper.remove(&uuid).unwrap_err().kind(), ErrorKind::Busy);
    drop(held);
    assert_eq!(mapper.remove(&uuid), Ok(()));
    assert_eq!(mapper.look(&uuid), Ok(None));
    assert_eq!(mapper.remove(&uuid), Ok(()));
    let absent = mapper.set_queueing(&uuid, true).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::Absent);
}

#[test]
#[ignore = "needs the lab"]
fn a_lost_fabric_is_seen() {
    let lab = Lab::new(" find_multipaths strict\n user_friendly_names no");
    lab.ensure();
    let disk = lab.disks().remove(0);
    fs::write(format!("/sys/block/{disk}/device/state"), "offline\n").unwrap();
    let started = Instant::now();
    loop {
        let map = lab.map().unwrap();
        let path = map.paths.iter().find(|path| path.name == disk).unwrap();
        if path.state == PathState::Failed && path.checker == Checker::Faulty {
            assert_eq!(map.usable(), 1);
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{map:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(lab.remove(), DONE);
}

#[test]
#[ignore = "needs the lab"]
fn the_kernel_removes_when_the_daemon_is_stopped_or_stuck() {
    let lab = Lab::new(" find_multipaths strict\n user_friendly_names no");
    lab.ensure();
    let pid = shell("systemctl show -P MainPID multipathd");
    run("/bin/kill", &["-STOP", &pid]);
    let silent = within(1, |patience| lab.multipath.daemon().status(patience));
    let map = lab.map();
    let removed = lab.remove();
    run("/bin/kill", &["-CONT", &pid]);
    assert_eq!(silent, Ok(Status::Silent));
    assert_eq!(map.unwrap().usable(), 2);
    assert_eq!(removed, DONE);
    std::thread::sleep(Duration::from_secs(2));
    lab.ensure();
    shell("systemctl stop multipathd.socket multipathd");
    assert_eq!(
        within(1, |patience| lab.multipath.daemon().status(patience)),
        Ok(Status::Off)
    );
    assert_eq!(lab.remove(), DONE);
    let disks = lab.disks();
    let off = within(5, |patience| {
        lab.multipath.ensure_map(&lab.wwid, &disks, 1, patience)
    });
    assert!(matches!(off, Ok(Ensured::Off(_))), "{off:?}");
}
