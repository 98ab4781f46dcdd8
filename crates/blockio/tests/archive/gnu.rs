// SPDX-License-Identifier: AGPL-3.0-or-later
//! Both ends of a stream: this project's, and GNU tar with the options that PVE gives it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use blockio::Result;
use blockio::archive::{ExportOptions, ImportOptions, Summary, export, import};
use blockio::stream::Control;

use super::common::pipe;

const OPTIONS: [&str; 10] = [
    "--one-file-system",
    "-p",
    "--sparse",
    "--numeric-owner",
    "--acls",
    "--xattrs",
    "--xattrs-include=user.*",
    "--xattrs-include=security.capability",
    "--warning=no-file-ignored",
    "--warning=no-xattr-write",
];

/// The whole stream of a directory, with its header.
pub fn exported(source: &Path) -> (Summary, Vec<u8>) {
    let (mut reader, writer) = pipe();
    std::thread::scope(|scope| {
        let received = scope.spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let options = ExportOptions {
            source: source.to_owned(),
            sink: writer.into(),
            rate: None,
        };
        let summary = export(options, &Control::default()).unwrap();
        (summary, received.join().unwrap())
    })
}

/// Imports a stream with its header into an empty directory.
pub fn imported(target: &Path, stream: &[u8]) -> Result<Summary> {
    let (reader, mut writer) = pipe();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // The importer may stop early; its result says why.
            let _ = writer.write_all(stream);
        });
        let options = ImportOptions {
            stream: reader.into(),
            size: None,
            target: target.to_owned(),
            rate: None,
        };
        import(options, &Control::default())
    })
}

/// GNU tar's archive of a directory, behind a header.
pub fn tarred(source: &Path, format: &[&str]) -> Vec<u8> {
    let output = Command::new("tar")
        .env("LC_ALL", "C")
        .args(OPTIONS)
        .args(format)
        .args(["-cf", "-", "-C"])
        .arg(source)
        .arg(".")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tar: {errors}");
    let mut stream = vec![0; 8];
    stream.extend_from_slice(&output.stdout);
    stream
}

/// Has GNU tar unpack a stream with its header.
pub fn untarred(target: &Path, stream: &[u8]) {
    let mut child = Command::new("tar")
        .env("LC_ALL", "C")
        .args(OPTIONS)
        // The trees of tests have times of any year.
        .args(["--warning=no-timestamp", "-C"])
        .arg(target)
        .args(["-xf", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = input.write_all(&stream[8..]);
        });
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && errors.is_empty(),
            "tar: {errors}"
        );
    });
}

/// Makes an empty directory that nobody else can enter.
pub fn empty(path: &Path) -> &Path {
    std::fs::create_dir(path).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(path, mode).unwrap();
    // So that times differ.
    File::open(path).unwrap();
    path
}
