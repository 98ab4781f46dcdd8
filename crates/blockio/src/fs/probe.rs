// SPDX-License-Identifier: AGPL-3.0-or-later
//! Asking a file system that may not answer (a dead NFS server).

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::FileType;

use crate::{Error, ErrorKind, Result};

/// Space and identity of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirInfo {
    /// Size in bytes.
    pub total: u64,
    /// Bytes that may still be written by unprivileged users.
    pub available: u64,
    /// Bytes in use.
    pub used: u64,
    /// Type as the mount table names it; the magic number in hexadecimal for types not known here.
    pub fs_type: String,
    /// Device number of the directory: differs from its parent's when something is mounted there.
    pub device: u64,
}

/// A probe under way; everybody who asks about its path meanwhile waits for its answer.
#[derive(Default)]
struct Probe {
    answer: Mutex<Answer>,
    changed: Condvar,
}

#[derive(Default)]
enum Answer {
    #[default]
    Awaited,
    /// Somebody waited in vain.
    Overdue,
    Known(Result<DirInfo>),
}

/// The probes under way, by path: one at most for each.
static OUTSTANDING: LazyLock<Mutex<HashMap<PathBuf, Arc<Probe>>>> = LazyLock::new(Mutex::default);

/// Examines the file system of a directory on a thread that is left behind when it hangs.
///
/// A path has one probe at most: callers at the same time share it, and once it is overdue, further calls fail at
/// once until it comes back. So a dead server costs one thread.
///
/// # Errors
/// `timeout` when there is no answer in time or an earlier probe is overdue; `absent` when the directory is
/// missing; `invalid` when it is not a directory.
pub fn probe_dir(path: &Path, timeout: Duration) -> Result<DirInfo> {
    probe_with(path, timeout, examine)
}

fn probe_with<F>(path: &Path, timeout: Duration, examine: F) -> Result<DirInfo>
where
    F: FnOnce(&Path) -> Result<DirInfo> + Send + 'static,
{
    let mut outstanding = lock(&OUTSTANDING);
    let probe = if let Some(probe) = outstanding.get(path) {
        Arc::clone(probe)
    } else {
        let probe = Arc::new(Probe::default());
        let (shared, path) = (Arc::clone(&probe), path.to_owned());
        outstanding.insert(path.clone(), Arc::clone(&probe));
        let work = {
            let path = path.clone();
            move || {
                let result =
                    catch_unwind(AssertUnwindSafe(|| examine(&path))).unwrap_or_else(|_| {
                        Err(Error::internal(format!(
                            "examine {}: the probe failed",
                            path.display()
                        )))
                    });
                lock(&OUTSTANDING).remove(&path);
                *lock(&shared.answer) = Answer::Known(result);
                shared.changed.notify_all();
            }
        };
        if let Err(error) = std::thread::Builder::new()
            .name("blockio-probe".into())
            .spawn(work)
        {
            outstanding.remove(&path);
            return Err(Error::internal(format!(
                "examine {}: cannot start a thread: {error}",
                path.display()
            )));
        }
        probe
    };
    drop(outstanding);
    probe.wait(path, timeout)
}

impl Probe {
    fn wait(&self, path: &Path, timeout: Duration) -> Result<DirInfo> {
        let late = |detail: String| {
            let message = format!(
                "examine {}: {detail}; check the file server and the mount",
                path.display()
            );
            Error::new(ErrorKind::Timeout, message)
        };
        let (mut answer, _) = self
            .changed
            .wait_timeout_while(lock(&self.answer), timeout, |answer| {
                matches!(answer, Answer::Awaited)
            })
            .unwrap_or_else(PoisonError::into_inner);
        match &*answer {
            Answer::Known(result) => result.clone(),
            Answer::Overdue => Err(late("an earlier attempt still has no answer".to_owned())),
            Answer::Awaited => {
                *answer = Answer::Overdue;
                self.changed.notify_all();
                Err(late(format!("no answer within {} ms", timeout.as_millis())))
            }
        }
    }
}

/// No code that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn examine(path: &Path) -> Result<DirInfo> {
    let failed = |errno| Error::os(format!("examine {}", path.display()), errno);
    let stat = rustix::fs::stat(path).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Error::invalid(format!(
            "examine {}: it is not a directory",
            path.display()
        )));
    }
    let space = rustix::fs::statvfs(path).map_err(failed)?;
    let magic = rustix::fs::statfs(path).map_err(failed)?.f_type;
    let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
    Ok(DirInfo {
        total: bytes(space.f_blocks),
        available: bytes(space.f_bavail),
        used: bytes(space.f_blocks.saturating_sub(space.f_bfree)),
        fs_type: type_name(magic),
        device: stat.st_dev,
    })
}

/// Magic numbers have 32 bits; the field has more and may be sign-extended.
fn type_name(magic: i64) -> String {
    let magic = magic & 0xffff_ffff;
    let name = match magic {
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0xef53 => "ext4",
        0x6969 => "nfs",
        0xff53_4d42 => "cifs",
        0xfe53_4d42 => "smb2",
        0x0102_1994 => "tmpfs",
        0x2fc1_2fc1 => "zfs",
        0x00c3_6400 => "ceph",
        0x6573_5546 => "fuse",
        0x794c_7630 => "overlay",
        0xf2f5_2010 => "f2fs",
        0xca45_1a4e => "bcachefs",
        0x0116_1970 => "gfs2",
        0x7461_636f => "ocfs2",
        0x0102_1997 => "9p",
        0x8584_58f6 => "ramfs",
        _ => return format!("0x{magic:x}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::testing::TempDir;

    /// Long enough never to matter.
    const PATIENCE: Duration = Duration::from_secs(600);

    fn some_info() -> DirInfo {
        examine(Path::new("/")).unwrap()
    }

    #[test]
    fn a_directory_has_a_size_and_a_type() {
        let dir = TempDir::new();
        let info = probe_dir(&dir.path(""), PATIENCE).unwrap();
        assert!(
            info.total >= info.used && info.total >= info.available,
            "{info:?}"
        );
        assert!(info.total > 0 && !info.fs_type.is_empty(), "{info:?}");
        let proc = probe_dir(Path::new("/proc"), PATIENCE).unwrap();
        assert_ne!(proc.device, info.device);
        assert_eq!(proc.fs_type, "0x9fa0");
    }

    #[test]
    fn what_is_missing_is_absent_and_what_is_no_directory_is_invalid() {
        let dir = TempDir::new();
        let missing = probe_dir(&dir.path("missing"), PATIENCE).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Absent);
        std::fs::write(dir.path("file"), b"").unwrap();
        let file = probe_dir(&dir.path("file"), PATIENCE).unwrap_err();
        assert_eq!(file.kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_hanging_probe_costs_one_thread_and_others_are_not_affected() {
        let path = Path::new("/hanging");
        let (release, released) = channel::<()>();
        let hang = move |_: &Path| {
            let _ = released.recv();
            Ok(some_info())
        };
        let first = probe_with(path, Duration::from_millis(1), hang).unwrap_err();
        assert_eq!(first.kind(), ErrorKind::Timeout);
        // At once, however patient the caller is, and without a second look.
        let second = probe_with(path, PATIENCE, |_| unreachable!("it is asked again")).unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Timeout);
        assert!(probe_dir(Path::new("/"), PATIENCE).is_ok(), "another path");
        drop(release);
        while lock(&OUTSTANDING).contains_key(path) {
            std::thread::yield_now();
        }
        assert!(
            probe_with(path, PATIENCE, |_| Ok(some_info())).is_ok(),
            "it answers again"
        );
    }

    #[test]
    fn simultaneous_callers_share_one_probe() {
        let path = Path::new("/shared");
        let (release, released) = channel::<()>();
        std::thread::scope(|scope| {
            let first = scope.spawn(move || {
                probe_with(path, PATIENCE, move |_| {
                    let _ = released.recv();
                    Ok(some_info())
                })
            });
            while !lock(&OUTSTANDING).contains_key(path) {
                std::thread::yield_now();
            }
            let second =
                scope.spawn(move || probe_with(path, PATIENCE, |_| unreachable!("a second probe")));
            drop(release);
            assert!(first.join().unwrap().is_ok());
            // It joined the first one, or came after it.
            let _ = second.join();
        });
    }

    #[test]
    fn a_panic_is_an_error_and_frees_the_path() {
        let path = Path::new("/panicking");
        let error = probe_with(path, PATIENCE, |_| panic!("on purpose")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(probe_with(path, PATIENCE, |_| Ok(some_info())).is_ok());
    }

    #[test]
    fn sign_extended_magic_numbers_are_known() {
        assert_eq!(
            type_name(i32::from_ne_bytes(0xff53_4d42_u32.to_ne_bytes()).into()),
            "cifs"
        );
        assert_eq!(type_name(0x5846_5342), "xfs");
        assert_eq!(type_name(0x1234), "0x1234");
    }
}
