// SPDX-License-Identifier: AGPL-3.0-or-later
//! Loop devices behind which a file lies.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::{Error, Result};

/// The loop devices (`/dev/loopN`) whose backing file is `path`, by whatever name.
///
/// # Errors
/// `absent` when the file is missing: then nothing is known about loop devices of it.
pub fn loop_devices_of(path: &Path) -> Result<Vec<PathBuf>> {
    loop_devices_in(Path::new("/sys/block"), path)
}

fn loop_devices_in(sys_block: &Path, path: &Path) -> Result<Vec<PathBuf>> {
    let wanted = std::fs::metadata(path)
        .map_err(|error| from_io(format!("examine {}", path.display()), &error))?;
    let read = |error| from_io(format!("list {}", sys_block.display()), &error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(sys_block).map_err(read)? {
        let name = entry.map_err(read)?.file_name();
        if !name.as_bytes().starts_with(b"loop") {
            continue;
        }
        // Without this attribute the device has no backing file, or just lost it.
        let Ok(mut backing) = std::fs::read(sys_block.join(&name).join("loop/backing_file")) else {
            continue;
        };
        if backing.last() == Some(&b'\n') {
            backing.pop();
        }
        // The same file may have been attached under another name (bind mount, link), so compare the file.
        // A removed file shows up as "name (deleted)" and cannot be the one that `path` names.
        let same = std::fs::metadata(OsStr::from_bytes(&backing))
            .is_ok_and(|backing| (backing.dev(), backing.ino()) == (wanted.dev(), wanted.ino()));
        if same {
            found.push(Path::new("/dev").join(name));
        }
    }
    found.sort();
    Ok(found)
}

fn from_io(what: String, error: &std::io::Error) -> Error {
    Error::os(what, Errno::from_io_error(error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_the_file_not_its_name() {
        let dir = crate::testing::TempDir::new();
        let (image, link, other) = (
            dir.path("disk.raw"),
            dir.path("link.raw"),
            dir.path("other.raw"),
        );
        std::fs::write(&image, "x").unwrap();
        std::fs::write(&other, "x").unwrap();
        std::fs::hard_link(&image, &link).unwrap();
        let sys = dir.path("sys");
        for (device, backing) in [
            ("loop1", &link),
            ("loop0", &image),
            ("loop2", &other),
            ("sda", &image),
        ] {
            std::fs::create_dir_all(sys.join(device).join("loop")).unwrap();
            std::fs::write(
                sys.join(device).join("loop/backing_file"),
                format!("{}\n", backing.display()),
            )
            .unwrap();
        }
        std::fs::create_dir_all(sys.join("loop3")).unwrap();
        let found = loop_devices_in(&sys, &image).unwrap();
        assert_eq!(found, [Path::new("/dev/loop0"), Path::new("/dev/loop1")]);
    }

    #[test]
    fn a_missing_file_is_an_error_not_an_empty_list() {
        let dir = crate::testing::TempDir::new();
        let error = loop_devices_of(&dir.path("missing")).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Absent);
    }
}
