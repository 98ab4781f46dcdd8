// SPDX-License-Identifier: AGPL-3.0-or-later
//! The device-mapper's ioctls on `/dev/mapper/control`.
//!
//! Used directly and not through `dmsetup`: that waits for udev with a semaphore, which stays locked for ever when the
//! program is killed; these calls have nothing to leave behind.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::mapper::{DeviceMapper, MapperDevice, is_queueing, paths_of};
use crate::{Error, ErrorKind, Result};

/// Bytes of `struct dm_ioctl`, and where its fields are.
const HEADER: usize = 312;
const DATA_SIZE: usize = 12;
const DATA_START: usize = 16;
const TARGET_COUNT: usize = 20;
const OPEN_COUNT: usize = 24;
const FLAGS: usize = 28;
const DEV: usize = 40;
const NAME: usize = 48;
const UUID: usize = 176;
const UUID_MAX: usize = 128;

/// `struct dm_target_spec`, which begins what the kernel says about a target.
const TARGET_TYPE: usize = 24;
const TARGET_TEXT: usize = 40;

const DM_DEV_REMOVE: u32 = 4;
const DM_DEV_STATUS: u32 = 7;
const DM_TABLE_STATUS: u32 = 12;
const DM_TARGET_MSG: u32 = 14;

const SUSPENDED: u32 = 1 << 1;
/// Asks for the table instead of the status.
const TABLE: u32 = 1 << 4;
const BUFFER_FULL: u32 = 1 << 8;
/// Asks not to write out anything first.
const NO_FLUSH: u32 = 1 << 11;

/// Room for what the kernel says; a map of 100 paths needs about 4 KiB.
const ROOM: usize = 16 << 10;
const ROOM_MAX: usize = 1 << 20;

/// The device-mapper behind a control node.
#[derive(Clone, Debug)]
pub struct ControlNode(PathBuf);

impl ControlNode {
    /// The node below a root directory, `/` on a real system.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self(root.join("dev/mapper/control"))
    }

    fn call(&self, number: u32, request: &mut Request) -> Result<std::result::Result<(), Errno>> {
        let control = self.open()?;
        Ok(request.submit(&control, number))
    }

    fn open(&self) -> Result<File> {
        let open = OpenOptions::new().read(true).write(true).open(&self.0);
        open.map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            let what = format!("open {}", self.0.display());
            match errno {
                Errno::NOENT | Errno::NODEV | Errno::NXIO | Errno::NOTDIR => Error::new(
                    ErrorKind::Unsupported,
                    format!("{what}: the kernel has no device-mapper here"),
                ),
                errno => Error::os(what, errno),
            }
        })
    }

    /// What the kernel says about the first target: its type and text.
    fn target(&self, uuid: &str, flags: u32) -> Result<Option<(String, String)>> {
        let mut room = ROOM;
        loop {
            let mut request = Request::new(uuid, flags | NO_FLUSH, &[], room)?;
            match self.call(DM_TABLE_STATUS, &mut request)? {
                Ok(()) => {}
                Err(Errno::NXIO) => return Ok(None),
                Err(errno) => return Err(failed("examine", uuid, errno)),
            }
            if request.u32_at(FLAGS) & BUFFER_FULL == 0 || room >= ROOM_MAX {
                return Ok(request.first_target());
            }
            room *= 8;
        }
    }
}

impl DeviceMapper for ControlNode {
    fn look(&self, uuid: &str) -> Result<Option<MapperDevice>> {
        let mut request = Request::new(uuid, 0, &[], 0)?;
        match self.call(DM_DEV_STATUS, &mut request)? {
            Ok(()) => {}
            Err(Errno::NXIO) => return Ok(None),
            Err(errno) => return Err(failed("examine", uuid, errno)),
        }
        let mut device = MapperDevice {
            minor: request.minor(),
            name: request.text_at(NAME, UUID - NAME),
            open_count: request.u32_at(OPEN_COUNT),
            suspended: request.u32_at(FLAGS) & SUSPENDED != 0,
            ..MapperDevice::default()
        };
        if let Some((kind, status)) = self.target(uuid, 0)? {
            if kind == "multipath" {
                device.paths = paths_of(&status);
            }
        }
        if let Some((kind, table)) = self.target(uuid, TABLE)? {
            device.queueing = kind == "multipath" && is_queueing(&table);
        }
        Ok(Some(device))
    }

    fn remove(&self, uuid: &str) -> Result<()> {
        let mut request = Request::new(uuid, 0, &[], 0)?;
        match self.call(DM_DEV_REMOVE, &mut request)? {
            Ok(()) | Err(Errno::NXIO) => Ok(()),
            Err(errno) => Err(failed("remove", uuid, errno)),
        }
    }

    fn set_queueing(&self, uuid: &str, on: bool) -> Result<()> {
        let message = if on {
            "queue_if_no_path"
        } else {
            "fail_if_no_path"
        };
        // A sector number, which multipath does not look at, and the words.
        let mut data = 0_u64.to_ne_bytes().to_vec();
        data.extend_from_slice(message.as_bytes());
        data.push(0);
        let mut request = Request::new(uuid, 0, &data, 0)?;
        match self.call(DM_TARGET_MSG, &mut request)? {
            Ok(()) => Ok(()),
            Err(Errno::NXIO) => Err(Error::new(
                ErrorKind::Absent,
                format!("send a message to {uuid}: there is no such map"),
            )),
            Err(errno) => Err(failed("send a message to", uuid, errno)),
        }
    }
}

fn failed(operation: &str, uuid: &str, errno: Errno) -> Error {
    Error::os(format!("{operation} {uuid}"), errno)
}

/// A `struct dm_ioctl` with its data, aligned for it.
struct Request {
    words: Vec<u64>,
    length: usize,
}

impl Request {
    /// `room` bytes are left for the answer.
    fn new(uuid: &str, flags: u32, data: &[u8], room: usize) -> Result<Self> {
        if uuid.is_empty() || uuid.len() > UUID_MAX {
            return Err(Error::invalid(format!(
                "use the UUID {uuid:?}: it is not one"
            )));
        }
        let length = (HEADER + data.len() + room).next_multiple_of(size_of::<u64>());
        let mut bytes = vec![0; length];
        let mut put = |at: usize, part: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + part.len()) {
                place.copy_from_slice(part);
            }
        };
        // The oldest interface that has all of this; each newer kernel takes it.
        put(0, &4_u32.to_ne_bytes());
        put(
            DATA_SIZE,
            &u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes(),
        );
        put(
            DATA_START,
            &u32::try_from(HEADER).unwrap_or(0).to_ne_bytes(),
        );
        put(FLAGS, &flags.to_ne_bytes());
        put(UUID, uuid.as_bytes());
        put(HEADER, data);
        let words = bytes
            .chunks_exact(size_of::<u64>())
            .map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()))
            .collect();
        Ok(Self { words, length })
    }

    fn submit(&mut self, control: &File, number: u32) -> std::result::Result<(), Errno> {
        // _IOWR(0xfd, number, struct dm_ioctl)
        let opcode = rustix::ioctl::opcode::from_components(
            rustix::ioctl::Direction::ReadWrite,
            0xfd,
            u8::try_from(number).unwrap_or(u8::MAX),
            HEADER,
        );
        // SAFETY: the kernel reads and writes `data_size` bytes, which is the length of the buffer; it is aligned for
        // the structure, and no reference to it exists during the call.
        let result =
            unsafe { libc::ioctl(control.as_raw_fd(), opcode.into(), self.words.as_mut_ptr()) };
        if result == 0 {
            Ok(())
        } else {
            Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.words
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect()
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32_at(&self.bytes(), at)
    }

    fn text_at(&self, at: usize, most: usize) -> String {
        text_at(&self.bytes(), at, at + most)
    }

    /// Of `dev`, which the kernel encodes for user space of any age.
    fn minor(&self) -> u32 {
        let dev = self.u32_at(DEV);
        (dev & 0xff) | ((dev >> 12) & !0xff)
    }

    fn first_target(&self) -> Option<(String, String)> {
        first_target(&self.bytes(), self.length)
    }
}

/// Type and text of the first target in an answer.
fn first_target(bytes: &[u8], length: usize) -> Option<(String, String)> {
    if u32_at(bytes, TARGET_COUNT) == 0 {
        return None;
    }
    let start = usize::try_from(u32_at(bytes, DATA_START)).ok()?;
    let end = length.min(usize::try_from(u32_at(bytes, DATA_SIZE)).ok()?);
    let kind = start.checked_add(TARGET_TYPE)?;
    let text = start.checked_add(TARGET_TEXT)?;
    (text <= end).then(|| (text_at(bytes, kind, text), text_at(bytes, text, end)))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let part = bytes.get(at..at.saturating_add(4)).unwrap_or_default();
    part.try_into().map_or(0, u32::from_ne_bytes)
}

/// Up to the NUL, or to `end`.
fn text_at(bytes: &[u8], at: usize, end: usize) -> String {
    let part = bytes.get(at..end.min(bytes.len())).unwrap_or_default();
    let text = part.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_a_control_node_there_is_no_device_mapper() {
        let dir = crate::testing::TempDir::new();
        let mapper = ControlNode::below(&dir.path(""));
        for error in [
            mapper.look("mpath-x").unwrap_err(),
            mapper.remove("mpath-x").unwrap_err(),
            mapper.set_queueing("mpath-x", true).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
    }

    #[test]
    fn a_request_names_the_device_by_uuid_only() {
        let request = Request::new("mpath-3600", NO_FLUSH, b"12345678text\0", 100).unwrap();
        let bytes = request.bytes();
        assert_eq!(bytes.len(), request.length);
        assert_eq!(u32_at(&bytes, DATA_SIZE) as usize, request.length);
        assert_eq!(text_at(&bytes, UUID, HEADER), "mpath-3600");
        assert_eq!(text_at(&bytes, NAME, UUID), "");
        assert_eq!(text_at(&bytes, HEADER + 8, request.length), "text");
        assert!(Request::new(&"u".repeat(UUID_MAX + 1), 0, &[], 0).is_err());
    }

    #[test]
    fn the_first_target_is_found_where_the_kernel_says() {
        let mut bytes = vec![0; HEADER + 100];
        let length = bytes.len();
        let number = |value: usize| u32::try_from(value).unwrap().to_ne_bytes();
        bytes[DATA_SIZE..DATA_SIZE + 4].copy_from_slice(&number(length));
        bytes[DATA_START..DATA_START + 4].copy_from_slice(&number(HEADER));
        bytes[HEADER + TARGET_TYPE..HEADER + TARGET_TYPE + 9].copy_from_slice(b"multipath");
        bytes[HEADER + TARGET_TEXT..HEADER + TARGET_TEXT + 5].copy_from_slice(b"2 0 1");
        assert_eq!(
            first_target(&bytes, length),
            None,
            "a device without a table"
        );
        bytes[TARGET_COUNT] = 1;
        let target = ("multipath".to_owned(), "2 0 1".to_owned());
        assert_eq!(first_target(&bytes, length), Some(target));
    }

    proptest! {
        #[test]
        fn any_answer_is_read(bytes: Vec<u8>, length: usize) {
            let _ = first_target(&bytes, length);
        }
    }
}
