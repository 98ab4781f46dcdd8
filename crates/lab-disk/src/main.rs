// SPDX-License-Identifier: AGPL-3.0-or-later
//! Serves a file as a disk of LIO, the kernel's iSCSI target, through its user backend (TCMU).
//!
//! LIO's own disks identify themselves in the NAA format only. Arrays do in others, and what a node makes of that
//! (udev, multipath) is a part of what the lab proves.
//!
//! usage: `lab-disk NAME FILE EUI64 [ro]` once `core/user_N/NAME` is enabled in configfs. Ends when that is removed.
#![deny(unsafe_op_in_unsafe_fn)]
// Everything here is a 64-bit machine's, and lengths of pages are small.
#![allow(clippy::cast_possible_truncation)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod disk;
mod mailbox;
mod scsi;

use std::fs;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use disk::Disk;
use mailbox::Mailbox;

/// The device file appears when udev or the kernel has made it.
const APPEARS_WITHIN: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [name, file, eui] => serve(name, file, eui, false),
        [name, file, eui, "ro"] => serve(name, file, eui, true),
        _ => Err(io::Error::other("usage: lab-disk NAME FILE EUI64 [ro]")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "lab-disk: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(name: &str, file: &str, eui: &str, read_only: bool) -> io::Result<()> {
    let mut disk = Disk::open(file.into(), eui, read_only)?;
    let number = number_of(name)?;
    let path = format!("/dev/{number}");
    let mut device = wait(|| {
        let opened = fs::File::options().read(true).write(true).open(&path);
        opened.ok()
    })
    .ok_or_else(|| io::Error::other(format!("{path} did not appear")))?;
    let size = fs::read_to_string(format!("/sys/class/uio/{number}/maps/map0/size"))?;
    let size = usize::from_str_radix(size.trim().trim_start_matches("0x"), 16)
        .map_err(|error| io::Error::other(format!("size of {path}: {error}")))?;
    let mut mailbox = Mailbox::map(&device, size)?;
    loop {
        mailbox.serve(|cdb, data| scsi::carry_out(&mut disk, cdb, data))?;
        // Tells the kernel that there are answers, then waits for more to do.
        let mut count = [0; 4];
        if device
            .write_all(&count)
            .and_then(|()| device.read_exact(&mut count))
            .is_err()
        {
            return Ok(()); // the disk was removed
        }
    }
}

/// `uioN` of a disk: its name there is `tcm-user/HBA/NAME/CONFIG`.
fn number_of(name: &str) -> io::Result<String> {
    wait(|| {
        fs::read_dir("/sys/class/uio")
            .ok()?
            .flatten()
            .find_map(|entry| {
                let text = fs::read_to_string(entry.path().join("name")).ok()?;
                let found = text.trim().split('/').nth(2)?.to_owned();
                (found == name).then(|| entry.file_name().to_string_lossy().into_owned())
            })
    })
    .ok_or_else(|| io::Error::other(format!("there is no disk '{name}' in core/user_*")))
}

fn wait<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    let end = Instant::now() + APPEARS_WITHIN;
    loop {
        let found = look();
        if found.is_some() || Instant::now() >= end {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
