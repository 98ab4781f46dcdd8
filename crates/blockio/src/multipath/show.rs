// SPDX-License-Identifier: AGPL-3.0-or-later
//! What `show map NAME json` says.
//!
//! This is JSON by name only: vendor and product strings, which come from the array, are printed without escapes, so a
//! JSON parser refuses the whole reply because of one quotation mark in them. But every version prints one member to
//! a line, so the lines are read: the value is whatever stands between the first and the last quotation mark.

/// A path as the daemon sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ShownPath {
    /// `sdb`.
    pub dev: String,
    /// The kernel's opinion: `active`, `failed`.
    pub dm_state: String,
    /// The SCSI layer's: `running`, `offline`.
    pub device_state: String,
    /// The checker's: `ready`, `faulty`.
    pub checker: String,
}

/// A map as the daemon sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub name: String,
    pub wwid: String,
    pub features: String,
    pub paths: Vec<ShownPath>,
}

impl Shown {
    /// `None` when the text describes no map.
    pub fn parse(text: &str) -> Option<Self> {
        let mut map = Self::default();
        let mut in_path = false;
        for (key, value) in text.lines().filter_map(member) {
            match key {
                "name" => value.clone_into(&mut map.name),
                "uuid" => value.clone_into(&mut map.wwid),
                "features" => value.clone_into(&mut map.features),
                // Begins a group, which has a member dm_st, too.
                "selector" => in_path = false,
                "dev" => {
                    in_path = true;
                    map.paths.push(ShownPath {
                        dev: value.to_owned(),
                        ..ShownPath::default()
                    });
                }
                _ => {
                    if let (true, Some(path)) = (in_path, map.paths.last_mut()) {
                        path.set(key, value);
                    }
                }
            }
        }
        if map.name.is_empty() || map.wwid.is_empty() {
            return None;
        }
        Some(map)
    }
}

impl ShownPath {
    fn set(&mut self, key: &str, value: &str) {
        match key {
            "dm_st" => value.clone_into(&mut self.dm_state),
            "dev_st" => value.clone_into(&mut self.device_state),
            "chk_st" => value.clone_into(&mut self.checker),
            _ => {}
        }
    }
}

/// `"key" : "value",` or `"key" : value,`.
fn member(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim().strip_prefix('"')?.split_once('"')?;
    let value = value.trim_start().strip_prefix(':')?.trim();
    let value = value.strip_suffix(',').unwrap_or(value);
    let text = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    Some((key, text.unwrap_or(value)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An LIO target on two fabrics. 0.9.4 differs in values only.
    const REAL: &str = include_str!("fixtures/map-0.11.1.txt");

    fn path(dev: &str, dm_state: &str, device_state: &str, checker: &str) -> ShownPath {
        ShownPath {
            dev: dev.to_owned(),
            dm_state: dm_state.to_owned(),
            device_state: device_state.to_owned(),
            checker: checker.to_owned(),
        }
    }

    #[test]
    fn a_map_with_two_paths() {
        let (first, second) = REAL.split_once("\"sdc\"").unwrap();
        let second = second
            .replacen("active", "failed", 1)
            .replacen("running", "offline", 1)
            .replacen("ready", "i/o pending", 1);
        let map = Shown::parse(&format!("{first}\"sdc\"{second}")).unwrap();
        assert_eq!(map.name, "mpatha");
        assert_eq!(map.wwid, "360014059abcde3c584628a02620bf796");
        assert_eq!(map.features, "1 queue_if_no_path");
        assert_eq!(
            map.paths,
            [
                path("sda", "active", "running", "ready"),
                path("sdc", "failed", "offline", "i/o pending")
            ]
        );
    }

    #[test]
    fn quotation_marks_of_an_array_do_no_harm() {
        let odd = REAL.replace("\"LIO-ORG\"", "\"LIO\" : \"x\"\\\"");
        assert_eq!(Shown::parse(&odd), Shown::parse(REAL));
    }

    #[test]
    fn a_map_without_groups_has_no_paths() {
        let head = REAL.split("\"path_groups\"").next().unwrap();
        assert!(Shown::parse(head).unwrap().paths.is_empty());
        assert_eq!(Shown::parse("{\n}\n"), None);
        assert_eq!(Shown::parse(""), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_map_or_none(text: String) {
            let _ = Shown::parse(&text);
        }

        #[test]
        fn a_reply_cut_anywhere_is_a_map_or_none(length in 0..REAL.len()) {
            if let Some(head) = REAL.get(..length) {
                let _ = Shown::parse(head);
            }
        }
    }
}
