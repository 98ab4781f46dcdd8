// SPDX-License-Identifier: AGPL-3.0-or-later
//! Names that become part of a command or of a path.

use crate::{Error, Result};

/// What multipathd allows (`WWID_SIZE`).
const WWID_MAX: usize = 127;

/// Prefix of the device-mapper UUID of each multipath map.
const UUID_PREFIX: &str = "mpath-";

/// Fails unless `wwid` can be the WWID of a map.
pub(super) fn check_wwid(wwid: &str) -> Result<()> {
    check("WWID", wwid, WWID_MAX)
}

/// Fails unless `name` can be the kernel's name of a disk (`sdb`).
pub(super) fn check_disk(name: &str) -> Result<()> {
    check("disk", name, 31)
}

/// Fails unless `name` can stand in a command to multipathd.
pub(super) fn check_map(name: &str) -> Result<()> {
    check("map", name, WWID_MAX)
}

/// Words of a command are parted by blanks and quotes; a slash would lead out of sysfs, or be cut off by multipathd.
fn check(what: &str, name: &str, longest: usize) -> Result<()> {
    let allowed =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'"' | b'\'' | b'\\');
    if name.is_empty()
        || name.len() > longest
        || name.starts_with('.')
        || !name.bytes().all(allowed)
    {
        return Err(Error::invalid(format!(
            "use {what} {name:?}: this is not the name of one"
        )));
    }
    Ok(())
}

/// The device-mapper UUID of the map of a WWID.
pub(super) fn uuid_of(wwid: &str) -> String {
    format!("{UUID_PREFIX}{wwid}")
}

/// The number of the partition of the map `map_uuid` that has this UUID; kpartx names them so.
pub(super) fn partition_of(uuid: &str, map_uuid: &str) -> Option<u32> {
    let (number, of) = uuid.strip_prefix("part")?.split_once('-')?;
    if of == map_uuid {
        number.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_be_more_than_one_word_are_invalid() {
        for good in ["23935353435363335", "eui.0025384", "36001405-a_b:c"] {
            assert!(check_wwid(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a\"", "../x", "a/b", "ä", "a\n", ".", "a\0"] {
            assert!(check_wwid(bad).is_err(), "{bad:?}");
            assert!(check_disk(bad).is_err(), "{bad:?}");
            assert!(check_map(bad).is_err(), "{bad:?}");
        }
        assert!(check_wwid(&"a".repeat(WWID_MAX + 1)).is_err());
    }

    #[test]
    fn partitions_belong_to_exactly_one_map() {
        assert_eq!(partition_of("part1-mpath-36001", "mpath-36001"), Some(1));
        assert_eq!(partition_of("part12-mpath-36001", "mpath-36001"), Some(12));
        for other in [
            "part1-mpath-360012",
            "partx-mpath-36001",
            "LVM-36001",
            "part1",
        ] {
            assert_eq!(partition_of(other, "mpath-36001"), None, "{other}");
        }
        assert_eq!(uuid_of("36001"), "mpath-36001");
    }
}
