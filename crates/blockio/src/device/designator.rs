// SPDX-License-Identifier: AGPL-3.0-or-later
//! The identities in page 83h of a disk's vital product data.
//!
//! The kernel's attribute `wwid` shows one of them and prefers long ones; udev and multipath prefer NAA. Where both
//! agree, nobody needs this page.

use super::wwid::{Kind, Wwid};

const HEADER: usize = 4;
const PAGE: u8 = 0x83;

/// All identities of the logical unit itself, the one first that udev takes.
pub(super) fn identities(page: &[u8]) -> Vec<Wwid> {
    let [_, PAGE, high, low, rest @ ..] = page else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let announced = usize::from(u16::from_be_bytes([*high, *low]));
    let mut rest = rest.get(..announced).unwrap_or(rest);
    while let Some((&[_, kind, _, length], behind)) = rest.split_first_chunk::<HEADER>() {
        let Some((id, next)) = behind.split_at_checked(length.into()) else {
            break;
        };
        rest = next;
        // Of the logical unit: those of its port or its target are the same for many disks.
        if kind & 0x30 == 0 {
            found.extend(identity(kind & 0x0f, id));
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, wwid)| wwid).collect()
}

/// One identity and its rank in udev's order.
fn identity(kind: u8, id: &[u8]) -> Option<(u8, Wwid)> {
    match kind {
        3 => {
            let (rank, length) = match id.first()? >> 4 {
                6 => (0, 16),
                5 => (1, 8),
                2 => (2, 8),
                3 => (3, 8),
                _ => return None,
            };
            let wwid = Wwid::from_bytes(Kind::Naa, id)?;
            (id.len() == length).then_some((rank, wwid))
        }
        2 => Some((4, Wwid::from_bytes(Kind::Eui, id)?)),
        1 => Some((5, Wwid::t10(id)?)),
        // A SCSI name string may hold an NAA or EUI; udev does not look at it.
        8 => {
            let text = std::str::from_utf8(id).ok()?;
            let wwid = Wwid::from_kernel(text).ok()?;
            (wwid.kind() != Kind::T10).then_some((6, wwid))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(designators: &[(u8, &[u8])]) -> Vec<u8> {
        let mut page = vec![0, PAGE, 0, 0];
        for (kind, id) in designators {
            page.extend([1, *kind, 0, u8::try_from(id.len()).unwrap()]);
            page.extend_from_slice(id);
        }
        let length = u16::try_from(page.len() - HEADER).unwrap();
        page[2..4].copy_from_slice(&length.to_be_bytes());
        page
    }

    fn texts(page: &[u8]) -> Vec<String> {
        identities(page).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_first_is_the_one_that_udev_takes() {
        let page = page(&[
            (1, b"SCST_BIO9e697f6e"),
            (8, b"naa.60014050000000000000000000000001"),
            (2, b"95545635"),
            (0x13, &[0x50, 0, 0, 0, 0, 0, 0, 1]),
            (3, &[0x50, 1, 2, 3, 4, 5, 6, 7]),
        ]);
        assert_eq!(
            texts(&page),
            [
                "35001020304050607",
                "23935353435363335",
                "1SCST_BIO9e697f6e",
                "360014050000000000000000000000001",
            ]
        );
    }

    #[test]
    fn cut_pages_give_what_is_whole() {
        let whole = page(&[(2, b"95545635"), (3, &[0x50, 1, 2, 3, 4, 5, 6, 7])]);
        for length in 0..whole.len() {
            let found = texts(&whole[..length]);
            assert!(found.len() <= 1, "{found:?}");
            assert!(found.iter().all(|text| text == "23935353435363335"));
        }
        assert_eq!(texts(&whole).len(), 2);
        assert_eq!(texts(&[0, 0x80, 0, 4, 1, 2, 3, 4]), Vec::<String>::new());
    }
}
