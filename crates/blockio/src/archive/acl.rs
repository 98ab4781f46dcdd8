// SPDX-License-Identifier: AGPL-3.0-or-later
//! POSIX ACLs: the kernel's bytes (`system.posix_acl_*`) and the text of archives.

use std::ffi::CString;

/// Version of the kernel's bytes.
const VERSION: u32 = 2;
/// Bytes of one entry: tag, permissions, ID.
const ENTRY: usize = 8;
/// ID of entries that have none.
const NO_ID: u32 = u32::MAX;
/// Entries of one list at most; file systems hold fewer.
const MOST: usize = 8000;

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The text of an archive, with numbers for users and groups; `None` for bytes that no kernel makes.
pub fn to_text(bytes: &[u8]) -> Option<Vec<u8>> {
    let (version, entries) = bytes.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION || entries.len() % ENTRY != 0 {
        return None;
    }
    let mut text = Vec::with_capacity(entries.len() * 2);
    for entry in entries.chunks_exact(ENTRY) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let permissions = u16::from_le_bytes([entry[2], entry[3]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let (name, named) = match tag {
            USER_OBJ => ("user", false),
            USER => ("user", true),
            GROUP_OBJ => ("group", false),
            GROUP => ("group", true),
            MASK => ("mask", false),
            OTHER => ("other", false),
            _ => return None,
        };
        let id = if named { id.to_string() } else { String::new() };
        let bit = |bit: u16, letter| if permissions & bit != 0 { letter } else { '-' };
        let line = format!(
            "{name}:{id}:{}{}{}\n",
            bit(4, 'r'),
            bit(2, 'w'),
            bit(1, 'x')
        );
        text.extend_from_slice(line.as_bytes());
    }
    Some(text)
}

/// The kernel's bytes. Entries are separated by newlines or commas; users and groups are numbers, or names of this machine,
/// or names with a number at the end of the entry. `None` when anything of it is not understood.
pub fn from_text(text: &[u8]) -> Option<Vec<u8>> {
    let mut entries = Vec::new();
    for line in text.split(|byte| matches!(byte, b'\n' | b',')) {
        let line = line.split(|byte| *byte == b'#').next()?.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if entries.len() == MOST {
            return None;
        }
        entries.push(entry(line)?);
    }
    if entries.is_empty() {
        return None;
    }
    // The kernel wants them by tag.
    entries.sort_unstable();
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, id, permissions) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    Some(bytes)
}

/// Tag, ID and permissions of one entry.
fn entry(line: &[u8]) -> Option<(u16, u32, u16)> {
    let mut fields = line.split(|byte| *byte == b':').map(<[u8]>::trim_ascii);
    let mut kind = fields.next()?;
    if matches!(kind, b"default" | b"d") {
        kind = fields.next()?;
    }
    let name = fields.next()?;
    // `mask:rwx` and `other:rwx` leave the empty name out.
    let (name, permissions) = match fields.next() {
        Some(permissions) => (name, permissions),
        None => (&b""[..], name),
    };
    let number = fields.next();
    let mut bits = 0;
    for letter in permissions {
        bits |= match letter {
            b'r' => 4,
            b'w' => 2,
            b'x' => 1,
            b'-' => 0,
            _ => return None,
        };
    }
    let id = |resolve: fn(&[u8]) -> Option<u32>| {
        id_of(name)
            .or_else(|| number.and_then(id_of))
            .or_else(|| resolve(name))
    };
    let (tag, id) = match (kind, name.is_empty()) {
        (b"user" | b"u", true) => (USER_OBJ, NO_ID),
        (b"user" | b"u", false) => (USER, id(user_of)?),
        (b"group" | b"g", true) => (GROUP_OBJ, NO_ID),
        (b"group" | b"g", false) => (GROUP, id(group_of)?),
        (b"mask" | b"m", true) => (MASK, NO_ID),
        (b"other" | b"o", true) => (OTHER, NO_ID),
        _ => return None,
    };
    Some((tag, id, bits))
}

fn id_of(text: &[u8]) -> Option<u32> {
    super::pax::number(text).and_then(|number| u32::try_from(number).ok())
}

/// Bytes that the C library gets for one answer.
const ANSWER: usize = 64 << 10;

/// The user of that name on this machine: GNU tar writes names even where it was asked for numbers.
fn user_of(name: &[u8]) -> Option<u32> {
    let name = CString::new(name).ok()?;
    let mut buffer = vec![0; ANSWER];
    let mut found = std::ptr::null_mut();
    // SAFETY: every pointer is valid for the call, and the buffer's length is given.
    unsafe {
        let mut record: libc::passwd = std::mem::zeroed();
        libc::getpwnam_r(
            name.as_ptr(),
            &raw mut record,
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut found,
        );
        (!found.is_null()).then_some(record.pw_uid)
    }
}

/// The group of that name on this machine.
fn group_of(name: &[u8]) -> Option<u32> {
    let name = CString::new(name).ok()?;
    let mut buffer = vec![0; ANSWER];
    let mut found = std::ptr::null_mut();
    // SAFETY: every pointer is valid for the call, and the buffer's length is given.
    unsafe {
        let mut record: libc::group = std::mem::zeroed();
        libc::getgrnam_r(
            name.as_ptr(),
            &raw mut record,
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut found,
        );
        (!found.is_null()).then_some(record.gr_gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] =
        b"user::rw-\nuser:1000:r--\ngroup::r-x\ngroup:100000:rwx\nmask::rwx\nother::---\n";

    #[test]
    fn text_and_bytes_say_the_same() {
        let bytes = from_text(TEXT).unwrap();
        assert_eq!(bytes.len(), 4 + 6 * ENTRY);
        assert_eq!(to_text(&bytes).unwrap(), TEXT);
    }

    #[test]
    fn other_spellings_are_understood() {
        let want = from_text(TEXT);
        for text in [
            "g:100000:rwx,u::rw,u:1000:r,g::rx,m::rwx,o::",
            "user::rw-\nuser:someone:r--:1000\ngroup::r-x #effective:r-x\ngroup:100000:rwx\nmask:rwx\nother:---",
            "default:user::rw-,d:u:1000:r,default:group::r-x,d:g:100000:rwx,default:mask::rwx,default:other::---",
        ] {
            assert_eq!(from_text(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn names_are_those_of_this_machine() {
        assert_eq!(from_text(b"user:root:rwx"), from_text(b"user:0:rwx"));
        assert_eq!(from_text(b"group:root:rwx"), from_text(b"group:0:rwx"));
        assert_eq!(from_text(b"user:no such user:rwx"), None);
    }

    #[test]
    fn what_is_not_an_acl_is_refused() {
        for text in [
            "",
            "\n\n",
            "user",
            "user::rwz",
            "mask:5:rwx",
            "what::rwx",
            "user:4294967296:r",
            "user:\0:r",
        ] {
            assert_eq!(from_text(text.as_bytes()), None, "{text}");
        }
        assert_eq!(from_text("u:1:r\n".repeat(MOST + 1).as_bytes()), None);
        for bytes in [
            &b""[..],
            b"\x01\0\0\0",
            b"\x02\0\0\0\x01",
            b"\x02\0\0\0\x03\0\0\0\0\0\0\0",
        ] {
            assert_eq!(to_text(bytes), None);
        }
    }
}
