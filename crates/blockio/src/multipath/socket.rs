// SPDX-License-Identifier: AGPL-3.0-or-later
//! multipathd's protocol: a text in each direction, each preceded by its length, over a socket.
//!
//! The length is a native `size_t` and counts the NUL that ends the text. multipathd takes the length with a single
//! read, so a request leaves in one piece.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};

use super::Patience;
use crate::{Error, ErrorKind, Result};

/// Of version 0.12 and newer.
const PATHNAME: &str = "/run/multipathd.socket";
/// Of every version.
const ABSTRACT: &str = "@/org/kernel/linux/storage/multipathd";
/// Where a site put it (0.12 and newer): the variable that multipath-tools look at.
const VARIABLE: &str = "MULTIPATH_SOCKET_NAME";

/// Longest reply; the longest real one, the configuration, has about 100 KiB.
const REPLY_MAX: usize = 8 << 20;
const LENGTH: usize = size_of::<usize>();
/// A wait looks this often whether the caller has given up.
const SLICE: Duration = Duration::from_millis(50);
/// Pause before another attempt while the daemon accepts no further clients.
const CROWDED: Duration = Duration::from_millis(20);

/// Where a daemon listens; the names are tried in turn.
#[derive(Clone, Debug)]
pub(super) struct Address(Vec<String>);

impl Address {
    /// The socket with this name (`@` begins an abstract one), by default where multipath-tools look for it.
    pub fn new(name: Option<&str>) -> Self {
        let configured = || std::env::var(VARIABLE).ok().filter(|name| !name.is_empty());
        Self(match name.map(str::to_owned).or_else(configured) {
            Some(name) => vec![name],
            None => vec![PATHNAME.to_owned(), ABSTRACT.to_owned()],
        })
    }

    /// Sends `command` and gives the reply without its NUL; `None` when nobody listens.
    ///
    /// # Errors
    /// `timeout`, `cancelled`, `refused` (permissions), `unreachable` when the daemon ended the connection, `invalid`
    /// when what came is no reply.
    pub fn exchange(&self, command: &str, patience: &Patience<'_>) -> Result<Option<Vec<u8>>> {
        let Some(socket) = self.connect(patience)? else {
            return Ok(None);
        };
        let conversation = Conversation {
            socket,
            command,
            patience,
        };
        conversation.send()?;
        conversation.receive().map(Some)
    }

    fn connect(&self, patience: &Patience<'_>) -> Result<Option<OwnedFd>> {
        for name in &self.0 {
            if let Some(socket) = connect_to(name, patience)? {
                return Ok(Some(socket));
            }
        }
        Ok(None)
    }
}

fn connect_to(name: &str, patience: &Patience<'_>) -> Result<Option<OwnedFd>> {
    let failed = |errno| Error::os(format!("connect to multipathd at {name}"), errno);
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
        None => SocketAddrUnix::new(name),
    }
    .map_err(failed)?;
    loop {
        patience.check()?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed)?;
        match connect(&socket, &address) {
            Ok(()) => return Ok(Some(socket)),
            Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(None),
            Err(Errno::INTR) => {}
            // Its queue of clients is full: it lives, but has not answered for long.
            Err(Errno::AGAIN) => {
                if patience.is_over() {
                    return Err(silent("connect to multipathd"));
                }
                patience.pause(CROWDED)?;
            }
            Err(errno) => return Err(failed(errno)),
        }
    }
}

/// One command and its reply.
struct Conversation<'a> {
    socket: OwnedFd,
    command: &'a str,
    patience: &'a Patience<'a>,
}

impl Conversation<'_> {
    fn send(&self) -> Result<()> {
        let mut request = (self.command.len() + 1).to_ne_bytes().to_vec();
        request.extend_from_slice(self.command.as_bytes());
        request.push(0);
        let mut rest = request.as_slice();
        while !rest.is_empty() {
            match send(&self.socket, rest, SendFlags::NOSIGNAL) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT)?,
                Err(Errno::INTR) => self.patience.check()?,
                Err(errno) => return Err(self.lost(errno)),
            }
        }
        Ok(())
    }

    fn receive(&self) -> Result<Vec<u8>> {
        let mut length = [0; LENGTH];
        let head = self.read(LENGTH)?;
        length.copy_from_slice(&head);
        let length = usize::from_ne_bytes(length);
        if length == 0 || length > REPLY_MAX {
            return Err(self.garbage(&format!("a reply of {length} bytes")));
        }
        let mut reply = self.read(length)?;
        if reply.pop() != Some(0) {
            return Err(self.garbage("a reply without its end"));
        }
        Ok(reply)
    }

    /// Exactly `length` bytes. Memory grows with what arrives, not with what was announced.
    fn read(&self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut part = [0; 16 << 10];
        while bytes.len() < length {
            let most = part.len().min(length - bytes.len());
            match recv(&self.socket, &mut part[..most], RecvFlags::empty()) {
                Ok((_, 0)) => return Err(self.lost(Errno::CONNRESET)),
                Ok((_, count)) => bytes.extend_from_slice(&part[..count.min(most)]),
                Err(Errno::AGAIN) => self.wait(PollFlags::IN)?,
                Err(Errno::INTR) => self.patience.check()?,
                Err(errno) => return Err(self.lost(errno)),
            }
        }
        Ok(bytes)
    }

    fn wait(&self, what: PollFlags) -> Result<()> {
        loop {
            self.patience.check()?;
            let left = self.patience.left();
            if left.is_zero() {
                return Err(silent(&format!("ask multipathd {:?}", self.command)));
            }
            let slice = Timespec::try_from(left.min(SLICE)).unwrap_or_default();
            let mut ready = [PollFd::new(&self.socket, what)];
            match poll(&mut ready, Some(&slice)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(self.lost(errno)),
            }
        }
    }

    fn lost(&self, errno: Errno) -> Error {
        let (kind, problem) = match errno {
            Errno::CONNRESET | Errno::PIPE => {
                (ErrorKind::Unreachable, "it ended the connection".to_owned())
            }
            errno => {
                let error = Error::os("talk", errno);
                (error.kind(), error.message().to_owned())
            }
        };
        Error::new(
            kind,
            format!(
                "ask multipathd {:?}: {problem}; look at systemctl status multipathd",
                self.command
            ),
        )
    }

    fn garbage(&self, what: &str) -> Error {
        Error::invalid(format!(
            "ask multipathd {:?}: {what}; is another program behind its socket?",
            self.command
        ))
    }
}

/// The daemon is there and does not answer.
fn silent(what: &str) -> Error {
    Patience::overdue(format!(
        "{what}: no answer in time; look at systemctl status multipathd"
    ))
}
