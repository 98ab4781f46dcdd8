// SPDX-License-Identifier: AGPL-3.0-or-later
//! What an archive says of one member, whatever the format of its headers.

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// Another name of a member that came before.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice(u32, u32),
    /// A block device.
    BlockDevice(u32, u32),
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// Seconds since the epoch, which may be negative, and nanoseconds after that, below 10^9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    pub seconds: i64,
    pub nanos: u32,
}

/// Attributes beyond those that every file has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// As the kernel has it in `system.posix_acl_access`.
    pub access_acl: Option<Vec<u8>>,
    /// As the kernel has it in `system.posix_acl_default`; directories only.
    pub default_acl: Option<Vec<u8>>,
    /// Names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Owner, permissions and the like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, with set-user-ID, set-group-ID and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    pub attributes: Attributes,
}

/// A name of any bytes as a line of a log may have it.
pub fn printable(name: &[u8]) -> String {
    const LONGEST: usize = 200;
    let shown = &name[..name.len().min(LONGEST)];
    let more = if name.len() > LONGEST { "..." } else { "" };
    format!("{}{more}", shown.escape_ascii())
}
