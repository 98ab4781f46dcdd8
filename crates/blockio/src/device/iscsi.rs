// SPDX-License-Identifier: AGPL-3.0-or-later
//! iSCSI sessions of this node.

use std::path::Path;

use super::hctl::{Hctl, target_of};
use super::sysfs::{Sysfs, number_of};
use crate::Result;

const SESSIONS: &str = "sys/class/iscsi_session";
const CONNECTIONS: &str = "sys/class/iscsi_connection";

/// A session with a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IscsiSession {
    /// Number of the session.
    pub id: u32,
    /// Name of the target.
    pub target_name: String,
    /// SCSI host of the session.
    pub host: u32,
    /// Channel of its SCSI target.
    pub channel: u32,
    /// Number of its SCSI target.
    pub target: u32,
    /// The kernel's word: `LOGGED_IN`, `FAILED` or `FREE`.
    pub state: String,
    /// Portal group of the target.
    pub tpgt: Option<u32>,
    /// Where its connections were made, `address:port`, IPv6 in brackets; not where the target redirected them.
    pub portals: Vec<String>,
    /// Its devices.
    pub luns: Vec<Hctl>,
}

/// The sessions with a target. Of others, only the name is read.
///
/// # Errors
/// When nothing can be learnt, such as for lack of descriptors. No session is an empty list.
pub fn sessions(sysfs: &Sysfs, target_name: &str) -> Result<Vec<IscsiSession>> {
    let mut found = Vec::new();
    for name in sysfs.names(SESSIONS)? {
        let Some(id) = name.strip_prefix("session").and_then(number_of) else {
            continue;
        };
        let theirs = sysfs.text(&format!("{SESSIONS}/{name}/targetname"))?;
        if let Some(theirs) = theirs.filter(|theirs| theirs.eq_ignore_ascii_case(target_name)) {
            found.extend(describe(sysfs, id, theirs)?);
        }
    }
    found.sort_by_key(|session| session.id);
    Ok(found)
}

/// Where the connections of a session were made.
pub(super) fn portals(sysfs: &Sysfs, session: u32) -> Result<Vec<String>> {
    portals_of(sysfs, session, &sysfs.names(&device(session))?)
}

fn describe(sysfs: &Sysfs, id: u32, target_name: String) -> Result<Option<IscsiSession>> {
    let class = format!("{SESSIONS}/session{id}");
    let parts = sysfs.names(&device(id))?;
    let scsi = parts.iter().find_map(|part| target_of(part));
    let host = match scsi {
        Some((host, ..)) => Some(host),
        None => sysfs.link(&class)?.and_then(|path| host_in(&path)),
    };
    // On its way out.
    let Some(host) = host else { return Ok(None) };
    let (channel, target) = match scsi {
        Some((_, channel, target)) => (channel, target),
        // The kernel makes the target when it finds the first LUN.
        None => (0, sysfs.number(&format!("{class}/target_id"))?.unwrap_or(0)),
    };
    let mut luns: Vec<Hctl> = Vec::new();
    for part in parts.iter().filter(|part| target_of(part).is_some()) {
        let names = sysfs.names(&format!("{}/{part}", device(id)))?;
        luns.extend(names.iter().filter_map(|name| name.parse::<Hctl>().ok()));
    }
    luns.sort_unstable();
    Ok(Some(IscsiSession {
        id,
        target_name,
        host,
        channel,
        target,
        state: sysfs.text(&format!("{class}/state"))?.unwrap_or_default(),
        tpgt: sysfs.number(&format!("{class}/tpgt"))?,
        portals: portals_of(sysfs, id, &parts)?,
        luns,
    }))
}

fn portals_of(sysfs: &Sysfs, session: u32, parts: &[String]) -> Result<Vec<String>> {
    let prefix = format!("connection{session}:");
    let mut found = Vec::new();
    for connection in parts.iter().filter(|part| part.starts_with(&prefix)) {
        let file = |name: &str| sysfs.text(&format!("{CONNECTIONS}/{connection}/{name}"));
        if let (Some(address), Some(port)) = (file("persistent_address")?, file("persistent_port")?)
        {
            found.extend(portal(&address, &port));
        }
    }
    Ok(found)
}

fn portal(address: &str, port: &str) -> Option<String> {
    // Before the first login the kernel has none and shows "(null)" or nothing.
    let good = !address.is_empty() && !address.contains(['(', ' ']);
    let port = number_of::<u16>(port).filter(|_| good)?;
    if address.contains(':') && !address.starts_with('[') {
        Some(format!("[{address}]:{port}"))
    } else {
        Some(format!("{address}:{port}"))
    }
}

/// Directory of the session itself, where its connections and targets are.
fn device(session: u32) -> String {
    format!("{SESSIONS}/session{session}/device")
}

/// The number in the part `hostN` of a path.
pub(super) fn host_in(path: &Path) -> Option<u32> {
    path.iter()
        .filter_map(|part| part.to_str())
        .find_map(|part| number_of(part.strip_prefix("host")?))
}
