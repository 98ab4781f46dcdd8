// SPDX-License-Identifier: AGPL-3.0-or-later
//! Reading and writing sysfs below a root of one's choice.
//!
//! Entries come and go while they are read, and a driver may refuse to show an attribute. So what is missing, is of
//! the wrong type or makes no sense is "not there" and never an error. Errors are only what says nothing about the
//! entry: no descriptors, no memory, no permission. Otherwise a process that ran out of descriptors would take every
//! device for gone.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::{Error, Result};

/// Attributes are one page at most; what fills it is no attribute of ours.
const ATTRIBUTE_MAX: usize = 4096;
/// Vital product data has a length of 16 bits.
const BINARY_MAX: usize = 4 + 0xffff;

/// Access to `ROOT/sys`, `ROOT/dev` and `ROOT/proc`.
#[derive(Clone, Debug)]
pub struct Sysfs {
    root: PathBuf,
    trace: Option<Trace>,
}

/// The paths below the root that were looked at or written, in order. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    /// Takes what was recorded so far.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, path: String) {
        // No code that can panic runs under this lock.
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(path);
    }
}

impl Sysfs {
    /// Access below `root`; `/` is the running system.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            trace: None,
        }
    }

    /// As [`new`](Self::new), and every access is recorded.
    pub fn traced(root: impl Into<PathBuf>) -> (Self, Trace) {
        let trace = Trace::default();
        let sysfs = Self {
            root: root.into(),
            trace: Some(trace.clone()),
        };
        (sysfs, trace)
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// True for the running system; otherwise this is a tree of files.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Path of a device node, `ROOT/dev/NAME`.
    #[must_use]
    pub fn node(&self, name: &str) -> PathBuf {
        self.path("dev").join(name.replace('!', "/"))
    }

    /// True when the node of a disk is there and is that disk's: neither an old one nor a file of that name.
    pub(crate) fn has_node(&self, name: &str, devno: Devno) -> bool {
        self.note(|| format!("dev/{name}"));
        let Ok(stat) = rustix::fs::stat(self.node(name)) else {
            return false;
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice {
            Devno::of(stat.st_rdev) == devno
        } else {
            !self.is_real()
        }
    }

    /// Names of the entries of a directory, sorted; empty when it is not there.
    pub(crate) fn names(&self, dir: &str) -> Result<Vec<String>> {
        self.note(|| dir.to_owned());
        let found = names_at(CWD, self.path(dir).as_os_str());
        Ok(self.checked(|| dir, found)?.unwrap_or_default())
    }

    /// An attribute without the white space around it.
    pub(crate) fn text(&self, path: &str) -> Result<Option<String>> {
        self.note(|| path.to_owned());
        let found = read_at(CWD, self.path(path).as_os_str(), ATTRIBUTE_MAX);
        self.checked(|| path, found)
            .map(|bytes| bytes.and_then(text_of))
    }

    /// An attribute that is a number.
    pub(crate) fn number<T: FromStr>(&self, path: &str) -> Result<Option<T>> {
        Ok(self.text(path)?.and_then(|text| number_of(&text)))
    }

    /// A file of any length up to `max`; what lies behind is left out.
    pub(crate) fn file(&self, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        self.note(|| path.to_owned());
        let found = read_at(CWD, self.path(path).as_os_str(), max);
        self.checked(|| path, found)
    }

    /// Where a symbolic link points.
    pub(crate) fn link(&self, path: &str) -> Result<Option<PathBuf>> {
        self.note(|| path.to_owned());
        let found = rustix::fs::readlink(self.path(path), Vec::new());
        let target = self.checked(|| path, found)?;
        Ok(target
            .and_then(|target| target.into_string().ok())
            .map(PathBuf::from))
    }

    /// True when a directory or file is there.
    pub(crate) fn exists(&self, path: &str) -> Result<bool> {
        self.note(|| path.to_owned());
        let found = rustix::fs::stat(self.path(path));
        Ok(self.checked(|| path, found)?.is_some())
    }

    /// Opens a directory, so that several of its attributes are those of the same device.
    pub(crate) fn dir(&self, path: &str) -> Result<Option<Dir<'_>>> {
        self.note(|| path.to_owned());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let found =
            retry_on_intr(|| rustix::fs::openat(CWD, self.path(path), flags, Mode::empty()));
        Ok(self.checked(|| path, found)?.map(|fd| Dir {
            sysfs: self,
            fd,
            path: path.to_owned(),
        }))
    }

    /// Writes an attribute. May block for as long as the kernel works on it.
    pub(crate) fn write(&self, path: &str, value: &str) -> Result<()> {
        self.note(|| path.to_owned());
        write_at(CWD, self.path(path).as_os_str(), value)
            .map_err(|errno| Error::os(format!("write '{value}' to {}", self.shown(path)), errno))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn shown(&self, path: &str) -> String {
        self.path(path).display().to_string()
    }

    fn note(&self, path: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            trace.add(path());
        }
    }

    fn checked<T, P: AsRef<str>>(
        &self,
        path: impl FnOnce() -> P,
        found: rustix::io::Result<T>,
    ) -> Result<Option<T>> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(errno) if tells_nothing(errno) => {
                let path = self.shown(path().as_ref());
                Err(Error::os(format!("read {path}"), errno))
            }
            Err(_) => Ok(None),
        }
    }
}

/// An open directory. When its device goes away and another one takes the name, this stays the old one.
pub(crate) struct Dir<'a> {
    sysfs: &'a Sysfs,
    fd: OwnedFd,
    path: String,
}

impl Dir<'_> {
    /// As [`Sysfs::text`], below this directory.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>> {
        Ok(self.bytes(name, ATTRIBUTE_MAX)?.and_then(text_of))
    }

    /// A binary attribute.
    pub(crate) fn binary(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.bytes(name, BINARY_MAX)
    }

    /// As [`Sysfs::names`], below this directory.
    pub(crate) fn names(&self, name: &str) -> Result<Vec<String>> {
        self.sysfs.note(|| self.below(name));
        let found = names_at(self.fd.as_fd(), OsStr::new(name));
        let found = self.sysfs.checked(|| self.below(name), found)?;
        Ok(found.unwrap_or_default())
    }

    /// Writes an attribute; `None` when it is not there (any more).
    pub(crate) fn write(&self, name: &str, value: &str) -> Result<Option<()>> {
        self.sysfs.note(|| self.below(name));
        match write_at(self.fd.as_fd(), OsStr::new(name), value) {
            Ok(()) => Ok(Some(())),
            // Both are how the kernel says that the device of an open directory was removed.
            Err(Errno::NOENT | Errno::NODEV) => Ok(None),
            Err(errno) => Err(Error::os(
                format!("write '{value}' to {}", self.sysfs.shown(&self.below(name))),
                errno,
            )),
        }
    }

    fn bytes(&self, name: &str, max: usize) -> Result<Option<Vec<u8>>> {
        self.sysfs.note(|| self.below(name));
        let found = read_at(self.fd.as_fd(), OsStr::new(name), max);
        self.sysfs.checked(|| self.below(name), found)
    }

    fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}

/// Major and minor number of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Devno {
    /// Number of the driver.
    pub major: u32,
    /// Number of the device.
    pub minor: u32,
}

impl Devno {
    pub(crate) fn of(raw: u64) -> Self {
        Self {
            major: rustix::fs::major(raw),
            minor: rustix::fs::minor(raw),
        }
    }
}

impl std::fmt::Display for Devno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for Devno {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.split_once(':')
            .and_then(|(major, minor)| {
                Some(Self {
                    major: number_of(major)?,
                    minor: number_of(minor)?,
                })
            })
            .ok_or_else(|| Error::invalid(format!("'{text}' is no device number MAJOR:MINOR")))
    }
}

/// A decimal number without sign, which Rust's own parser would accept.
pub(crate) fn number_of<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

/// Errors that say something about this process and nothing about the entry.
fn tells_nothing(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::ACCESS | Errno::PERM
    )
}

fn text_of(bytes: Vec<u8>) -> Option<String> {
    if bytes.len() >= ATTRIBUTE_MAX {
        return None;
    }
    let text = String::from_utf8(bytes).ok()?;
    Some(text.trim_matches(['\n', ' ', '\t', '\0']).to_owned())
}

fn names_at(dir: BorrowedFd<'_>, path: &OsStr) -> rustix::io::Result<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = retry_on_intr(|| rustix::fs::openat(dir, path, flags, Mode::empty()))?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::new(dir)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) => names.push(name.to_owned()),
        }
    }
    // A second pass sees them in the same order, and so do people.
    names.sort_unstable();
    Ok(names)
}

fn read_at(dir: BorrowedFd<'_>, path: &OsStr, max: usize) -> rustix::io::Result<Vec<u8>> {
    // Not blocking, should it be a pipe. No link: attributes are none.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file = retry_on_intr(|| rustix::fs::openat(dir, path, flags, Mode::empty()))?;
    let mut bytes = Vec::new();
    let mut buffer = [0; ATTRIBUTE_MAX];
    while bytes.len() < max {
        let room = buffer.len().min(max - bytes.len());
        let count = retry_on_intr(|| rustix::io::read(&file, &mut buffer[..room]))?;
        bytes.extend_from_slice(&buffer[..count]);
        // An attribute comes whole; asking for its end would be one call more for each of thousands.
        if count == 0 || (max <= ATTRIBUTE_MAX && count < room) {
            break;
        }
    }
    Ok(bytes)
}

fn write_at(dir: BorrowedFd<'_>, path: &OsStr, value: &str) -> rustix::io::Result<()> {
    let flags =
        OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file = retry_on_intr(|| rustix::fs::openat(dir, path, flags, Mode::empty()))?;
    // Not repeated when interrupted: the kernel may have begun.
    let written = rustix::io::write(&file, value.as_bytes())?;
    if written == value.len() {
        Ok(())
    } else {
        Err(Errno::IO)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn what_makes_no_sense_is_not_there() {
        let dir = TempDir::new();
        let sysfs = Sysfs::new(dir.path(""));
        symlink("loop", dir.path("loop")).unwrap();
        std::fs::create_dir(dir.path("dir")).unwrap();
        std::fs::write(dir.path("bytes"), b"\xff\n").unwrap();
        std::fs::write(dir.path("long"), [b'x'; 5000]).unwrap();
        let fifo = rustix::fs::mknodat(
            CWD,
            dir.path("fifo"),
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        );
        fifo.unwrap();
        for name in ["missing", "loop", "dir", "bytes", "long", "bytes/below"] {
            assert_eq!(sysfs.text(name), Ok(None), "{name}");
        }
        assert_eq!(sysfs.text("fifo"), Ok(Some(String::new())));
        for name in ["missing", "loop", "bytes"] {
            assert_eq!(sysfs.names(name), Ok(Vec::new()), "{name}");
        }
        assert_eq!(sysfs.link("dir"), Ok(None));
    }

    #[test]
    fn numbers_are_digits() {
        assert_eq!(number_of::<u32>("17"), Some(17));
        for text in ["+17", "-1", "", "1 7", "99999999999"] {
            assert_eq!(number_of::<u32>(text), None, "{text}");
        }
        assert_eq!(
            "8:16".parse(),
            Ok(Devno {
                major: 8,
                minor: 16
            })
        );
        assert!("8".parse::<Devno>().is_err());
    }

    #[test]
    fn no_descriptors_left_is_an_error_and_not_an_absence() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS] {
            assert!(tells_nothing(errno), "{errno:?}");
        }
        for errno in [Errno::NOENT, Errno::LOOP, Errno::ISDIR, Errno::IO] {
            assert!(!tells_nothing(errno), "{errno:?}");
        }
    }
}
