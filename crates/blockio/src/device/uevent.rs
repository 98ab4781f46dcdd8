// SPDX-License-Identifier: AGPL-3.0-or-later
//! The kernel's announcements of devices that come, go and change.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with, sockopt,
};

use crate::{Error, Result};

/// Multicast group of the kernel; udev's own has another.
const KERNEL: u32 = 1;
/// A thousand disks on four paths announce themselves within a second.
const QUEUE: usize = 8 << 20;
/// The kernel's buffer for one announcement has 2 KiB, and the path comes on top.
const MESSAGE_MAX: usize = 8192;

/// The stream of announcements from the moment of opening.
#[derive(Debug)]
pub struct Uevents(OwnedFd);

impl Uevents {
    /// Begins to listen.
    ///
    /// # Errors
    /// Where the kernel does not let us, such as in a container.
    pub fn open() -> Result<Self> {
        let failed = |errno| Error::os("listen for devices", errno);
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(KOBJECT_UEVENT),
        )
        .map_err(failed)?;
        // Without the right to more, what the system gives must do: a lost announcement is noticed.
        let _ = sockopt::set_socket_recv_buffer_size_force(&socket, QUEUE);
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL)).map_err(failed)?;
        Ok(Self(socket))
    }

    /// Waits until something happened to a disk, at most for `timeout`. True when it did, or may have.
    ///
    /// # Errors
    /// When listening has become impossible. A signal ends the wait.
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let mut sockets = [PollFd::new(&self.0, PollFlags::IN)];
        let timeout = Timespec::try_from(timeout).ok();
        match poll(&mut sockets, timeout.as_ref()) {
            Ok(0) | Err(Errno::INTR) => Ok(false),
            Ok(_) => self.drain(),
            Err(errno) => Err(Error::os("wait for devices", errno)),
        }
    }

    /// Takes all that has arrived: one look at the devices is enough for all of it.
    fn drain(&self) -> Result<bool> {
        let mut relevant = false;
        let mut message = [0; MESSAGE_MAX];
        loop {
            match recvfrom(&self.0, &mut message[..], RecvFlags::empty()) {
                Ok((length, _, from)) => {
                    let from = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
                    // Processes with the right to do so can send here, too.
                    let kernels = from.is_some_and(|from| from.pid() == 0);
                    relevant |= kernels && message.get(..length).is_some_and(is_relevant);
                }
                Err(Errno::AGAIN) => return Ok(relevant),
                // More came than the queue could take.
                Err(Errno::NOBUFS) => relevant = true,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::os("listen for devices", errno)),
            }
        }
    }
}

/// True for announcements of disks and what they hang on.
fn is_relevant(message: &[u8]) -> bool {
    message
        .split(|byte| *byte == 0)
        .filter_map(|line| line.strip_prefix(b"SUBSYSTEM="))
        .any(|subsystem| {
            matches!(
                subsystem,
                b"block" | b"scsi" | b"nvme" | b"nvme-subsystem" | b"iscsi_session"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_relevant_and_other_devices_are_not() {
        let message = |subsystem: &str| {
            format!(
                "add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM={subsystem}\0SEQNUM=1\0"
            )
        };
        for subsystem in ["block", "scsi", "nvme"] {
            assert!(is_relevant(message(subsystem).as_bytes()), "{subsystem}");
        }
        for subsystem in ["net", "blocks", ""] {
            assert!(!is_relevant(message(subsystem).as_bytes()), "{subsystem}");
        }
        assert!(!is_relevant(b""));
        assert!(!is_relevant(b"\xff\0\xfe=block"));
    }
}
