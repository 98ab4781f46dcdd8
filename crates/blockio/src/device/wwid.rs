// SPDX-License-Identifier: AGPL-3.0-or-later
//! The identity of a disk, in the form that udev (`ID_SERIAL`) and multipath have it.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// Vendors of T10 identifiers have a field of this length, filled up with spaces.
const T10_VENDOR: usize = 8;

/// The identity of a disk. Two are equal when they name the same disk, however they were written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wwid {
    kind: Kind,
    /// Hexadecimal digits in lower case; for T10 text as udev writes it.
    id: String,
}

/// Who gives out identities of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Network Address Authority: `naa.` in the kernel, `3` in udev.
    Naa,
    /// Extended Unique Identifier, for NVMe also the NGUID: `eui.` in the kernel, `2` in udev.
    Eui,
    /// Vendor and text: `t10.` in the kernel, `1` in udev.
    T10,
    /// UUID of an NVMe namespace: `uuid.` in both.
    Uuid,
}

impl Wwid {
    /// From what the kernel's attribute `wwid` says.
    ///
    /// # Errors
    /// `invalid` when it has none of the forms, or is an identity that cannot be anybody's (zeros).
    pub fn from_kernel(text: &str) -> Result<Self> {
        let text = text.trim_matches(['\n', '\0']);
        let form = |prefix: &str| {
            text.get(..prefix.len())
                .filter(|start| start.eq_ignore_ascii_case(prefix))
                .and_then(|_| text.get(prefix.len()..))
        };
        let found = if let Some(digits) = form("naa.") {
            Self::hex(Kind::Naa, digits.trim())
        } else if let Some(digits) = form("eui.") {
            Self::hex(Kind::Eui, digits.trim())
        } else if let Some(digits) = form("uuid.") {
            Self::hex(Kind::Uuid, digits.trim())
        } else if let Some(id) = form("t10.") {
            Self::t10(id.as_bytes())
        } else {
            None
        };
        found.ok_or_else(|| {
            Error::invalid(format!(
                "'{text}' is no identity of a disk; naa., eui., t10. or uuid. is needed"
            ))
        })
    }

    /// A Network Address Authority or EUI identity from its bytes.
    pub(super) fn from_bytes(kind: Kind, bytes: &[u8]) -> Option<Self> {
        use fmt::Write as _;
        let mut digits = String::with_capacity(2 * bytes.len());
        for byte in bytes {
            let _ = write!(digits, "{byte:02x}");
        }
        Self::hex(kind, &digits)
    }

    /// A T10 identity: vendor, filled up with spaces to eight, and what the vendor made up.
    pub(super) fn t10(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        // A vendor alone is on all of its disks. The kernel shows NUL in this way.
        let text = text.trim_end_matches("\\0").trim_end_matches('\0');
        if text.get(T10_VENDOR..)?.trim().is_empty() {
            return None;
        }
        Self::words(text)
    }

    /// The NGUID or EUI-64 of an NVMe namespace, with or without separators; or the kernel's form of an identity.
    ///
    /// # Errors
    /// `invalid` when it has not 16 or 32 hexadecimal digits, or only zeros.
    pub fn nvme(text: &str) -> Result<Self> {
        if let Ok(wwid) = Self::from_kernel(text) {
            return Ok(wwid);
        }
        let digits: String = text
            .chars()
            .filter(|c| !matches!(c, '-' | ' ' | ':'))
            .collect();
        Self::hex(Kind::Eui, &digits)
            .filter(|wwid| wwid.id.len() != 24)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "'{text}' is no NGUID; 32 hexadecimal digits are needed"
                ))
            })
    }

    /// Kind of the identity.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// True when a device that has this one among its best identities has no other one like `wanted`.
    pub(super) fn resembles(&self, wanted: &Self) -> bool {
        self.kind == wanted.kind && (self.kind == Kind::T10 || self.id.len() == wanted.id.len())
    }

    fn hex(kind: Kind, digits: &str) -> Option<Self> {
        let mut id = match kind {
            Kind::Uuid => digits.replace('-', ""),
            _ => digits.to_owned(),
        };
        let lengths: &[usize] = match kind {
            Kind::Naa => &[16, 32],
            Kind::Eui => &[16, 24, 32],
            Kind::Uuid => &[32],
            Kind::T10 => &[],
        };
        let good = lengths.contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_hexdigit())
            // Firmware without an identity has zeros, on every disk.
            && id.bytes().any(|byte| byte != b'0');
        id.make_ascii_lowercase();
        good.then_some(Self { kind, id })
    }

    /// As udev does: one underscore for each run of white space and for each character that it does not allow.
    fn words(text: &str) -> Option<Self> {
        let allowed = |c: char| {
            c.is_ascii_alphanumeric()
                || matches!(c, '#' | '+' | '-' | '.' | ':' | '=' | '@' | '_')
                || !c.is_ascii()
        };
        let id: String = text
            .split_ascii_whitespace()
            .collect::<Vec<_>>()
            .join("_")
            .chars()
            .map(|c| if allowed(c) { c } else { '_' })
            .collect();
        (!id.is_empty()).then_some(Self {
            kind: Kind::T10,
            id,
        })
    }
}

impl fmt::Display for Wwid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = &self.id;
        match self.kind {
            Kind::Naa => write!(f, "3{id}"),
            Kind::Eui => write!(f, "2{id}"),
            Kind::T10 => write!(f, "1{id}"),
            Kind::Uuid => {
                let part = |from, to| id.get(from..to).unwrap_or_default();
                write!(
                    f,
                    "uuid.{}-{}-{}-{}-{}",
                    part(0, 8),
                    part(8, 12),
                    part(12, 16),
                    part(16, 20),
                    part(20, 32)
                )
            }
        }
    }
}

impl FromStr for Wwid {
    type Err = Error;

    /// The form of udev and multipath (`3…`, `2…`, `1…`) or the kernel's (`naa.…`, `eui.…`, `t10.…`, `uuid.…`).
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Ok(wwid) = Self::from_kernel(text) {
            return Ok(wwid);
        }
        let rest = text.get(1..).unwrap_or_default();
        let found = match text.as_bytes().first() {
            Some(b'3') => Self::hex(Kind::Naa, rest),
            Some(b'2') => Self::hex(Kind::Eui, rest),
            Some(b'1') => Self::words(rest),
            _ => None,
        };
        found.ok_or_else(|| {
            Error::invalid(format!(
                "'{text}' is no identity of a disk; 3 and an NAA, 2 and an EUI, or 1 and a T10 identifier is needed"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn udev(kernel: &str) -> String {
        Wwid::from_kernel(kernel).unwrap().to_string()
    }

    #[test]
    fn the_kernels_form_becomes_that_of_udev() {
        for (kernel, id_serial) in [
            (
                "naa.60014057A1F0C9D0E1234567890ABCDE\n",
                "360014057a1f0c9d0e1234567890abcde",
            ),
            ("naa.5000c500a1b2c3d4", "35000c500a1b2c3d4"),
            ("eui.3935353435363335", "23935353435363335"),
            (
                "t10.ATA     Samsung SSD 860 EVO 500GB               S3Z1NB0K  ",
                "1ATA_Samsung_SSD_860_EVO_500GB_S3Z1NB0K",
            ),
            (
                "t10.SCST_BIO9e697f6e vol/1\\0\\0",
                "1SCST_BIO9e697f6e_vol_1",
            ),
            (
                "uuid.0A1b2c3d-0000-4000-8000-000000000001",
                "uuid.0a1b2c3d-0000-4000-8000-000000000001",
            ),
        ] {
            assert_eq!(udev(kernel), id_serial);
            assert_eq!(
                id_serial.parse::<Wwid>().unwrap(),
                Wwid::from_kernel(kernel).unwrap(),
                "and back"
            );
        }
    }

    #[test]
    fn hexadecimal_digits_are_compared_without_case_and_t10_text_with_it() {
        let parse = |text: &str| text.parse::<Wwid>().unwrap();
        assert_eq!(parse("35000C500A1B2C3D4"), parse("naa.5000c500a1b2c3d4"));
        assert_eq!(parse("NAA.5000c500a1b2c3d4"), parse("35000c500a1b2c3d4"));
        assert_ne!(parse("25000c500a1b2c3d4"), parse("35000c500a1b2c3d4"));
        assert_ne!(parse("1LIO_disk"), parse("1LIO_DISK"));
    }

    #[test]
    fn what_is_nobodys_identity_is_invalid() {
        for text in [
            "",
            "3",
            "naa.",
            "naa.0000000000000000",
            "30000000000000000",
            "35000c500a1b2c3d",
            "35000c500a1b2c3d4f",
            "35000c500a1b2c3dx",
            "eui.39353534356333",
            "t10.ATA     ",
            "t10.LIO-ORG",
            "1",
            "1   ",
            "iqn.2003-01.org.linux-iscsi:x,L,0x1",
            "nvme.8086-00-00-00000001",
            "4abc",
            "uuid.0a1b2c3d",
            "\u{e9}\u{e9}",
        ] {
            let error = text.parse::<Wwid>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        }
    }

    #[test]
    fn an_nguid_is_written_in_many_ways() {
        let plain = Wwid::nvme("0a1b2c3d4e5f60718293a4b5c6d7e8f9").unwrap();
        assert_eq!(
            Wwid::nvme("0A1B2C3D-4e5f-6071-8293-a4b5c6d7e8f9"),
            Ok(plain.clone())
        );
        assert_eq!(
            Wwid::from_kernel("eui.0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
            Ok(plain)
        );
        assert!(Wwid::nvme("00000000-0000-0000-0000-000000000000").is_err());
        assert_eq!(
            Wwid::nvme("00 1b 2c 3d 4e 5f 60 71").unwrap().to_string(),
            "2001b2c3d4e5f6071"
        );
    }
}
