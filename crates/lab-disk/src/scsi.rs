// SPDX-License-Identifier: AGPL-3.0-or-later
//! The SCSI commands of a disk (SPC-4, SBC-3): what Linux, udev and multipathd send.

use std::os::unix::fs::FileExt;

use crate::disk::{Disk, SECTOR};

/// Sent with GOOD, or with CHECK CONDITION.
#[derive(Debug, PartialEq, Eq)]
pub enum Status {
    /// So many bytes were put into the initiator's buffer.
    Good(usize),
    /// Sense key, additional code and qualifier.
    Check(u8, u8, u8),
}

const INVALID_COMMAND: Status = Status::Check(5, 0x20, 0);
const INVALID_FIELD: Status = Status::Check(5, 0x24, 0);
const OUT_OF_RANGE: Status = Status::Check(5, 0x21, 0);
const WRITE_PROTECTED: Status = Status::Check(7, 0x27, 0);
const READ_FAILED: Status = Status::Check(3, 0x11, 0);
const WRITE_FAILED: Status = Status::Check(3, 0x0c, 0);

/// The most sectors that one UNMAP may name, and the most ranges.
const UNMAP_SECTORS: u32 = 1 << 21;
const UNMAP_RANGES: u32 = 32;

/// Buffers of a command, in pieces. They are the initiator's data when it writes, else where the answer goes.
pub trait Buffers {
    /// Bytes in all.
    fn length(&self) -> usize;
    /// Takes a part of the data.
    fn get(&self, offset: usize, length: usize) -> Vec<u8>;
    /// Gives a part of the answer; what does not fit is left out.
    fn put(&mut self, offset: usize, bytes: &[u8]);
}

/// Does what a command says.
pub fn carry_out(disk: &mut Disk, cdb: &[u8], data: &mut dyn Buffers) -> Status {
    match cdb[0] {
        // TEST UNIT READY, START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL, VERIFY
        0x00 | 0x1b | 0x1e | 0x2f | 0x8f => Status::Good(0),
        // REQUEST SENSE
        0x03 => answer(
            data,
            &[0x70, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            cdb[4].into(),
        ),
        0x12 => inquiry(disk, cdb, data),
        // MODE SENSE
        0x1a => answer(data, &mode_sense(disk, cdb, false), cdb[4].into()),
        0x5a => answer(data, &mode_sense(disk, cdb, true), be16(&cdb[7..]).into()),
        // READ CAPACITY
        0x25 => capacity_10(disk, data),
        0x9e if cdb[1] & 0x1f == 0x10 => capacity_16(disk, cdb, data),
        // READ, WRITE
        0x08 => read(disk, range_6(cdb), data),
        0x28 | 0xa8 | 0x88 => read(disk, range(cdb), data),
        0x0a => write(disk, range_6(cdb), data),
        0x2a | 0xaa | 0x8a | 0x2e | 0x8e => write(disk, range(cdb), data),
        // SYNCHRONIZE CACHE
        0x35 | 0x91 => match disk.file().and_then(std::fs::File::sync_data) {
            Ok(()) => Status::Good(0),
            Err(_) => WRITE_FAILED,
        },
        0x42 => unmap(disk, data),
        // WRITE SAME
        0x41 | 0x93 => write_same(disk, cdb, data),
        _ => INVALID_COMMAND,
    }
}

fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn be64(bytes: &[u8]) -> u64 {
    u64::from(be32(bytes)) << 32 | u64::from(be32(&bytes[4..]))
}

fn answer(data: &mut dyn Buffers, bytes: &[u8], allowed: usize) -> Status {
    let length = bytes.len().min(allowed).min(data.length());
    data.put(0, &bytes[..length]);
    Status::Good(length)
}

/// First sector and count.
type Range = (u64, u64);

fn range_6(cdb: &[u8]) -> Range {
    let count = if cdb[4] == 0 { 256 } else { cdb[4].into() };
    ((be32(cdb) & 0x1f_ffff).into(), count)
}

/// Of commands with 10, 12 and 16 bytes.
fn range(cdb: &[u8]) -> Range {
    match cdb[0] >> 5 {
        4 => (be64(&cdb[2..]), be32(&cdb[10..]).into()),
        5 => (be32(&cdb[2..]).into(), be32(&cdb[6..]).into()),
        _ => (be32(&cdb[2..]).into(), be16(&cdb[7..]).into()),
    }
}

/// Bytes of a range of the disk: offset and length.
fn bytes_of(disk: &mut Disk, (first, count): Range) -> Result<(u64, usize), Status> {
    let sectors = disk.sectors().map_err(|_| READ_FAILED)?;
    let end = first.checked_add(count).ok_or(OUT_OF_RANGE)?;
    if end > sectors {
        return Err(OUT_OF_RANGE);
    }
    let length = usize::try_from(count * SECTOR).map_err(|_| OUT_OF_RANGE)?;
    Ok((first * SECTOR, length))
}

/// Bytes that are moved at a time.
const PIECE: usize = 1 << 20;

fn read(disk: &mut Disk, range: Range, data: &mut dyn Buffers) -> Status {
    let (offset, length) = match bytes_of(disk, range) {
        Ok(bytes) => bytes,
        Err(status) => return status,
    };
    let length = length.min(data.length());
    let Ok(file) = disk.file() else {
        return READ_FAILED;
    };
    let mut piece = vec![0; length.min(PIECE)];
    let mut done = 0;
    while done < length {
        let part = &mut piece[..PIECE.min(length - done)];
        if file.read_exact_at(part, offset + done as u64).is_err() {
            return READ_FAILED;
        }
        data.put(done, part);
        done += part.len();
    }
    Status::Good(length)
}

fn write(disk: &mut Disk, range: Range, data: &mut dyn Buffers) -> Status {
    if disk.read_only {
        return WRITE_PROTECTED;
    }
    let (offset, length) = match bytes_of(disk, range) {
        Ok(bytes) => bytes,
        Err(status) => return status,
    };
    if data.length() < length {
        return INVALID_FIELD;
    }
    let Ok(file) = disk.file() else {
        return WRITE_FAILED;
    };
    let mut done = 0;
    while done < length {
        let part = data.get(done, PIECE.min(length - done));
        if file.write_all_at(&part, offset + done as u64).is_err() {
            return WRITE_FAILED;
        }
        done += part.len();
    }
    Status::Good(0)
}

fn write_same(disk: &mut Disk, cdb: &[u8], data: &mut dyn Buffers) -> Status {
    if disk.read_only {
        return WRITE_PROTECTED;
    }
    let (first, mut count) = range(cdb);
    if count == 0 {
        count = disk.sectors().unwrap_or(0).saturating_sub(first);
    }
    let (offset, length) = match bytes_of(disk, (first, count)) {
        Ok(bytes) => bytes,
        Err(status) => return status,
    };
    let sector = data.get(0, (SECTOR as usize).min(data.length()));
    // UNMAP, or no data at all (NDOB): zeros.
    let result = if cdb[1] & 0x09 != 0 || sector.iter().all(|byte| *byte == 0) {
        disk.discard(offset, length as u64)
    } else {
        let sectors = sector.repeat(length / SECTOR as usize);
        disk.file()
            .and_then(|file| file.write_all_at(&sectors, offset))
    };
    result.map_or(WRITE_FAILED, |()| Status::Good(0))
}

fn unmap(disk: &mut Disk, data: &mut dyn Buffers) -> Status {
    if disk.read_only {
        return WRITE_PROTECTED;
    }
    let list = data.get(0, data.length());
    let Some(ranges) = list.as_slice().get(8..) else {
        return Status::Good(0);
    };
    for range in ranges.chunks_exact(16).take(UNMAP_RANGES as usize) {
        let (offset, length) = match bytes_of(disk, (be64(range), be32(&range[8..]).into())) {
            Ok(bytes) => bytes,
            Err(status) => return status,
        };
        if length > 0 && disk.discard(offset, length as u64).is_err() {
            return WRITE_FAILED;
        }
    }
    Status::Good(0)
}

fn capacity_10(disk: &mut Disk, data: &mut dyn Buffers) -> Status {
    let Ok(sectors) = disk.sectors() else {
        return READ_FAILED;
    };
    let last = u32::try_from(sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    let mut bytes = last.to_be_bytes().to_vec();
    bytes.extend((SECTOR as u32).to_be_bytes());
    answer(data, &bytes, bytes.len())
}

fn capacity_16(disk: &mut Disk, cdb: &[u8], data: &mut dyn Buffers) -> Status {
    let Ok(sectors) = disk.sectors() else {
        return READ_FAILED;
    };
    let mut bytes = sectors.saturating_sub(1).to_be_bytes().to_vec();
    bytes.extend((SECTOR as u32).to_be_bytes());
    bytes.resize(32, 0);
    bytes[13] = 3; // eight sectors to a block of the file
    bytes[14] = 0xc0; // thin, and discarded sectors are zeros
    answer(data, &bytes, be32(&cdb[10..]) as usize)
}

fn inquiry(disk: &mut Disk, cdb: &[u8], data: &mut dyn Buffers) -> Status {
    let allowed = be16(&cdb[3..]).into();
    if cdb[1] & 1 == 0 {
        let mut bytes = vec![0, 0, 6, 0x12, 31, 0, 0, 2];
        bytes.extend(b"SCST_BIOStorage          LAB");
        bytes.resize(36, b' ');
        return answer(data, &bytes, allowed);
    }
    let page: Vec<u8> = match cdb[2] {
        0x00 => vec![0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2],
        0x80 => disk.eui.to_vec(),
        0x83 => designators(disk.eui),
        0xb0 => limits(),
        0xb1 => vec![0; 60],
        0xb2 => vec![0, 0xe4, 2, 0], // UNMAP and WRITE SAME of 10 and 16 bytes discard; thin
        _ => return INVALID_FIELD,
    };
    let mut bytes = vec![0, cdb[2]];
    bytes.extend((page.len() as u16).to_be_bytes());
    bytes.extend(page);
    answer(data, &bytes, allowed)
}

/// T10 and EUI-64, both of the logical unit.
fn designators(eui: [u8; 8]) -> Vec<u8> {
    let mut bytes = vec![2, 1, 0, 16];
    bytes.extend(b"SCST_BIO");
    bytes.extend(eui);
    bytes.extend([1, 2, 0, 8]);
    bytes.extend(eui);
    bytes
}

/// Block limits.
fn limits() -> Vec<u8> {
    let mut page = vec![0; 60];
    page[4..8].copy_from_slice(&2048_u32.to_be_bytes()); // sectors of a transfer
    page[16..20].copy_from_slice(&UNMAP_SECTORS.to_be_bytes());
    page[20..24].copy_from_slice(&UNMAP_RANGES.to_be_bytes());
    page[24..28].copy_from_slice(&8_u32.to_be_bytes()); // sectors of the file's blocks
    page[32..40].copy_from_slice(&65_535_u64.to_be_bytes()); // sectors of a WRITE SAME
    page
}

fn mode_sense(disk: &Disk, cdb: &[u8], long: bool) -> Vec<u8> {
    // Write cache on, as its file has one.
    let caching = [
        0x08, 18, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let pages: &[u8] = if matches!(cdb[2] & 0x3f, 0x08 | 0x3f) {
        &caching
    } else {
        &[]
    };
    let protection = if disk.read_only { 0x80 } else { 0 };
    let mut bytes = if long {
        let mut header = vec![0, 0, 0, protection, 0, 0, 0, 0];
        header[..2].copy_from_slice(&(pages.len() as u16 + 6).to_be_bytes());
        header
    } else {
        vec![pages.len() as u8 + 3, 0, protection, 0]
    };
    bytes.extend(pages);
    bytes
}

/// Sense data in the fixed format.
pub fn sense(key: u8, code: u8, qualifier: u8) -> [u8; 18] {
    let mut bytes = [0; 18];
    bytes[0] = 0x70;
    bytes[2] = key;
    bytes[7] = 10;
    bytes[12] = code;
    bytes[13] = qualifier;
    bytes
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    impl Buffers for Vec<u8> {
        fn length(&self) -> usize {
            self.len()
        }

        fn get(&self, offset: usize, length: usize) -> Vec<u8> {
            self[offset..offset + length].to_vec()
        }

        fn put(&mut self, offset: usize, bytes: &[u8]) {
            self[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }

    struct File(PathBuf);

    impl File {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("lab-disk-{test}-{}", std::process::id()));
            let bytes: Vec<u8> = (0..64 * 512_u32).map(|n| (n / 512) as u8).collect();
            fs::write(&path, bytes).unwrap();
            Self(path)
        }

        fn disk(&self) -> Disk {
            Disk::open(self.0.clone(), "3935353435363335", false).unwrap()
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn cdb(bytes: &[u8]) -> [u8; 16] {
        let mut cdb = [0; 16];
        cdb[..bytes.len()].copy_from_slice(bytes);
        cdb
    }

    fn asked(disk: &mut Disk, command: &[u8], length: usize) -> Vec<u8> {
        let mut data = vec![0; length];
        let Status::Good(length) = carry_out(disk, &cdb(command), &mut data) else {
            panic!("{command:x?} failed");
        };
        data.truncate(length);
        data
    }

    #[test]
    fn its_identity_is_the_one_that_was_asked_for() {
        let file = File::new("identity");
        let page = asked(&mut file.disk(), &[0x12, 1, 0x83, 0, 255], 255);
        assert_eq!(page.len(), 4 + 20 + 12);
        assert_eq!(page[24..], *b"\x01\x02\x00\x0895545635");
        assert_eq!(asked(&mut file.disk(), &[0x12, 0, 0, 0, 36], 96).len(), 36);
        let mut data = vec![0; 255];
        let unknown = carry_out(&mut file.disk(), &cdb(&[0x12, 1, 0x99, 0, 255]), &mut data);
        assert_eq!(unknown, INVALID_FIELD);
        assert!(Disk::open(file.0.clone(), "39355", false).is_err());
    }

    #[test]
    fn it_grows_with_its_file_and_follows_its_name() {
        let file = File::new("size");
        let mut disk = file.disk();
        let last = |disk: &mut Disk| {
            asked(disk, &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32], 32)[7]
        };
        assert_eq!(last(&mut disk), 63);
        fs::write(&file.0, vec![7; 100 * 512]).unwrap();
        assert_eq!(last(&mut disk), 99);
        let other = Path::new(&file.0).with_extension("other");
        fs::write(&other, vec![9; 8 * 512]).unwrap();
        fs::rename(&other, &file.0).unwrap();
        assert_eq!(last(&mut disk), 7);
        assert_eq!(asked(&mut disk, &[0x08, 0, 0, 0, 1], 512), [9; 512]);
    }

    #[test]
    fn what_is_written_is_read_and_nothing_beyond_the_end() {
        let file = File::new("data");
        let mut disk = file.disk();
        let mut data = vec![0xaa; 1024];
        let write = cdb(&[0x2a, 0, 0, 0, 0, 62, 0, 0, 2]);
        assert_eq!(carry_out(&mut disk, &write, &mut data), Status::Good(0));
        let read = asked(
            &mut disk,
            &[0x88, 0, 0, 0, 0, 0, 0, 0, 0, 61, 0, 0, 0, 3],
            3 * 512,
        );
        assert_eq!((read[511], read[512], read[1535]), (61, 0xaa, 0xaa));
        let beyond = cdb(&[0x2a, 0, 0, 0, 0, 63, 0, 0, 2]);
        assert_eq!(carry_out(&mut disk, &beyond, &mut data), OUT_OF_RANGE);
        let wraps = cdb(&[0x88, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1]);
        assert_eq!(carry_out(&mut disk, &wraps, &mut data), OUT_OF_RANGE);
        assert_eq!(
            carry_out(&mut disk, &cdb(&[0xff]), &mut data),
            INVALID_COMMAND
        );
    }

    #[test]
    fn discarded_and_repeated_sectors() {
        let file = File::new("discard");
        let mut disk = file.disk();
        let mut list = vec![0; 24];
        list[15] = 8; // first sector
        list[19] = 16; // count
        assert_eq!(
            carry_out(&mut disk, &cdb(&[0x42, 0, 0, 0, 0, 0, 0, 0, 24]), &mut list),
            Status::Good(0)
        );
        let mut same = vec![0x55; 512];
        let write_same = cdb(&[0x93, 0, 0, 0, 0, 0, 0, 0, 0, 30, 0, 0, 0, 2]);
        assert_eq!(
            carry_out(&mut disk, &write_same, &mut same),
            Status::Good(0)
        );
        let all = fs::read(&file.0).unwrap();
        let sectors: Vec<u8> = all.chunks(512).map(|sector| sector[0]).collect();
        assert_eq!(
            (sectors[7], sectors[8], sectors[23], sectors[24]),
            (7, 0, 0, 24)
        );
        assert_eq!(
            (sectors[29], sectors[30], sectors[31], sectors[32]),
            (29, 0x55, 0x55, 32)
        );
    }

    #[test]
    fn nobody_writes_to_a_read_only_one() {
        let file = File::new("read-only");
        let mut disk = Disk::open(file.0.clone(), "3935353435363335", true).unwrap();
        let mut data = vec![1; 512];
        for command in [&[0x2a, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0x42], &[0x93, 0]] {
            assert_eq!(
                carry_out(&mut disk, &cdb(command), &mut data),
                WRITE_PROTECTED
            );
        }
        assert_eq!(asked(&mut disk, &[0x1a, 0, 0x3f, 0, 255], 255)[2], 0x80);
    }
}
