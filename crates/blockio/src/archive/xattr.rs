// SPDX-License-Identifier: AGPL-3.0-or-later
//! Extended attributes and ACLs of files: those that PVE's streams have, `user.*` and `security.capability`.

use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::meta::Attributes;

pub const ACCESS_ACL: &str = "system.posix_acl_access";
pub const DEFAULT_ACL: &str = "system.posix_acl_default";
/// The kernel's limit for a list of names and for a value.
const LIMIT: usize = 64 << 10;

/// True for attributes that travel.
pub fn travels(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name == b"security.capability"
}

/// Where attributes are read from and written to: an open file, or a name in a directory whose last part is not followed.
pub trait Subject {
    fn list(&self, buffer: &mut [u8]) -> rustix::io::Result<usize>;
    fn get(&self, name: &[u8], buffer: &mut [u8]) -> rustix::io::Result<usize>;
    fn set(&self, name: &[u8], value: &[u8]) -> rustix::io::Result<()>;
    fn remove(&self, name: &[u8]) -> rustix::io::Result<()>;
}

/// An open file or directory.
pub struct Open<F>(pub F);

impl<F: AsFd> Subject for Open<F> {
    fn list(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::fs::flistxattr(&self.0, buffer)
    }
    fn get(&self, name: &[u8], buffer: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::fs::fgetxattr(&self.0, name, buffer)
    }
    fn set(&self, name: &[u8], value: &[u8]) -> rustix::io::Result<()> {
        rustix::fs::fsetxattr(&self.0, name, value, XattrFlags::empty())
    }
    fn remove(&self, name: &[u8]) -> rustix::io::Result<()> {
        rustix::fs::fremovexattr(&self.0, name)
    }
}

/// A name in an open directory: for what cannot or should not be opened.
pub struct Named(Vec<u8>);

impl Named {
    pub fn new(dir: impl AsFd, name: &[u8]) -> Self {
        let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        Self(path)
    }
}

impl Subject for Named {
    fn list(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::fs::llistxattr(self.0.as_slice(), buffer)
    }
    fn get(&self, name: &[u8], buffer: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::fs::lgetxattr(self.0.as_slice(), name, buffer)
    }
    fn set(&self, name: &[u8], value: &[u8]) -> rustix::io::Result<()> {
        rustix::fs::lsetxattr(self.0.as_slice(), name, value, XattrFlags::empty())
    }
    fn remove(&self, name: &[u8]) -> rustix::io::Result<()> {
        rustix::fs::lremovexattr(self.0.as_slice(), name)
    }
}

/// All attributes that travel. What vanishes meanwhile is left out.
pub fn read(subject: &impl Subject) -> rustix::io::Result<Attributes> {
    let mut found = Attributes::default();
    let mut few = [0; 256];
    let mut many;
    let names = match subject.list(&mut few) {
        Ok(length) => &few[..length],
        Err(Errno::RANGE) => {
            many = vec![0; LIMIT];
            let length = subject.list(&mut many)?;
            &many[..length]
        }
        Err(Errno::OPNOTSUPP | Errno::NOENT) => return Ok(found),
        Err(errno) => return Err(errno),
    };
    let mut value = Vec::new();
    for name in names.split(|byte| *byte == 0) {
        let access = name == ACCESS_ACL.as_bytes();
        let default = name == DEFAULT_ACL.as_bytes();
        if !access && !default && !travels(name) {
            continue;
        }
        value.resize(LIMIT, 0);
        let length = match subject.get(name, &mut value) {
            Ok(length) => length,
            Err(Errno::NODATA | Errno::NOENT | Errno::OPNOTSUPP) => continue,
            Err(errno) => return Err(errno),
        };
        let bytes = value[..length].to_vec();
        if access {
            found.access_acl = Some(bytes);
        } else if default {
            found.default_acl = Some(bytes);
        } else {
            found.xattrs.push((name.to_vec(), bytes));
        }
    }
    // The kernel lists them in no order that means anything.
    found.xattrs.sort_unstable();
    Ok(found)
}
