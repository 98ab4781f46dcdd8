// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is asked of the kernel's device-mapper, always by UUID: a name or number could have become another device's.

use crate::Result;

/// A device as the device-mapper has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapperDevice {
    /// Number of its `dm-N`.
    pub minor: u32,
    /// Name below `/dev/mapper`.
    pub name: String,
    /// How often it is open; devices on it count once each.
    pub open_count: u32,
    /// I/O waits until it is resumed.
    pub suspended: bool,
    /// Without a usable path, I/O waits instead of failing.
    pub queueing: bool,
    /// Its paths by device number (`8:16`), and whether the kernel still uses them.
    pub paths: Vec<(String, bool)>,
}

/// The kernel's device-mapper, or what a test puts in its place.
pub trait DeviceMapper: Send + Sync {
    /// The device with this UUID; `None` when it is known that there is none. Does not wait for I/O.
    ///
    /// # Errors
    /// `unsupported` without a device-mapper, `refused` without the right to use it.
    fn look(&self, uuid: &str) -> Result<Option<MapperDevice>>;

    /// Removes the device with this UUID unless it is open. One that is not there is fine.
    ///
    /// # Errors
    /// `busy` when it is open; as [`look`](Self::look).
    fn remove(&self, uuid: &str) -> Result<()>;

    /// Whether I/O waits while a multipath map has no usable path.
    ///
    /// # Errors
    /// `absent`; as [`look`](Self::look).
    fn set_queueing(&self, uuid: &str, on: bool) -> Result<()>;
}

/// Paths in the status line of a multipath target: each device number is followed by `A` or `F`.
pub(super) fn paths_of(status: &str) -> Vec<(String, bool)> {
    let words: Vec<&str> = status.split_ascii_whitespace().collect();
    words
        .windows(2)
        .filter_map(|pair| match *pair {
            [device, "A"] if is_number(device) => Some((device.to_owned(), true)),
            [device, "F"] if is_number(device) => Some((device.to_owned(), false)),
            _ => None,
        })
        .collect()
}

/// Whether the table line of a multipath target has the feature: `COUNT FEATURE...` is how it begins.
pub(super) fn is_queueing(table: &str) -> bool {
    let mut words = table.split_ascii_whitespace();
    let count = words.next().and_then(|count| count.parse().ok());
    words
        .take(count.unwrap_or(0))
        .any(|feature| feature == "queue_if_no_path")
}

/// `MAJOR:MINOR`.
fn is_number(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    word.split_once(':')
        .is_some_and(|(major, minor)| digits(major) && digits(minor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kernel_tells_which_paths_it_uses() {
        let status = "2 0 1 0 2 1 A 0 2 2 8:32 A 0 0 1 8:0 F 3 0 1 E 0 1 2 65:16 A 0 0 1 ";
        let path = |device: &str, active| (device.to_owned(), active);
        assert_eq!(
            paths_of(status),
            [path("8:32", true), path("8:0", false), path("65:16", true)]
        );
        assert!(paths_of("0 131072 linear 8:0 0").is_empty());
    }

    #[test]
    fn queueing_is_a_feature_of_the_table() {
        assert!(is_queueing(
            "1 queue_if_no_path 1 alua 1 1 service-time 0 2 2 8:0 1 1"
        ));
        assert!(is_queueing("3 pg_init_retries 50 queue_if_no_path 0 1 1"));
        assert!(!is_queueing("0 1 alua 1 1 service-time 0 2 2 8:0 1 1"));
        assert!(!is_queueing(
            "1 retain_attached_hw_handler 1 queue_if_no_path"
        ));
        assert!(!is_queueing(""));
    }

    proptest! {
        #[test]
        fn any_line_is_read(line: String) {
            let _ = (paths_of(&line), is_queueing(&line));
        }
    }
}
