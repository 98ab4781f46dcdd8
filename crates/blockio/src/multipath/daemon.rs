// SPDX-License-Identifier: AGPL-3.0-or-later
//! multipathd's commands and what it says to them.
//!
//! Its word is advice: versions differ in what they call a failure (0.9 says `fail` to `add map` after it made one),
//! so callers look at the kernel afterwards.

use std::time::Duration;

use super::names::{check_disk, check_map};
use super::show::Shown;
use super::socket::Address;
use super::{Patience, Settings};
use crate::{Error, ErrorKind, Result};

/// Pause before a command is repeated that the daemon had no time for.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// Whether there is a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It answers.
    Running,
    /// Nobody listens.
    Off,
    /// Somebody listens and does not answer in time.
    Silent,
}

/// What the daemon said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// There is no daemon.
    Off,
    /// Done.
    Ok,
    /// What was asked for.
    Text(String),
    /// It was busy with other things for as long as it lets clients wait (`uxsock_timeout`); nothing was done.
    Busy,
    /// Its configuration excludes the path or map.
    Blacklisted,
    /// It will be done later.
    Delayed,
    /// Only root may.
    Denied,
    /// The map or a partition of it is in use (0.9.8 and newer).
    InUse,
    /// It knows no such path or map (0.9.8 and newer).
    NotFound,
    /// This version has no such command.
    Unknown,
    /// It did not work, with what it says about that.
    Failed(String),
}

impl Reply {
    /// Takes a reply apart. Newer versions begin each failure with a line `fail`, older ones say either that or why.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let trimmed = text.trim_end_matches(['\n', '\0', ' ']);
        let (failed, rest) = match trimmed.strip_prefix("fail") {
            Some("") => return Self::Failed(String::new()),
            Some(rest) if rest.starts_with('\n') => (true, rest.trim_start()),
            _ => (false, trimmed),
        };
        match rest {
            "ok" => Self::Ok,
            "timeout" => Self::Busy,
            "blacklisted" => Self::Blacklisted,
            "delayed" => Self::Delayed,
            "map or partition in use" => Self::InUse,
            "device not found" => Self::NotFound,
            _ if rest.starts_with("permission den") => Self::Denied,
            _ if rest.contains("CLI commands reference") => Self::Unknown,
            _ if failed => Self::Failed(rest.lines().next().unwrap_or_default().to_owned()),
            _ => Self::Text(trimmed.to_owned()),
        }
    }

    /// Why nothing was done, for a message; `None` when something was.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        match self {
            Self::Ok | Self::Text(_) | Self::Delayed => None,
            Self::Off => Some("multipathd is not running"),
            Self::Busy => Some("multipathd is busy or does not answer"),
            Self::Blacklisted => Some("the configuration of multipathd excludes it"),
            Self::Denied => Some("multipathd serves only root"),
            Self::InUse => Some("multipathd says that it is in use"),
            Self::NotFound => Some("multipathd does not know it"),
            Self::Unknown => Some("this version of multipathd does not know the command"),
            Self::Failed(why) if why.is_empty() => Some("multipathd says fail"),
            Self::Failed(why) => Some(why),
        }
    }
}

/// A client of multipathd. Each command is a connection of its own, with a deadline.
#[derive(Clone, Debug)]
pub struct Daemon(Address);

impl Daemon {
    /// The daemon at `socket`, a path or, after `@`, an abstract name; by default where the system has it.
    #[must_use]
    pub fn new(socket: Option<&str>) -> Self {
        Self(Address::new(socket))
    }

    /// Whether it runs and answers. Uses a command that waits for nothing inside the daemon.
    ///
    /// # Errors
    /// `cancelled`, `refused` (permissions), `invalid` when something else answers.
    pub fn status(&self, patience: &Patience<'_>) -> Result<Status> {
        match self.0.exchange("show daemon", patience) {
            Ok(Some(_)) => Ok(Status::Running),
            Ok(None) => Ok(Status::Off),
            Err(error) => match error.kind() {
                ErrorKind::Timeout => Ok(Status::Silent),
                // It is going down, or was started by our knocking and failed.
                ErrorKind::Unreachable => Ok(Status::Off),
                _ => Err(error),
            },
        }
    }

    /// Sends one command, once more whenever the daemon was too busy, until the deadline.
    ///
    /// # Errors
    /// `timeout` when it does not answer, `unreachable` when it goes away, `cancelled`, `refused` (permissions of the
    /// socket), `invalid` when what it says is no reply.
    pub fn ask(&self, command: &str, patience: &Patience<'_>) -> Result<Reply> {
        loop {
            let Some(bytes) = self.0.exchange(command, patience)? else {
                return Ok(Reply::Off);
            };
            let reply = Reply::parse(&bytes);
            if reply != Reply::Busy || patience.left() <= BUSY_PAUSE {
                return Ok(reply);
            }
            patience.pause(BUSY_PAUSE)?;
        }
    }

    /// Takes a path (`sdb`) into its map, which it makes when its configuration wants one.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn add_path(&self, disk: &str, patience: &Patience<'_>) -> Result<Reply> {
        check_disk(disk)?;
        self.ask(&format!("add path {disk}"), patience)
    }

    /// Forgets a path; the last one takes an unused map with it.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn del_path(&self, disk: &str, patience: &Patience<'_>) -> Result<Reply> {
        check_disk(disk)?;
        self.ask(&format!("del path {disk}"), patience)
    }

    /// Makes a map of the known paths of a WWID, also where `find_multipaths` would not, and remembers that it is
    /// wanted (`/etc/multipath/wwids`). With the name of an existing map: looks after that.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn add_map(&self, name: &str, patience: &Patience<'_>) -> Result<Reply> {
        self.map_command("add map", name, patience)
    }

    /// Removes a map and its unused partitions.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn del_map(&self, name: &str, patience: &Patience<'_>) -> Result<Reply> {
        self.map_command("del map", name, patience)
    }

    /// Gives a map the size that its paths have.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn resize_map(&self, name: &str, patience: &Patience<'_>) -> Result<Reply> {
        self.map_command("resize map", name, patience)
    }

    /// Makes I/O fail while the map has no usable path.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn disable_queueing(&self, name: &str, patience: &Patience<'_>) -> Result<Reply> {
        self.map_command("disablequeueing map", name, patience)
    }

    /// Undoes [`disable_queueing`](Self::disable_queueing): what is configured applies again.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn restore_queueing(&self, name: &str, patience: &Patience<'_>) -> Result<Reply> {
        self.map_command("restorequeueing map", name, patience)
    }

    /// Reads the configuration again and looks at every disk of the node. For the administrator to ask for.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn reconfigure(&self, patience: &Patience<'_>) -> Result<Reply> {
        self.ask("reconfigure", patience)
    }

    /// What it knows of one map; `None` when it does not know it or does not run. Costs the same with any number of
    /// other maps.
    pub(super) fn show(&self, name: &str, patience: &Patience<'_>) -> Result<Option<Shown>> {
        match self.map_command_with("show map", name, " json", patience)? {
            Reply::Text(text) => Ok(Shown::parse(&text)),
            _ => Ok(None),
        }
    }

    /// How it is configured; `None` when it does not run.
    ///
    /// # Errors
    /// As [`ask`](Self::ask), also `refused` or `timeout` when it does not tell.
    pub fn settings(&self, patience: &Patience<'_>) -> Result<Option<Settings>> {
        // "local" leaves out the hundreds of array types that are not attached here.
        let mut reply = self.ask("show config local", patience)?;
        if reply == Reply::Unknown {
            reply = self.ask("show config", patience)?;
        }
        match reply {
            Reply::Text(text) => Ok(Some(Settings::parse(&text))),
            Reply::Off => Ok(None),
            Reply::Busy => Err(Patience::overdue(
                "read the configuration of multipathd: it is busy; try again".to_owned(),
            )),
            other => Err(Error::new(
                ErrorKind::Refused,
                format!(
                    "read the configuration of multipathd: {}",
                    other.problem().unwrap_or("it sent none")
                ),
            )),
        }
    }

    fn map_command(&self, verb: &str, name: &str, patience: &Patience<'_>) -> Result<Reply> {
        self.map_command_with(verb, name, "", patience)
    }

    fn map_command_with(
        &self,
        verb: &str,
        name: &str,
        tail: &str,
        patience: &Patience<'_>,
    ) -> Result<Reply> {
        check_map(name)?;
        self.ask(&format!("{verb} {name}{tail}"), patience)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn replies_of_old_and_new_versions_mean_the_same() {
        for (texts, reply) in [
            (&["ok\n"][..], Reply::Ok),
            (&["timeout\n", "fail\ntimeout\n"], Reply::Busy),
            (&["blacklisted\n"], Reply::Blacklisted),
            (&["delayed\n", "delayed"], Reply::Delayed),
            (
                &[
                    "permission deny: need to be root\n",
                    "fail\npermission deny: need to be root\n",
                ],
                Reply::Denied,
            ),
            (&["fail\nmap or partition in use\n"], Reply::InUse),
            (&["fail\ndevice not found\n"], Reply::NotFound),
            (
                &[
                    "bogus \n: not found\nmultipath-tools v0.9.4 (12/19, 2022)\nCLI commands reference:\n list|show paths\n",
                    "fail\nbogus \n: not found\nCLI commands reference:\n list|show paths\n",
                ],
                Reply::Unknown,
            ),
            (&["fail\n"], Reply::Failed(String::new())),
            (&["fail\nsome day\n"], Reply::Failed("some day".to_owned())),
            (&["pid 832 idle\n"], Reply::Text("pid 832 idle".to_owned())),
            (&["failover\n"], Reply::Text("failover".to_owned())),
        ] {
            for text in texts {
                assert_eq!(Reply::parse(text.as_bytes()), reply, "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_some_reply(bytes: Vec<u8>) {
            let _ = Reply::parse(&bytes).problem();
        }
    }
}
