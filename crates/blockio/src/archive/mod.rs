// SPDX-License-Identifier: AGPL-3.0-or-later
//! `tar+size` streams: eight bytes of size (zero, directories have none), then an archive as GNU tar writes and reads it
//! with `--one-file-system -p --sparse --numeric-owner --acls --xattrs`.
//!
//! An export walks the tree on one thread, reads ahead on others, and writes in an order that depends on names only. An
//! import reads on one thread and creates small files on others. Both go from directory to directory by descriptor and
//! follow no link, so that nothing outside the tree is reached, whoever changes it meanwhile.

mod acl;
mod btrfs;
mod copy;
mod export;
mod header;
mod import;
mod list;
mod meta;
mod node;
mod notes;
mod pax;
mod queue;
mod remove;
mod sparse;
mod stat;
mod xattr;

pub use copy::{copy_tree, create_tree};
pub use export::{ExportOptions, export};
pub use import::{ImportOptions, import, read_header, unpack};
pub use remove::remove_tree;

use crate::stream;

/// Totals of a finished archive.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Bytes, without the stream's header; `data_bytes` is that of the files' contents.
    pub stream: stream::Summary,
    /// Members: files, directories and so on.
    pub members: u64,
    /// Lines for the task log: what was skipped, what changed while it was read.
    pub notes: Vec<String>,
}
