// SPDX-License-Identifier: AGPL-3.0-or-later
//! What needs root: loop devices (`loop_`) and mounts (`sudo_`). Run with
//! `cargo test -- loop_ sudo_ --include-ignored --test-threads=1`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop by panicking"
)]

mod common;

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use blockio::ErrorKind;
use blockio::fs::{
    Prealloc, ReflinkOptions, block_size, create_file, grow_file, loop_devices_of, probe_dir,
    reflink, reflink_supported, rename_exclusive, set_immutable,
};
use blockio::stream::{
    Cancel, Control, ExportOptions, ImportOptions, ReadMethod, TargetKind, WriteMethod, import,
};
use common::{
    TempDir, allocated, export_into, import_bytes, import_from, noise, pipe, run, stream_of,
};

const MIB: usize = 1 << 20;

/// A loop device over a file of noise, detached when dropped.
struct Loop {
    device: PathBuf,
    backing: PathBuf,
    old: Vec<u8>,
    _dir: TempDir,
}

impl Loop {
    fn new(size: usize, sector: usize) -> Self {
        let dir = TempDir::new();
        let backing = dir.path("blockio-test-backing.img");
        let old = noise(size, 4711);
        std::fs::write(&backing, &old).unwrap();
        let sector = sector.to_string();
        let name = run(
            "losetup",
            &[
                "--find",
                "--show",
                "--sector-size",
                &sector,
                backing.to_str().unwrap(),
            ],
        );
        Self {
            device: name.trim().into(),
            backing,
            old,
            _dir: dir,
        }
    }

    /// What the device holds, read around every cache.
    fn content(&self) -> Vec<u8> {
        run("blockdev", &["--flushbufs", self.device.to_str().unwrap()]);
        let mut bytes = Vec::new();
        std::fs::File::open(&self.device)
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
            .arg(&self.device)
            .status();
    }
}

/// A mounted file system, unmounted when dropped.
struct Mount {
    point: PathBuf,
    dir: TempDir,
}

impl Mount {
    /// An image of 512 MiB, formatted by `mkfs` with its arguments.
    fn image(mkfs: &str, arguments: &[&str]) -> Self {
        let dir = TempDir::new();
        let image = dir.path("image");
        create_file(&image, 512 << 20, Prealloc::Off, 0o600, &Cancel::default()).unwrap();
        let mut all = arguments.to_vec();
        all.push(image.to_str().unwrap());
        run(mkfs, &all);
        Self::attach(dir, &["-o", "loop", image.to_str().unwrap()])
    }

    fn tmpfs(size: &str) -> Self {
        Self::attach(
            TempDir::new(),
            &["-t", "tmpfs", "-o", &format!("size={size}"), "blockio-test"],
        )
    }

    fn attach(dir: TempDir, arguments: &[&str]) -> Self {
        let point = dir.path("mounted");
        std::fs::create_dir(&point).unwrap();
        let mut all = arguments.to_vec();
        all.push(point.to_str().unwrap());
        run("mount", &all);
        Self { point, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.point.join(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(&self.point)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "lost+found")
            .collect();
        names.sort();
        names
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg(&self.point)
            .status();
    }
}

/// Noise with zeros of all lengths in it, also across buffers and at the end.
fn content(size: usize) -> Vec<u8> {
    let mut bytes = noise(size, 1);
    let mut at = 3000;
    for length in [
        1, 511, 512, 4096, 5000, 60_000, 70_000, 200_000, 300_000, 1_000_000,
    ] {
        if at + length < size {
            bytes[at..at + length].fill(0);
        }
        at += 2 * length + 1000;
    }
    bytes[size - size / 8..].fill(0);
    bytes
}

const METHODS: [WriteMethod; 5] = [
    WriteMethod::Auto,
    WriteMethod::Buffered,
    WriteMethod::WriteBehind,
    WriteMethod::Direct { in_flight: 1 },
    WriteMethod::Direct { in_flight: 4 },
];

#[test]
#[ignore = "needs root and a loop device"]
fn loop_old_data_never_shows_through() {
    for sector in [512, 4096] {
        let device = Loop::new(8 * MIB, sector);
        // The whole device, whole sectors, and sizes that no sector divides.
        for size in [8 * MIB, 5 * MIB + 512, 5 * MIB + 4096, 5 * MIB + 77] {
            for method in METHODS {
                OpenOptions::new()
                    .write(true)
                    .open(&device.device)
                    .unwrap()
                    .write_all(&device.old)
                    .unwrap();
                let image = content(size);
                let (reader, writer) = pipe();
                let options = ImportOptions {
                    method,
                    ..ImportOptions::new(reader.into(), TargetKind::Device, device.device.clone())
                };
                import_from(options, &stream_of(&image), writer).unwrap();
                let found = device.content();
                assert!(
                    found[..size] == image,
                    "{size} bytes by {method:?}, sectors of {sector}"
                );
                assert!(
                    found[size..] == device.old[size..],
                    "what lies behind the volume is not touched"
                );
            }
        }
    }
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_zeros_are_not_written_one_by_one() {
    let device = Loop::new(8 * MIB, 512);
    let summary = import_bytes(
        TargetKind::Device,
        &device.device,
        &stream_of(&vec![0; 8 * MIB]),
        false,
    )
    .unwrap();
    assert_eq!(summary.data_bytes, 0);
    assert!(device.content().iter().all(|byte| *byte == 0));
    run("sync", &["-f", device.backing.to_str().unwrap()]);
    assert!(
        allocated(&device.backing) < MIB as u64,
        "the device was told, not written"
    );
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_zeros_for_a_zeroed_device_are_skipped() {
    let device = Loop::new(8 * MIB, 512);
    import_bytes(
        TargetKind::Device,
        &device.device,
        &stream_of(&vec![0; 8 * MIB]),
        true,
    )
    .unwrap();
    assert!(device.content() == device.old, "the promise was believed");
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_a_device_is_exported_whole_by_every_method() {
    for sector in [512, 4096] {
        // Not a multiple of the segment, and of 4 KiB only where the sectors demand it.
        let device = Loop::new(3 * MIB + sector, sector);
        assert_eq!(block_size(&device.device), Ok((3 * MIB + sector) as u64));
        for method in [
            ReadMethod::Auto,
            ReadMethod::Lend,
            ReadMethod::Buffered,
            ReadMethod::Direct { in_flight: 1 },
            ReadMethod::Direct { in_flight: 4 },
        ] {
            let (reader, writer) = pipe();
            let options = ExportOptions {
                method,
                ..ExportOptions::new(device.device.clone(), writer.into())
            };
            let (result, received) = export_into(options, reader, &Control::default());
            result.unwrap();
            assert!(
                received == stream_of(&device.old),
                "{method:?}, sectors of {sector}"
            );
        }
    }
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_what_was_just_written_is_exported() {
    // Dirty pages of the device must not be missed by reads around the page cache.
    let device = Loop::new(4 * MIB, 512);
    let new = noise(4 * MIB, 5);
    let mut file = OpenOptions::new().write(true).open(&device.device).unwrap();
    file.write_all(&new).unwrap();
    let (reader, writer) = pipe();
    let options = ExportOptions::new(device.device.clone(), writer.into());
    let (result, received) = export_into(options, reader, &Control::default());
    result.unwrap();
    assert!(received == stream_of(&new));
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_a_device_that_is_too_small_is_invalid_and_untouched() {
    let device = Loop::new(MIB, 512);
    let stream = stream_of(&noise(MIB + 1, 1));
    let error = import_bytes(TargetKind::Device, &device.device, &stream, false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(device.content() == device.old);
    let error = import_bytes(TargetKind::File, &device.device, &stream, false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(device.content() == device.old);
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_a_device_in_use_is_busy() {
    let mount = Mount::image("mkfs.ext4", &["-q"]);
    let devices = loop_devices_of(&mount.dir.path("image")).unwrap();
    let [device] = devices.as_slice() else {
        panic!("{devices:?}")
    };
    let error = import_bytes(TargetKind::Device, device, &stream_of(&[1; 512]), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_devices_of_a_file_are_found_by_any_of_its_names() {
    let device = Loop::new(MIB, 512);
    let link = device.backing.with_file_name("link.img");
    std::fs::hard_link(&device.backing, &link).unwrap();
    for name in [&device.backing, &link] {
        assert_eq!(
            loop_devices_of(name).unwrap(),
            std::slice::from_ref(&device.device)
        );
    }
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_reflinks_on_file_systems_that_share_blocks() {
    let kinds: [(&str, &[&str], &str); 2] = [
        ("mkfs.xfs", &["-q"], "xfs"),
        ("mkfs.btrfs", &["-q"], "btrfs"),
    ];
    for (mkfs, arguments, fs_type) in kinds {
        let mount = Mount::image(mkfs, arguments);
        let info = probe_dir(&mount.point, std::time::Duration::from_secs(60)).unwrap();
        assert_eq!(info.fs_type, fs_type);
        assert_eq!(reflink_supported(&mount.point), Ok(true));
        assert_eq!(
            mount.names(),
            Vec::<String>::new(),
            "the test leaves nothing"
        );

        let (disk, snap) = (mount.path("disk.raw"), mount.path("snap.raw"));
        let image = content(64 * MIB);
        import_bytes(TargetKind::Create, &disk, &stream_of(&image), true).unwrap();
        std::fs::set_permissions(&disk, PermissionsExt::from_mode(0o640)).unwrap();
        let used = || {
            probe_dir(&mount.point, std::time::Duration::from_secs(60))
                .unwrap()
                .used
        };
        run("sync", &["-f", mount.point.to_str().unwrap()]);
        let before = used();
        reflink(
            &disk,
            &snap,
            ReflinkOptions {
                read_only: true,
                ..ReflinkOptions::default()
            },
        )
        .unwrap();
        run("sync", &["-f", mount.point.to_str().unwrap()]);
        assert!(
            used() < before + 8 * MIB as u64,
            "{fs_type} shares the blocks"
        );
        assert!(std::fs::read(&snap).unwrap() == image);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&snap), 0o440);

        let again = reflink(&disk, &snap, ReflinkOptions::default()).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Exists, "{again}");

        // Rollback: the snapshot takes the name of the changed disk, which is writable again.
        std::fs::write(&disk, b"changed").unwrap();
        reflink(
            &snap,
            &disk,
            ReflinkOptions {
                replace: true,
                ..ReflinkOptions::default()
            },
        )
        .unwrap();
        assert!(std::fs::read(&disk).unwrap() == image);
        assert_eq!(mode(&disk), 0o640);
        assert_eq!(mount.names(), ["disk.raw", "snap.raw"]);

        let chosen = ReflinkOptions {
            mode: Some(0o600),
            ..ReflinkOptions::default()
        };
        reflink(&snap, &mount.path("mode.raw"), chosen).unwrap();
        assert_eq!(mode(&mount.path("mode.raw")), 0o600);
    }
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_xfs_without_reflink_says_so() {
    let mount = Mount::image("mkfs.xfs", &["-q", "-m", "reflink=0,rmapbt=0"]);
    assert_eq!(reflink_supported(&mount.point), Ok(false));
    std::fs::write(mount.path("disk.raw"), noise(10_000, 1)).unwrap();
    let error = reflink(
        &mount.path("disk.raw"),
        &mount.path("copy.raw"),
        ReflinkOptions::default(),
    );
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(mount.names(), ["disk.raw"]);
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_streams_on_every_file_system() {
    let kinds: [(&str, &[&str]); 3] = [
        ("mkfs.xfs", &["-q"]),
        ("mkfs.btrfs", &["-q"]),
        ("mkfs.ext4", &["-q"]),
    ];
    for (mkfs, arguments) in kinds {
        let mount = Mount::image(mkfs, arguments);
        let image = content(12 * MIB + 77);
        for (kind, name) in [
            (TargetKind::Create, "new.raw"),
            (TargetKind::File, "old.raw"),
        ] {
            for method in METHODS {
                let target = mount.path(name);
                let _ = std::fs::remove_file(&target);
                if kind == TargetKind::File {
                    std::fs::write(&target, noise(6 * MIB, 3)).unwrap();
                }
                let (reader, writer) = pipe();
                let options = ImportOptions {
                    method,
                    ..ImportOptions::new(reader.into(), kind, target.clone())
                };
                import_from(options, &stream_of(&image), writer).unwrap();
                assert!(
                    std::fs::read(&target).unwrap() == image,
                    "{mkfs} {kind:?} {method:?}"
                );
            }
        }
        for method in [
            ReadMethod::Lend,
            ReadMethod::Buffered,
            ReadMethod::Direct { in_flight: 4 },
        ] {
            let (reader, writer) = pipe();
            let options = ExportOptions {
                method,
                ..ExportOptions::new(mount.path("new.raw"), writer.into())
            };
            let (result, received) = export_into(options, reader, &Control::default());
            assert!(
                result.unwrap().data_bytes < image.len() as u64,
                "{mkfs} {method:?}: no hole was found"
            );
            assert!(received == stream_of(&image), "{mkfs} {method:?}");
        }
    }
}

#[test]
#[ignore = "needs root and a loop device"]
fn loop_immutable_files_are_refused() {
    let mount = Mount::image("mkfs.ext4", &["-q"]);
    let base = mount.path("base.raw");
    std::fs::write(&base, b"template").unwrap();
    set_immutable(&base, true).unwrap();
    set_immutable(&base, true).unwrap();
    let refused = |result: blockio::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Refused);
    };
    refused(import_bytes(TargetKind::File, &base, &stream_of(&[1; 512]), false).map(drop));
    refused(rename_exclusive(&base, &mount.path("other.raw")));
    refused(grow_file(
        &base,
        MIB as u64,
        Prealloc::Off,
        &Cancel::default(),
    ));
    assert_eq!(std::fs::read(&base).unwrap(), b"template");
    set_immutable(&base, false).unwrap();
    rename_exclusive(&base, &mount.path("other.raw")).unwrap();
}

#[test]
#[ignore = "needs root to mount a tmpfs"]
fn sudo_a_full_file_system_is_no_space_and_leaves_nothing() {
    let mount = Mount::tmpfs("4m");
    let target = mount.path("disk.raw");
    for method in METHODS {
        let (reader, writer) = pipe();
        let options = ImportOptions {
            method,
            ..ImportOptions::new(reader.into(), TargetKind::Create, target.clone())
        };
        let error = import_from(options, &stream_of(&noise(16 * MIB, 1)), writer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{method:?}: {error}");
        assert_eq!(mount.names(), Vec::<String>::new());
    }
    for prealloc in [Prealloc::Falloc, Prealloc::Full] {
        let error =
            create_file(&target, 16 << 20, prealloc, 0o600, &Cancel::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        assert_eq!(mount.names(), Vec::<String>::new());
    }
    std::fs::write(&target, b"content").unwrap();
    for prealloc in [Prealloc::Falloc, Prealloc::Full] {
        let error = grow_file(&target, 16 << 20, prealloc, &Cancel::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        assert_eq!(std::fs::read(&target).unwrap(), b"content", "undone");
    }
}

#[test]
#[ignore = "needs root to mount a tmpfs"]
fn sudo_a_full_file_system_ends_the_import_although_the_sender_is_silent() {
    let mount = Mount::tmpfs("4m");
    let (reader, mut writer) = pipe();
    std::thread::scope(|scope| {
        let importing = scope.spawn(|| {
            let options =
                ImportOptions::new(reader.into(), TargetKind::Create, mount.path("disk.raw"));
            import(options, &Control::default())
        });
        // The pipe stays open: only the failed writer can end this import.
        let _ = writer.write_all(&stream_of(&noise(64 * MIB, 1))[..12 * MIB]);
        let error = importing.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    });
    assert_eq!(mount.names(), Vec::<String>::new());
}

#[test]
#[ignore = "needs root to mount a tmpfs"]
fn sudo_a_large_sparse_image_fits_into_a_small_file_system() {
    let mount = Mount::tmpfs("4m");
    let (reader, writer) = pipe();
    let source = mount.path("source.raw");
    create_file(&source, 2 << 30, Prealloc::Off, 0o600, &Cancel::default()).unwrap();
    let target = mount.path("target.raw");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let options = ExportOptions::new(source.clone(), writer.into());
            blockio::stream::export(options, &Control::default()).unwrap();
        });
        let options = ImportOptions::new(reader.into(), TargetKind::Create, target.clone());
        let summary = import(options, &Control::default()).unwrap();
        assert_eq!((summary.bytes, summary.data_bytes), (2 << 30, 0));
    });
    assert_eq!(allocated(&target), 0);
}
