// SPDX-License-Identifier: AGPL-3.0-or-later
//! Writing out a device that may not answer.

use std::fs::File;
use std::path::Path;

use rustix::io::Errno;

use super::{Patience, aside};
use crate::{Error, Result};

/// Writes everything of a device to stable storage. `meanwhile` is called several times a second.
///
/// # Errors
/// `timeout`, `cancelled`; what the device says.
pub(super) fn flush(
    device: &Path,
    patience: &Patience<'_>,
    meanwhile: impl FnMut() -> Result<()>,
) -> Result<()> {
    let path = device.to_owned();
    aside::run(&what(device), move || sync(&path), patience, meanwhile)
}

/// True while an earlier flush of this device has not come back; it has the device open.
pub(super) fn is_under_way(device: &Path) -> bool {
    aside::is_under_way(&what(device))
}

fn what(device: &Path) -> String {
    format!("flush {}", device.display())
}

fn sync(device: &Path) -> Result<()> {
    let failed = |error: &std::io::Error| {
        Error::os(
            what(device),
            Errno::from_io_error(error).unwrap_or(Errno::IO),
        )
    };
    // Reading is enough for this, and does not make udev look at the device again afterwards.
    let file = File::open(device).map_err(|error| failed(&error))?;
    file.sync_all().map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ErrorKind;
    use crate::stream::Cancel;
    use crate::testing::TempDir;

    #[test]
    fn a_device_is_flushed_or_says_why_not() {
        let dir = TempDir::new();
        let cancel = Cancel::default();
        let patience = Patience::new(Duration::from_secs(60), &cancel);
        std::fs::write(dir.path("dm-3"), "x").unwrap();
        flush(&dir.path("dm-3"), &patience, || Ok(())).unwrap();
        let missing = flush(&dir.path("dm-4"), &patience, || Ok(())).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Absent);
        assert!(!is_under_way(&dir.path("dm-4")));
    }
}
