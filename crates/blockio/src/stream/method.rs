// SPDX-License-Identifier: AGPL-3.0-or-later
//! The ways to read and to write; which one is taken when is measured in `benches/streams/methods`.

/// How an export reads its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadMethod {
    /// What measurements favour for this pair of source and sink (`benches/streams/README.md`).
    #[default]
    Auto,
    /// Lend the page cache's pages to the pipe. Falls back to buffered reads where the kernel cannot.
    Lend,
    /// Read through the page cache, one request at a time.
    Buffered,
    /// Read around the page cache.
    Direct {
        /// Requests in flight.
        in_flight: usize,
    },
}

/// How an import writes its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteMethod {
    /// What measurements favour for the kind of target (`benches/streams/README.md`).
    #[default]
    Auto,
    /// Through the page cache; the kernel decides when to write back.
    Buffered,
    /// Through the page cache, written back and dropped a few megabytes behind.
    WriteBehind,
    /// Around the page cache.
    Direct {
        /// Requests in flight.
        in_flight: usize,
    },
}
