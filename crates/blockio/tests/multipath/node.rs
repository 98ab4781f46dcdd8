// SPDX-License-Identifier: AGPL-3.0-or-later
//! A node with disks and maps: `sys`, `proc` and `dev` made of files, and a device-mapper that knows the same.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use blockio::multipath::{DeviceMapper, MapperDevice, Multipath};
use blockio::{Error, ErrorKind, Result};

use crate::common::TempDir;
use crate::fake_daemon::{Answer, FakeDaemon};

pub const WWID: &str = "360014059abcde3c584628a02620bf796";
pub const UUID: &str = "mpath-360014059abcde3c584628a02620bf796";
pub const MIB: u64 = 1 << 20;

/// Shared by the test, the scripted daemon and the device-mapper.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    dir: TempDir,
    /// By UUID.
    devices: Mutex<HashMap<String, MapperDevice>>,
    /// What the device-mapper was told to change.
    calls: Mutex<Vec<String>>,
}

impl Node {
    /// With the disks sdb (8:16) and sdc (8:32) of 64 MiB.
    pub fn new() -> Self {
        let node = Self(Arc::new(Inner {
            dir: TempDir::new(),
            devices: Mutex::default(),
            calls: Mutex::default(),
        }));
        for dir in ["sys/block", "proc/self", "dev/mapper", "run"] {
            fs::create_dir_all(node.path(dir)).unwrap();
        }
        fs::create_dir(node.path("sys/class")).unwrap();
        symlink("../block", node.path("sys/class/block")).unwrap();
        node.disk("sdb", "8:16", "2:0:0:1");
        node.disk("sdc", "8:32", "3:0:0:1");
        node
    }

    pub fn root(&self) -> &Path {
        self.0.dir.dir()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.dir.path(name)
    }

    pub fn daemon(
        &self,
        script: impl Fn(&Self, &str) -> Answer + Send + Sync + 'static,
    ) -> FakeDaemon {
        let node = self.clone();
        FakeDaemon::start(&self.path("run/multipathd.socket"), move |command| {
            script(&node, command)
        })
    }

    /// Its maps, with the device-mapper.
    pub fn multipath(&self) -> Multipath {
        Multipath::with_mapper(self.root(), Some(&self.socket()), Arc::new(self.clone()))
    }

    /// Its maps, without a device-mapper.
    pub fn multipath_by_sysfs(&self) -> Multipath {
        Multipath::new(self.root(), Some(&self.socket()))
    }

    fn socket(&self) -> String {
        let path = self.path("run/multipathd.socket");
        path.into_os_string().into_string().unwrap()
    }

    pub fn disk(&self, name: &str, number: &str, hctl: &str) {
        let scsi = self.path(&format!("sys/devices/{hctl}"));
        fs::create_dir_all(&scsi).unwrap();
        fs::write(scsi.join("state"), "running\n").unwrap();
        let dir = self.path(&format!("sys/block/{name}"));
        fs::create_dir_all(&dir).unwrap();
        symlink(scsi, dir.join("device")).unwrap();
        fs::write(dir.join("dev"), format!("{number}\n")).unwrap();
        self.set_size(name, 64 * MIB);
    }

    pub fn set_size(&self, device: &str, bytes: u64) {
        let file = self.path(&format!("sys/block/{device}/size"));
        fs::write(file, format!("{}\n", bytes / 512)).unwrap();
    }

    pub fn set_state(&self, disk: &str, state: &str) {
        let file = self.path(&format!("sys/block/{disk}/device/state"));
        fs::write(file, format!("{state}\n")).unwrap();
    }

    /// Makes the map dm-3 of these disks.
    pub fn map(&self, name: &str, disks: &[&str]) {
        self.device(3, name, UUID, disks);
    }

    /// Makes a device on others.
    pub fn device(&self, minor: u32, name: &str, uuid: &str, below: &[&str]) {
        let device = format!("dm-{minor}");
        let dir = self.path(&format!("sys/block/{device}"));
        for part in ["dm", "slaves", "holders"] {
            fs::create_dir_all(dir.join(part)).unwrap();
        }
        let mut paths = Vec::new();
        for name in below {
            fs::create_dir_all(dir.join("slaves").join(name)).unwrap();
            let holders = self.path(&format!("sys/block/{name}/holders"));
            fs::create_dir_all(holders.join(&device)).unwrap();
            let number = fs::read_to_string(self.path(&format!("sys/block/{name}/dev"))).unwrap();
            paths.push((number.trim().to_owned(), true));
        }
        fs::write(dir.join("dev"), format!("254:{minor}\n")).unwrap();
        fs::write(dir.join("dm/name"), format!("{name}\n")).unwrap();
        fs::write(dir.join("dm/suspended"), "0\n").unwrap();
        self.set_size(&device, 64 * MIB);
        fs::write(self.path(&format!("dev/{device}")), "").unwrap();
        let link = self.path(&format!("dev/mapper/{name}"));
        let _ = fs::remove_file(&link);
        symlink(format!("../{device}"), link).unwrap();
        let mapper = MapperDevice {
            minor,
            name: name.to_owned(),
            queueing: true,
            paths,
            ..MapperDevice::default()
        };
        self.0
            .devices
            .lock()
            .unwrap()
            .insert(uuid.to_owned(), mapper);
        // Last: with its UUID, it is there.
        fs::write(dir.join("dm/uuid"), format!("{uuid}\n")).unwrap();
    }

    /// Removes a device from everywhere.
    pub fn drop_device(&self, uuid: &str) {
        let Some(device) = self.0.devices.lock().unwrap().remove(uuid) else {
            return;
        };
        let name = format!("dm-{}", device.minor);
        let dir = self.path(&format!("sys/block/{name}"));
        for below in fs::read_dir(dir.join("slaves")).unwrap() {
            let below = below.unwrap().file_name().into_string().unwrap();
            let _ = fs::remove_dir(self.path(&format!("sys/block/{below}/holders/{name}")));
        }
        fs::remove_dir_all(dir).unwrap();
        let _ = fs::remove_file(self.path(&format!("dev/{name}")));
        let _ = fs::remove_file(self.path(&format!("dev/mapper/{}", device.name)));
    }

    pub fn has_map(&self) -> bool {
        self.0.devices.lock().unwrap().contains_key(UUID)
    }

    /// Changes what the device-mapper knows.
    pub fn mapper(&self, uuid: &str, change: impl FnOnce(&mut MapperDevice)) {
        change(self.0.devices.lock().unwrap().get_mut(uuid).unwrap());
    }

    /// What the device-mapper was told to change.
    pub fn calls(&self) -> Vec<String> {
        self.0.calls.lock().unwrap().clone()
    }
}

impl DeviceMapper for Node {
    fn look(&self, uuid: &str) -> Result<Option<MapperDevice>> {
        Ok(self.0.devices.lock().unwrap().get(uuid).cloned())
    }

    fn remove(&self, uuid: &str) -> Result<()> {
        self.0.calls.lock().unwrap().push(format!("remove {uuid}"));
        let device = self.look(uuid)?;
        let device = device.map(|device| format!("dm-{}", device.minor));
        let is_held = |device: &String| {
            let holders = fs::read_dir(self.path(&format!("sys/block/{device}/holders")));
            holders.is_ok_and(|mut holders| holders.next().is_some())
        };
        if device.as_ref().is_some_and(is_held) {
            return Err(Error::new(
                ErrorKind::Busy,
                "remove: Device or resource busy",
            ));
        }
        self.drop_device(uuid);
        Ok(())
    }

    fn set_queueing(&self, uuid: &str, on: bool) -> Result<()> {
        self.0.calls.lock().unwrap().push(format!("queueing {on}"));
        self.mapper(uuid, |device| device.queueing = on);
        Ok(())
    }
}

/// `show map NAME json` about sdb and sdc.
pub fn shown(name: &str, checkers: [&str; 2]) -> String {
    let path = |disk: &str, checker: &str| {
        format!(
            "{{\n            \"dev\" : \"{disk}\",\n            \"dm_st\" : \"active\",\n            \"dev_st\" : \"running\",\n            \"chk_st\" : \"{checker}\",\n         }}"
        )
    };
    format!(
        "{{\n   \"map\":{{\n      \"name\" : \"{name}\",\n      \"uuid\" : \"{WWID}\",\n      \"features\" : \"1 queue_if_no_path\",\n      \"path_groups\": [{{\n         \"selector\" : \"service-time 0\",\n         \"paths\": [{},{}]\n      }}]\n   }}\n}}\n",
        path("sdb", checkers[0]),
        path("sdc", checkers[1])
    )
}
