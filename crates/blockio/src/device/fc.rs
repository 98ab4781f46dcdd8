// SPDX-License-Identifier: AGPL-3.0-or-later
//! Fibre Channel targets as this node's hosts see them.

use super::iscsi::host_in;
use super::sysfs::{Sysfs, number_of};
use crate::{Error, Result};

const PORTS: &str = "sys/class/fc_remote_ports";
const HOSTS: &str = "sys/class/fc_host";

/// A port of an array, as one host of this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FcTarget {
    /// SCSI host.
    pub host: u32,
    /// Channel of the SCSI target.
    pub channel: u32,
    /// Number of the SCSI target.
    pub target: u32,
    /// World-wide name of the array's port, 16 hexadecimal digits.
    pub port_name: String,
    /// State of the array's port: `Online`, `Blocked`, `Not Present`, …
    pub state: String,
    /// World-wide name of the host's port.
    pub host_port_name: Option<String>,
    /// State of the host's port: `Online`, `Linkdown`, …
    pub host_state: Option<String>,
}

/// Where the port of an array can be scanned for LUNs. `wwpn` has 16 hexadecimal digits, with or without `0x` and
/// separators.
///
/// # Errors
/// `invalid` when `wwpn` is none. No port is an empty list.
pub fn fc_targets(sysfs: &Sysfs, wwpn: &str) -> Result<Vec<FcTarget>> {
    let wanted = port_name(wwpn).ok_or_else(|| {
        Error::invalid(format!(
            "'{wwpn}' is no world-wide port name; 16 hexadecimal digits are needed"
        ))
    })?;
    let mut found = Vec::new();
    for name in sysfs.names(PORTS)? {
        let file = |file: &str| sysfs.text(&format!("{PORTS}/{name}/{file}"));
        let theirs = file("port_name")?.and_then(|text| port_name(&text));
        if theirs.as_ref() != Some(&wanted) {
            continue;
        }
        // A port that is no target, or whose target is gone, has -1.
        let Some(target) = file("scsi_target_id")?.and_then(|text| number_of(&text)) else {
            continue;
        };
        let Some((host, channel)) = place(sysfs, &name)? else {
            continue;
        };
        let of_host = |file: &str| sysfs.text(&format!("{HOSTS}/host{host}/{file}"));
        found.push(FcTarget {
            host,
            channel,
            target,
            port_name: wanted.clone(),
            state: file("port_state")?.unwrap_or_default(),
            host_port_name: of_host("port_name")?.and_then(|text| port_name(&text)),
            host_state: of_host("port_state")?,
        });
    }
    found.sort_by_key(|target| (target.host, target.channel, target.target));
    Ok(found)
}

/// Host and channel of `rport-HOST:CHANNEL-NUMBER`.
fn place(sysfs: &Sysfs, name: &str) -> Result<Option<(u32, u32)>> {
    let numbers = || {
        let (place, _) = name.strip_prefix("rport-")?.split_once('-')?;
        let (host, channel) = place.split_once(':')?;
        Some((number_of::<u32>(host)?, number_of::<u32>(channel)?))
    };
    let Some((host, channel)) = numbers() else {
        return Ok(None);
    };
    // The path knows the host, too; where they differ, something is damaged.
    let path = sysfs.link(&format!("{PORTS}/{name}"))?;
    let other = path.and_then(|path| host_in(&path));
    Ok(other
        .is_none_or(|other| other == host)
        .then_some((host, channel)))
}

fn port_name(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let digits: String = text
        .strip_prefix("0x")
        .unwrap_or(&text)
        .chars()
        .filter(|c| !matches!(c, ':' | '-'))
        .collect();
    (digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_names_are_written_in_many_ways() {
        for text in ["0x500A09C0FFE1AA01", "50:0a:09:c0:ff:e1:aa:01\n"] {
            assert_eq!(port_name(text).as_deref(), Some("500a09c0ffe1aa01"));
        }
        for text in ["", "0x500a09c0ffe1aa0", "500a09c0ffe1aa0g"] {
            assert_eq!(port_name(text), None, "{text}");
        }
    }
}
