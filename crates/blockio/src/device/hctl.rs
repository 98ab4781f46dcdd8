// SPDX-License-Identifier: AGPL-3.0-or-later
//! The address of a SCSI device.

use std::fmt;
use std::str::FromStr;

use super::sysfs::number_of;
use crate::{Error, Result};

/// Host, channel, target and LUN, as the kernel numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hctl {
    /// SCSI host; for software iSCSI each session has one of its own.
    pub host: u32,
    /// Bus of the host.
    pub channel: u32,
    /// Target on the bus.
    pub target: u32,
    /// Logical unit, in the kernel's form.
    pub lun: u64,
}

impl Hctl {
    /// Directory of the device, below the root.
    pub(crate) fn dir(self) -> String {
        format!("{DEVICES}/{self}")
    }

    /// Name of its target, `targetH:C:T`.
    pub(crate) fn target_name(self) -> String {
        format!("target{}:{}:{}", self.host, self.channel, self.target)
    }
}

/// Where all SCSI hosts, targets and devices are listed.
pub(crate) const DEVICES: &str = "sys/bus/scsi/devices";

impl fmt::Display for Hctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            channel,
            target,
            lun,
        } = self;
        write!(f, "{host}:{channel}:{target}:{lun}")
    }
}

impl FromStr for Hctl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split(':');
        // What the kernel prints, and no second way to write it.
        let mut next = || {
            parts
                .next()
                .filter(|part| *part == "0" || !part.starts_with('0'))
        };
        let address = (|| {
            Some(Self {
                host: number_of(next()?)?,
                channel: number_of(next()?)?,
                target: number_of(next()?)?,
                lun: number_of(next()?)?,
            })
        })();
        address
            .filter(|_| parts.next().is_none())
            .ok_or_else(|| Error::invalid(format!("'{text}' is no SCSI address H:C:T:L")))
    }
}

/// The numbers of `targetH:C:T`.
pub(crate) fn target_of(name: &str) -> Option<(u32, u32, u32)> {
    let rest = name.strip_prefix("target")?;
    let at: Hctl = format!("{rest}:0").parse().ok()?;
    Some((at.host, at.channel, at.target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let at: Hctl = "3:0:12:16640".parse().unwrap();
        assert_eq!((at.host, at.channel, at.target, at.lun), (3, 0, 12, 16640));
        assert_eq!(at.to_string(), "3:0:12:16640");
        for text in [
            "",
            "3:0:0",
            "3:0:0:1:2",
            "03:0:0:1",
            "+3:0:0:1",
            "3:0:0:-",
            "host3",
            "target3:0:0",
        ] {
            assert!(text.parse::<Hctl>().is_err(), "{text}");
        }
        assert_eq!(target_of("target3:1:2"), Some((3, 1, 2)));
        assert_eq!(target_of("target3:1"), None);
        assert_eq!(target_of("3:1:2"), None);
    }
}
