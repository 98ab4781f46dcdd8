// SPDX-License-Identifier: AGPL-3.0-or-later
//! What multipathd's configuration means for us: which disks become maps, and how those are called.

/// Which disks become maps by themselves (`find_multipaths`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindMultipaths {
    /// Each disk that is not excluded (`off`, `no`, `greedy`).
    All,
    /// Those with several paths, or that were one before (`on`, `yes`, `smart`).
    Several,
    /// Those that were asked for (`strict`).
    Wanted,
    /// The configuration does not say, or says something new.
    Unknown(String),
}

/// The part of the configuration that matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which disks become maps by themselves. Maps that we ask for are made in any case.
    pub find_multipaths: FindMultipaths,
    /// The default; sections for arrays, maps and everything may say otherwise.
    pub user_friendly_names: bool,
    /// Maps without an alias of their own are called by their WWID, of whatever array they are.
    pub named_by_wwid: bool,
    /// WWIDs with a name of their own.
    pub aliases: Vec<(String, String)>,
}

/// What the sections say about `user_friendly_names`.
#[derive(Default)]
struct Friendly {
    defaults: Option<bool>,
    overrides: Option<bool>,
    some_device: bool,
}

impl Settings {
    /// Reads the text of `show config`. What it does not understand, it passes over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut sections: Vec<&str> = Vec::new();
        let mut friendly = Friendly::default();
        let mut find = FindMultipaths::Unknown(String::new());
        let mut aliases = Vec::new();
        let mut wwid = "";
        for line in text.lines().map(str::trim) {
            if line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_suffix('{') {
                sections.push(name.trim());
                wwid = "";
                continue;
            }
            if line == "}" {
                sections.pop();
                continue;
            }
            let Some((key, value)) = line.split_once([' ', '\t']) else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            let yes = matches!(value, "yes" | "1");
            match (sections.as_slice(), key) {
                (["defaults"], "find_multipaths") => find = FindMultipaths::parse(value),
                (["defaults"], "user_friendly_names") => friendly.defaults = Some(yes),
                (["overrides", ..], "user_friendly_names") => friendly.overrides = Some(yes),
                (["devices", ..], "user_friendly_names") => friendly.some_device |= yes,
                (["multipaths", ..], "wwid") => wwid = value,
                (["multipaths", ..], "alias") if !wwid.is_empty() => {
                    aliases.push((wwid.to_owned(), value.to_owned()));
                }
                _ => {}
            }
        }
        let user_friendly_names = friendly.defaults.unwrap_or(false);
        Self {
            find_multipaths: find,
            user_friendly_names,
            // "overrides" is stronger than the section of an array, and that than the default.
            named_by_wwid: match friendly.overrides {
                Some(friendly) => !friendly,
                None => !user_friendly_names && !friendly.some_device,
            },
            aliases,
        }
    }
}

impl FindMultipaths {
    fn parse(value: &str) -> Self {
        match value {
            "off" | "no" | "greedy" => Self::All,
            "on" | "yes" | "smart" => Self::Several,
            "strict" => Self::Wanted,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `show config local` with maps of an LIO target.
    const REAL: &str = include_str!("fixtures/config-0.11.1.txt");

    #[test]
    fn a_real_configuration_names_maps_by_wwid() {
        let settings = Settings::parse(REAL);
        assert_eq!(settings.find_multipaths, FindMultipaths::All);
        assert!(!settings.user_friendly_names && settings.named_by_wwid);
        assert!(settings.aliases.is_empty());
    }

    #[test]
    fn friendly_names_may_come_from_any_section() {
        let yes = |section: &str| {
            REAL.replacen(
                section,
                &format!("{section}\n user_friendly_names \"yes\""),
                1,
            )
        };
        let defaults = REAL.replace("user_friendly_names \"no\"", "user_friendly_names \"yes\"");
        assert!(!Settings::parse(&defaults).named_by_wwid);
        assert!(!Settings::parse(&yes("\tdevice {\n\t\tvendor \"(LIO-ORG|SUSE)\"")).named_by_wwid);
        assert!(!Settings::parse(&yes("overrides {")).named_by_wwid);
        let overruled =
            defaults.replace("overrides {", "overrides {\n\tuser_friendly_names \"no\"");
        assert!(Settings::parse(&overruled).named_by_wwid);
        assert!(Settings::parse(&overruled).user_friendly_names);
    }

    #[test]
    fn which_disks_become_maps() {
        for (value, meaning) in [
            ("off", FindMultipaths::All),
            ("smart", FindMultipaths::Several),
            ("strict", FindMultipaths::Wanted),
            ("new", FindMultipaths::Unknown("new".to_owned())),
        ] {
            let text = format!("defaults {{\n\tfind_multipaths \"{value}\"\n}}\n");
            assert_eq!(Settings::parse(&text).find_multipaths, meaning);
        }
        let elsewhere = Settings::parse("devices {\n find_multipaths \"strict\"\n}\n");
        assert_eq!(
            elsewhere.find_multipaths,
            FindMultipaths::Unknown(String::new())
        );
    }

    #[test]
    fn aliases_belong_to_their_map() {
        let text = "multipaths {\n multipath {\n  wwid \"3600a\"\n  alias \"disk a\"\n }\n multipath {\n  wwid \"3600b\"\n  # alias \"mpathb\"\n }\n}\n";
        assert_eq!(
            Settings::parse(text).aliases,
            [("3600a".to_owned(), "disk a".to_owned())]
        );
    }

    proptest! {
        #[test]
        fn any_text_gives_settings(text: String) {
            let _ = Settings::parse(&text);
        }

        #[test]
        fn braces_without_sense_do_no_harm(text in "[{} \n\"a-z_]*") {
            let _ = Settings::parse(&text);
        }
    }
}
