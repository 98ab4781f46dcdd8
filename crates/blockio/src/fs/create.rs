// SPDX-License-Identifier: AGPL-3.0-or-later
//! Files that appear under their name complete or not at all.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::{Error, ErrorKind, Result};

/// A file without a name until [`publish`](Self::publish). When the process dies before, nothing is left; on file
/// systems that have no nameless files (NFS), a `.{name}.{host}.tmp` is left and replaced by the next attempt.
pub struct NewFile {
    file: OwnedFd,
    dir: OwnedFd,
    path: PathBuf,
    name: OsString,
    /// The name it has until it is published, where a file must have one.
    temporary: Option<OsString>,
}

impl NewFile {
    /// Opens a new file that is to become `path`, with permission bits `mode` (not reduced by the umask).
    ///
    /// # Errors
    /// `exists` when the name is taken already; `absent` when the directory is missing; `busy` when another process
    /// of this host is creating the same file where nameless files are not to be had.
    pub fn create(path: &Path, mode: u32) -> Result<Self> {
        let new = Self::open(path, mode, true)?;
        match rustix::fs::statat(&new.dir, &new.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(taken(path)),
            Err(Errno::NOENT) => Ok(new),
            Err(errno) => Err(new.failed(errno)),
        }
    }

    /// As [`create`](Self::create), for a name that may be taken: see [`publish_over`](Self::publish_over).
    ///
    /// # Errors
    /// `absent` when the directory is missing; `busy` as for [`create`](Self::create).
    pub fn create_over(path: &Path, mode: u32) -> Result<Self> {
        Self::open(path, mode, true)
    }

    fn open(path: &Path, mode: u32, nameless: bool) -> Result<Self> {
        let (dir, name) = open_parent(path)?;
        let failed = |errno| Error::os(format!("create {}", path.display()), errno);
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let private = Mode::RUSR | Mode::WUSR;
        let nameless = if nameless {
            match rustix::fs::openat(&dir, ".", flags | OFlags::TMPFILE, private) {
                // The file system, or a kernel below it, does not know O_TMPFILE.
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => None,
                other => Some(other.map_err(failed)?),
            }
        } else {
            None
        };
        let (file, temporary) = if let Some(file) = nameless {
            (file, None)
        } else {
            let temporary = temporary_name(&name);
            (create_temporary(&dir, &temporary, path)?, Some(temporary))
        };
        let new = Self {
            file,
            dir,
            path: path.to_owned(),
            name,
            temporary,
        };
        rustix::fs::fchmod(&new.file, Mode::from_raw_mode(mode & 0o7777)).map_err(failed)?;
        Ok(new)
    }

    /// The final path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the content durable, then gives the file its name, which must still be free.
    ///
    /// # Errors
    /// `exists` when the name was taken meanwhile; whatever making it durable reports.
    pub fn publish(self) -> Result<()> {
        self.sync()?;
        match self.link(&self.name) {
            Err(Errno::EXIST) => return Err(taken(&self.path)),
            Err(errno) => return Err(self.failed(errno)),
            Ok(()) => {}
        }
        self.sync_dir()
    }

    /// As [`publish`](Self::publish), but takes the name from the file that has it.
    ///
    /// # Errors
    /// `refused` when that file is immutable; whatever making it durable reports.
    pub fn publish_over(mut self) -> Result<()> {
        self.sync()?;
        if self.temporary.is_none() {
            let temporary = temporary_name(&self.name);
            let mut linked = self.link(&temporary);
            if linked == Err(Errno::EXIST) {
                // Left by a process that was killed between link and rename.
                rustix::fs::unlinkat(&self.dir, &temporary, AtFlags::empty())
                    .map_err(|errno| self.failed(errno))?;
                linked = self.link(&temporary);
            }
            linked.map_err(|errno| self.failed(errno))?;
            self.temporary = Some(temporary);
        }
        if let Some(temporary) = &self.temporary {
            rustix::fs::renameat(&self.dir, temporary, &self.dir, &self.name)
                .map_err(|errno| self.failed(errno))?;
        }
        self.temporary = None;
        self.sync_dir()
    }

    fn sync(&self) -> Result<()> {
        rustix::fs::fsync(&self.file)
            .map_err(|errno| Error::os(format!("sync {}", self.path.display()), errno))
    }

    /// Links this very file, whatever bears its temporary name by now.
    fn link(&self, name: &OsStr) -> rustix::io::Result<()> {
        let itself = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::linkat(CWD, itself, &self.dir, name, AtFlags::SYMLINK_FOLLOW)
    }

    fn sync_dir(&self) -> Result<()> {
        sync_dir(&self.dir, &self.path)
    }

    fn failed(&self, errno: Errno) -> Error {
        Error::os(format!("create {}", self.path.display()), errno)
    }
}

impl AsFd for NewFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // What cannot be removed now is replaced by the next attempt.
            let _ = rustix::fs::unlinkat(&self.dir, temporary, AtFlags::empty());
        }
    }
}

/// Makes what happened to names in a directory durable.
pub(super) fn sync_dir(dir: &OwnedFd, path: &Path) -> Result<()> {
    match rustix::fs::fsync(dir) {
        // Some network file systems have no sync of directories: the server has done it.
        Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(Error::os(
            format!("sync the directory of {}", path.display()),
            errno,
        )),
    }
}

/// Opens the directory of a path and returns it with the last component.
pub(super) fn open_parent(path: &Path) -> Result<(OwnedFd, OsString)> {
    let name = match path.file_name() {
        Some(name) if path.is_absolute() => name.to_owned(),
        _ => {
            return Err(Error::invalid(format!(
                "open {}: an absolute path of a file is needed",
                path.display()
            )));
        }
    };
    let parent = path.parent().unwrap_or(Path::new("/"));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(parent, flags, Mode::empty())
        .map_err(|errno| Error::os(format!("open directory {}", parent.display()), errno))?;
    Ok((dir, name))
}

/// One name per file and host, so that an attempt finds what a killed one left, and hosts do not meet.
fn temporary_name(name: &OsStr) -> OsString {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy().replace('/', "_");
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{host}.tmp"));
    temporary
}

/// Creates the temporary file, replacing a stale one. A lock tells a stale one from one in use.
fn create_temporary(dir: &OwnedFd, temporary: &OsStr, path: &Path) -> Result<OwnedFd> {
    let failed = |errno| Error::os(format!("create {}", path.display()), errno);
    let busy = || {
        let message = format!(
            "create {}: another process is creating it; wait for it to end",
            path.display()
        );
        Error::new(ErrorKind::Busy, message)
    };
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    for _ in 0..2 {
        match rustix::fs::openat(
            dir,
            temporary,
            flags | OFlags::CREATE | OFlags::EXCL,
            Mode::RUSR | Mode::WUSR,
        ) {
            Ok(file) => {
                return match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                    // Before it was locked, another attempt may have taken it for a stale one and removed it.
                    Ok(()) if rustix::fs::fstat(&file).map_err(failed)?.st_nlink == 0 => {
                        Err(busy())
                    }
                    Ok(()) => Ok(file),
                    Err(Errno::WOULDBLOCK) => Err(busy()),
                    Err(errno) => Err(failed(errno)),
                };
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        match rustix::fs::openat(dir, temporary, flags, Mode::empty()) {
            Ok(stale) => {
                match rustix::fs::flock(&stale, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => match rustix::fs::unlinkat(dir, temporary, AtFlags::empty()) {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(errno) => return Err(failed(errno)),
                    },
                    Err(Errno::WOULDBLOCK) => return Err(busy()),
                    Err(errno) => return Err(failed(errno)),
                }
            }
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Err(busy())
}

fn taken(path: &Path) -> Error {
    Error::new(
        ErrorKind::Exists,
        format!(
            "create {}: the name is taken; choose another one",
            path.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::testing::TempDir;

    fn names(dir: &TempDir) -> Vec<String> {
        let entries = std::fs::read_dir(dir.path("")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn write(new: &NewFile, bytes: &[u8]) {
        assert_eq!(rustix::io::write(new, bytes), Ok(bytes.len()));
    }

    #[test]
    fn a_file_appears_when_it_is_published() {
        for nameless in [true, false] {
            let dir = TempDir::new();
            let new = NewFile::open(&dir.path("disk.raw"), 0o640, nameless).unwrap();
            write(&new, b"content");
            assert_eq!(names(&dir).len(), usize::from(!nameless));
            assert!(!names(&dir).contains(&"disk.raw".to_owned()));
            new.publish().unwrap();
            assert_eq!(names(&dir), ["disk.raw"]);
            assert_eq!(std::fs::read(dir.path("disk.raw")).unwrap(), b"content");
        }
    }

    #[test]
    fn a_dropped_file_leaves_nothing() {
        for nameless in [true, false] {
            let dir = TempDir::new();
            drop(NewFile::open(&dir.path("disk.raw"), 0o640, nameless).unwrap());
            assert_eq!(names(&dir), Vec::<String>::new());
        }
    }

    #[test]
    fn a_taken_name_stays_with_its_file() {
        for nameless in [true, false] {
            let dir = TempDir::new();
            let path = dir.path("disk.raw");
            let new = NewFile::open(&path, 0o640, nameless).unwrap();
            std::fs::write(&path, b"other").unwrap();
            assert_eq!(new.publish().unwrap_err().kind(), ErrorKind::Exists);
            assert_eq!(names(&dir), ["disk.raw"]);
            assert_eq!(std::fs::read(&path).unwrap(), b"other");
        }
    }

    #[test]
    fn publishing_over_replaces() {
        for nameless in [true, false] {
            let dir = TempDir::new();
            let path = dir.path("disk.raw");
            std::fs::write(&path, b"old").unwrap();
            let new = NewFile::open(&path, 0o640, nameless).unwrap();
            write(&new, b"new");
            new.publish_over().unwrap();
            assert_eq!(names(&dir), ["disk.raw"]);
            assert_eq!(std::fs::read(&path).unwrap(), b"new");
        }
    }

    #[test]
    fn what_a_killed_attempt_left_is_replaced() {
        let dir = TempDir::new();
        let path = dir.path("disk.raw");
        let stale = dir.path(temporary_name(OsStr::new("disk.raw")).to_str().unwrap());
        std::fs::write(&stale, b"half of it").unwrap();
        let new = NewFile::open(&path, 0o640, false).unwrap();
        write(&new, b"whole");
        new.publish().unwrap();
        assert_eq!(names(&dir), ["disk.raw"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");

        std::fs::write(&stale, b"killed between link and rename").unwrap();
        let new = NewFile::open(&path, 0o640, true).unwrap();
        write(&new, b"newer");
        new.publish_over().unwrap();
        assert_eq!(names(&dir), ["disk.raw"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"newer");
    }

    #[test]
    fn an_attempt_under_way_is_not_stale() {
        let dir = TempDir::new();
        let path = dir.path("disk.raw");
        let first = NewFile::open(&path, 0o640, false).unwrap();
        write(&first, b"first");
        let second = NewFile::open(&path, 0o640, false).err().unwrap();
        assert_eq!(second.kind(), ErrorKind::Busy);
        first.publish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
    }

    #[test]
    fn the_temporary_name_is_hidden_and_names_the_host() {
        let name = temporary_name(OsStr::new("vm-100-disk-0.raw"))
            .into_string()
            .unwrap();
        assert!(name.starts_with(".vm-100-disk-0.raw."), "{name}");
        assert!(
            Path::new(&name)
                .extension()
                .is_some_and(|extension| extension == "tmp"),
            "{name}"
        );
        assert!(name.len() > ".vm-100-disk-0.raw..tmp".len(), "{name}");
    }

    #[test]
    fn a_dangling_link_counts_as_a_taken_name() {
        let dir = TempDir::new();
        let path = dir.path("disk.raw");
        std::os::unix::fs::symlink("/nonexistent", &path).unwrap();
        assert_eq!(
            NewFile::create(&path, 0o640).err().unwrap().kind(),
            ErrorKind::Exists
        );
        assert!(File::open("/nonexistent").is_err());
    }
}
