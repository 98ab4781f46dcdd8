// SPDX-License-Identifier: AGPL-3.0-or-later
//! A tree of files that looks like sysfs of a node with disks of an array.

#![allow(dead_code, reason = "each user takes a part")]
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "tests stop by panicking"
)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use blockio::device::{Hctl, Sysfs, Wwid};

pub struct Tree(PathBuf);

/// An iSCSI session, and the SCSI host of the same number.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    pub id: u32,
    pub target_name: &'a str,
    pub address: &'a str,
}

impl Tree {
    /// An empty tree in a directory that is there.
    pub fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    pub fn sysfs(&self) -> Sysfs {
        Sysfs::new(&self.0)
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// What was written to an attribute.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn dir(&self, path: &str) {
        std::fs::create_dir_all(self.path(path)).unwrap();
    }

    /// A link as sysfs has them: relative.
    pub fn link(&self, at: &str, to: &str) {
        let up = "../".repeat(at.matches('/').count());
        let path = self.path(at);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(format!("{up}{to}"), path).unwrap();
    }

    pub fn session(&self, session: Session<'_>) {
        let Session {
            id,
            target_name,
            address,
        } = session;
        let host = format!("sys/devices/platform/host{id}");
        let device = format!("{host}/session{id}");
        let class = format!("{device}/iscsi_session/session{id}");
        self.write(&format!("{class}/targetname"), format!("{target_name}\n"));
        self.write(&format!("{class}/state"), "LOGGED_IN\n");
        self.write(&format!("{class}/tpgt"), "1\n");
        self.write(&format!("{class}/target_id"), "0\n");
        self.link(&format!("{class}/device"), &device);
        self.link(&format!("sys/class/iscsi_session/session{id}"), &class);
        let connection = format!("{device}/connection{id}:0/iscsi_connection/connection{id}:0");
        self.write(
            &format!("{connection}/persistent_address"),
            format!("{address}\n"),
        );
        self.write(&format!("{connection}/persistent_port"), "3260\n");
        self.link(
            &format!("sys/class/iscsi_connection/connection{id}:0"),
            &connection,
        );
        self.write(&format!("{host}/scsi_host/host{id}/scan"), "");
        self.link(
            &format!("sys/class/scsi_host/host{id}"),
            &format!("{host}/scsi_host/host{id}"),
        );
    }

    /// Directory of a device of a session.
    pub fn device(at: &str) -> String {
        let Hctl {
            host,
            channel,
            target,
            ..
        } = at.parse().unwrap();
        format!(
            "sys/devices/platform/host{host}/session{host}/target{host}:{channel}:{target}/{at}"
        )
    }

    /// A SCSI device without a disk. `wwid` as the kernel writes it.
    pub fn scsi(&self, at: &str, wwid: &str) {
        let device = Self::device(at);
        for (file, content) in [
            ("wwid", wwid),
            ("state", "running"),
            ("vendor", "SCST_BIO"),
            ("model", "Storage         "),
        ] {
            self.write(&format!("{device}/{file}"), format!("{content}\n"));
        }
        self.write(&format!("{device}/rescan"), "");
        self.write(&format!("{device}/delete"), "");
        self.link(&format!("sys/bus/scsi/devices/{at}"), &device);
        let target = Path::new(&device).parent().unwrap();
        let name = target.file_name().unwrap().to_str().unwrap();
        let link = format!("sys/bus/scsi/devices/{name}");
        if !self.path(&link).is_symlink() {
            self.link(&link, target.to_str().unwrap());
        }
    }

    /// The disk of a SCSI device, with its node.
    pub fn disk(&self, at: &str, number: u32, sectors: u64) -> String {
        let name = disk_name(number);
        let disk = format!("{}/block/{name}", Self::device(at));
        let devno = format!("8:{}", number * 16);
        self.write(&format!("{disk}/dev"), format!("{devno}\n"));
        self.write(&format!("{disk}/size"), format!("{sectors}\n"));
        self.write(&format!("{disk}/ro"), "0\n");
        self.dir(&format!("{disk}/holders"));
        self.link(&format!("{disk}/device"), &Self::device(at));
        for link in [
            format!("sys/block/{name}"),
            format!("sys/class/block/{name}"),
            format!("sys/dev/block/{devno}"),
        ] {
            self.link(&link, &disk);
        }
        self.write(&format!("dev/{name}"), "");
        name
    }

    /// The multipath map `dm-NUMBER` of a disk, with udev's link to it.
    pub fn map(&self, number: u32, wwid: &Wwid, disks: &[String]) {
        let map = format!("sys/devices/virtual/block/dm-{number}");
        for (file, content) in [
            ("dm/uuid", format!("mpath-{wwid}")),
            ("dm/name", wwid.to_string()),
            ("dm/suspended", "0".to_owned()),
            ("dev", format!("253:{number}")),
            ("size", "2048".to_owned()),
        ] {
            self.write(&format!("{map}/{file}"), format!("{content}\n"));
        }
        self.dir(&format!("{map}/slaves"));
        for disk in disks {
            self.link(
                &format!("{map}/slaves/{disk}"),
                &format!("sys/block/{disk}"),
            );
        }
        self.link(&format!("sys/block/dm-{number}"), &map);
        self.map_link(wwid, &format!("../../dm-{number}"));
    }

    /// udev's link to a map, which leads wherever; an older one goes.
    pub fn map_link(&self, wwid: &Wwid, to: &str) {
        let link = self.path(&format!("dev/disk/by-id/dm-uuid-mpath-{wwid}"));
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&link);
        symlink(to, link).unwrap();
    }

    /// `luns` disks with a path in each of `sessions` sessions with one target.
    pub fn array(&self, sessions: u32, luns: u32) {
        for id in 0..sessions {
            self.session_of_array(id);
            for lun in 0..luns {
                self.disk_of_array(id, lun, luns);
            }
        }
    }

    /// As [`array`](Self::array); all disks but one have an identity and nothing else, which makes it much faster.
    pub fn crowd(&self, sessions: u32, luns: u32, whole: u32) {
        for id in 0..sessions {
            self.session_of_array(id);
            for lun in 0..luns {
                let at = format!("{id}:0:0:{lun}");
                if lun == whole {
                    self.disk_of_array(id, lun, luns);
                } else {
                    let device = Self::device(&at);
                    self.write(&format!("{device}/wwid"), format!("naa.{}\n", digits(lun)));
                    self.link(&format!("sys/bus/scsi/devices/{at}"), &device);
                }
            }
        }
    }

    /// A map for each disk of [`array`](Self::array) or [`crowd`](Self::crowd): `dm-LUN`.
    pub fn maps(&self, sessions: u32, luns: u32) {
        for lun in 0..luns {
            let disks: Vec<_> = (0..sessions).map(|id| disk_name(id * luns + lun)).collect();
            self.map(lun, &wwid(lun), &disks);
        }
    }

    fn session_of_array(&self, id: u32) {
        self.session(Session {
            id,
            target_name: "iqn.2025-06.example:vm-100-0",
            address: &format!("192.0.2.{id}"),
        });
    }

    fn disk_of_array(&self, id: u32, lun: u32, luns: u32) {
        let at = format!("{id}:0:0:{lun}");
        self.scsi(&at, &format!("naa.{}", digits(lun)));
        self.disk(&at, id * luns + lun, 2048 * u64::from(lun + 1));
    }

    pub fn nvme_subsystem(&self, number: u32, nqn: &str) -> String {
        let dir = format!("sys/devices/virtual/nvme-subsystem/nvme-subsys{number}");
        self.write(&format!("{dir}/subsysnqn"), format!("{nqn}\n"));
        self.link(
            &format!("sys/class/nvme-subsystem/nvme-subsys{number}"),
            &dir,
        );
        dir
    }

    pub fn nvme_controller(&self, number: u32, nqn: &str, state: &str) -> String {
        let dir = format!("sys/devices/virtual/nvme-fabrics/ctl/nvme{number}");
        for (file, content) in [
            ("subsysnqn", nqn),
            ("state", state),
            ("transport", "tcp"),
            (
                "address",
                &format!("traddr=192.0.2.{number},trsvcid=4420,src_addr=192.0.2.99"),
            ),
        ] {
            self.write(&format!("{dir}/{file}"), format!("{content}\n"));
        }
        self.link(&format!("sys/class/nvme/nvme{number}"), &dir);
        dir
    }

    /// A namespace or the path to one, below its subsystem or controller.
    pub fn nvme_disk(&self, parent: &str, name: &str, nguid: &str, nsid: u32) {
        let plain = nguid.replace('-', "");
        for (file, content) in [
            ("nguid", nguid.to_owned()),
            ("wwid", format!("eui.{plain}")),
            ("nsid", nsid.to_string()),
            ("dev", format!("259:{nsid}")),
            ("size", "4096".to_owned()),
            ("ro", "0".to_owned()),
        ] {
            self.write(&format!("{parent}/{name}/{file}"), format!("{content}\n"));
        }
    }

    pub fn fc_port(&self, host: u32, number: u32, port_name: &str, target: &str) {
        let name = format!("rport-{host}:0-{number}");
        let dir = format!("sys/devices/pci0000:00/host{host}/{name}/fc_remote_ports/{name}");
        self.write(&format!("{dir}/port_name"), format!("{port_name}\n"));
        self.write(&format!("{dir}/scsi_target_id"), format!("{target}\n"));
        self.write(&format!("{dir}/port_state"), "Online\n");
        self.link(&format!("sys/class/fc_remote_ports/{name}"), &dir);
        let class = format!("sys/devices/pci0000:00/host{host}/fc_host/host{host}");
        self.write(&format!("{class}/port_name"), "0x10000000c9abcdef\n");
        self.write(&format!("{class}/port_state"), "Online\n");
        let link = format!("sys/class/fc_host/host{host}");
        if !self.path(&link).is_symlink() {
            self.link(&link, &class);
        }
    }
}

/// The NAA of the disk with this LUN.
pub fn digits(lun: u32) -> String {
    format!("6001405{lun:025x}")
}

pub fn wwid(lun: u32) -> Wwid {
    format!("3{}", digits(lun)).parse().unwrap()
}

pub fn at(text: &str) -> Hctl {
    text.parse().unwrap()
}

/// `sda`, …, `sdz`, `sdaa`, …
pub fn disk_name(number: u32) -> String {
    let mut rest = number;
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'a' + u8::try_from(rest % 26).unwrap()));
        if rest < 26 {
            break;
        }
        rest = rest / 26 - 1;
    }
    letters.push('d');
    letters.push('s');
    letters.iter().rev().collect()
}
