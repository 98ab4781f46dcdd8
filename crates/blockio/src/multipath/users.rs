// SPDX-License-Identifier: AGPL-3.0-or-later
//! What lies on a map: devices, mounts, swap. Partitions that kpartx made of it use nothing by themselves.

use super::names::partition_of;
use crate::device::{Holder, Sysfs, holders_but};
use crate::{ErrorKind, Result};

/// Partitions of partitions; deeper than anybody builds, so that a loop in a damaged tree ends.
const DEEPEST: usize = 8;

/// What lies on a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Users {
    /// Who uses it, in words.
    pub users: Vec<String>,
    /// Its partitions, each after those that lie on it.
    pub partitions: Vec<Partition>,
}

/// A partition that kpartx made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    /// `dm-4`.
    pub device: String,
    /// Of the device-mapper.
    pub uuid: String,
}

/// What lies on the map `device` (`dm-3`) with this UUID.
pub(super) fn users_of(sysfs: &Sysfs, device: &str, uuid: &str) -> Result<Users> {
    let mut found = Users::default();
    above(sysfs, device, uuid, "", 0, &mut found)?;
    Ok(found)
}

fn above(
    sysfs: &Sysfs,
    device: &str,
    uuid: &str,
    called: &str,
    depth: usize,
    found: &mut Users,
) -> Result<()> {
    let number = |holder: &Holder| partition_of(holder.uuid.as_deref()?, uuid);
    let seen = match holders_but(sysfs, device, |holder| number(holder).is_some()) {
        Ok(seen) => seen,
        // It went away meanwhile.
        Err(error) if error.kind() == ErrorKind::Absent => return Ok(()),
        Err(error) => return Err(error),
    };
    let words = seen.by.iter().map(|words| format!("{called}{words}"));
    found.users.extend(words);
    for holder in seen.holders {
        let (Some(number), Some(holder_uuid)) = (number(&holder), &holder.uuid) else {
            continue;
        };
        if depth < DEEPEST {
            let called = format!("partition {number}: ");
            above(sysfs, &holder.name, uuid, &called, depth + 1, found)?;
        }
        found.partitions.push(Partition {
            uuid: holder_uuid.clone(),
            device: holder.name,
        });
    }
    Ok(())
}
