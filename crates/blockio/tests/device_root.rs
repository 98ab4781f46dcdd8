// SPDX-License-Identifier: AGPL-3.0-or-later
//! Block devices and their users, on loop devices. Run as `root.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

mod common;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blockio::ErrorKind;
use blockio::block::{BlockDevice, is_busy};
use blockio::device::{Sysfs, Uevents, flush_within, holders, is_busy_within, users_within};
use blockio::stream::Cancel;
use common::{TempDir, noise, run};

const MIB: usize = 1 << 20;
/// Long enough never to matter.
const PATIENCE: Duration = Duration::from_secs(60);

/// A loop device, detached when dropped.
struct Loop(PathBuf);

impl Loop {
    fn new(backing: &Path, options: &[&str]) -> Self {
        let mut arguments = vec!["--find", "--show"];
        arguments.extend(options);
        arguments.push(backing.to_str().unwrap());
        Self(run("losetup", &arguments).trim().into())
    }

    fn name(&self) -> &str {
        self.0.file_name().unwrap().to_str().unwrap()
    }

    fn content(&self) -> Vec<u8> {
        BlockDevice::open(&self.0).unwrap().flush().unwrap();
        let mut bytes = Vec::new();
        std::fs::File::open(&self.0)
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = std::process::Command::new("losetup")
            .arg("-d")
            .arg(&self.0)
            .status();
    }
}

fn image(dir: &TempDir, size: usize) -> (PathBuf, Vec<u8>) {
    let path = dir.path("image");
    let content = noise(size, 17);
    std::fs::write(&path, &content).unwrap();
    (path, content)
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_devices_tell_their_size_and_flags() {
    let dir = TempDir::new();
    let (path, _) = image(&dir, MIB + 4096);
    for (options, read_only, unit) in [
        (&["--sector-size", "512"][..], false, 512),
        (&["--sector-size", "4096", "--read-only"][..], true, 4096),
    ] {
        let device = Loop::new(&path, options);
        let open = BlockDevice::open(&device.0).unwrap();
        assert_eq!(open.size(), Ok((MIB + 4096) as u64));
        assert_eq!(open.is_read_only(), Ok(read_only));
        assert_eq!(open.logical_block_size(), Ok(unit));
    }
    for no_device in [path.as_path(), dir.dir(), Path::new("/dev/null")] {
        let error = BlockDevice::open(no_device).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    let error = BlockDevice::open(&dir.path("missing")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Absent, "{error}");
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_ranges_are_zeroed_and_discarded() {
    let dir = TempDir::new();
    let (path, mut content) = image(&dir, 4 * MIB);
    let device = Loop::new(&path, &["--sector-size", "4096"]);
    let cancel = Cancel::default();
    {
        let open = BlockDevice::open_writable(&device.0).unwrap();
        open.zero(4096, 8192, &cancel).unwrap();
        open.discard(MIB as u64, MIB as u64, &cancel).unwrap();
        open.zero(0, 0, &cancel).unwrap();
        for (offset, length) in [
            (512, 4096),
            (0, 512),
            (4 * MIB as u64, 4096),
            (4096, u64::MAX - 4095),
            (4096, 4 * MIB as u64),
        ] {
            let error = open.zero(offset, length, &cancel).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        }
        let stopped = Cancel::default();
        stopped.stop();
        assert!(open.zero(0, 4096, &stopped).unwrap_err().is_cancelled());
    }
    content[4096..4096 + 8192].fill(0);
    content[MIB..2 * MIB].fill(0);
    assert!(
        device.content() == content,
        "a loop device discards to zeros"
    );
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_devices_are_busy_while_somebody_has_them() {
    let dir = TempDir::new();
    let (path, _) = image(&dir, MIB);
    let device = Loop::new(&path, &[]);
    let cancel = Cancel::default();
    assert_eq!(is_busy(&device.0), Ok(false));
    {
        let _open = BlockDevice::open(&device.0).unwrap();
        assert_eq!(is_busy(&device.0), Ok(false), "open is not enough");
        let _mine = BlockDevice::open_exclusively(&device.0).unwrap();
        assert_eq!(is_busy_within(&device.0, PATIENCE, &cancel), Ok(true));
        let error = BlockDevice::open_writable(&device.0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    }
    assert_eq!(is_busy(&device.0), Ok(false));
    flush_within(&device.0, PATIENCE, &cancel).unwrap();
    let error = flush_within(&dir.path("missing"), PATIENCE, &cancel).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Absent, "{error}");
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_programs_that_have_a_device_open_are_named() {
    let dir = TempDir::new();
    let (path, _) = image(&dir, MIB);
    let device = Loop::new(&path, &[]);
    let mine = format!("open in process {} (", std::process::id());
    let seen = || {
        let found = users_within(&Sysfs::new("/"), device.name(), Duration::ZERO).unwrap();
        found.iter().any(|words| words.starts_with(&mine))
    };
    assert!(!seen());
    let open = BlockDevice::open(&device.0).unwrap();
    assert!(seen());
    drop(open);
    assert!(!seen());
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_users_of_a_device_are_named() {
    let dir = TempDir::new();
    let (path, _) = image(&dir, 64 * MIB);
    let device = Loop::new(&path, &[]);
    let sysfs = Sysfs::new("/");
    let users = || holders(&sysfs, device.name()).unwrap().by;
    assert_eq!(users(), Vec::<String>::new());
    {
        let above = Loop::new(&device.0, &[]);
        assert_eq!(users(), [format!("loop device {} on it", above.name())]);
    }
    // It goes when udev has closed it, too.
    let end = Instant::now() + PATIENCE;
    while !users().is_empty() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    run("mkfs.ext4", &["-q", device.0.to_str().unwrap()]);
    let point = dir.path("my disk");
    std::fs::create_dir(&point).unwrap();
    run(
        "mount",
        &[device.0.to_str().unwrap(), point.to_str().unwrap()],
    );
    let found = users();
    let busy = is_busy(&device.0);
    run("umount", &[point.to_str().unwrap()]);
    assert_eq!(found, [format!("mounted on {}", point.display())]);
    assert_eq!(busy, Ok(true));
    assert_eq!(users(), Vec::<String>::new());
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_changes_are_announced() {
    let dir = TempDir::new();
    let (path, _) = image(&dir, MIB);
    let uevents = Uevents::open().unwrap();
    let device = Loop::new(&path, &[]);
    let end = Instant::now() + PATIENCE;
    let mut heard = false;
    while !heard && Instant::now() < end {
        heard = uevents.wait(Duration::from_secs(1)).unwrap();
    }
    assert!(heard, "{} came unheard", device.0.display());
}
