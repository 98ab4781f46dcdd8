// SPDX-License-Identifier: AGPL-3.0-or-later
//! Directories: `tar+size` streams, copies that share blocks, removal.

use napi::Env;
use napi::bindgen_prelude::{BigInt, Object};
use napi_derive::napi;

use super::{
    OnProgress, Result, StreamHandle, StreamResult, bytes, cancellable, duplicate, rate, stream,
};
use crate::archive::{ExportOptions, ImportOptions, Summary};

impl From<Summary> for StreamResult {
    fn from(summary: Summary) -> Self {
        Self {
            notes: summary.notes,
            ..summary.stream.into()
        }
    }
}

/// What `exportTar` sends and how.
#[napi(object)]
pub struct ExportTarOptions {
    /// Path of a directory.
    pub source: String,
    /// Descriptor of a pipe, socket or file. It is duplicated; the caller's stays open.
    pub sink_fd: i32,
    /// Bytes per second; 0 is unlimited.
    pub rate_limit: Option<BigInt>,
}

/// Sends a directory as a `tar+size` stream: 8 zero bytes, then an archive as GNU tar writes it. `onProgress` is called at
/// most once a second.
#[napi]
pub fn export_tar(
    env: &Env,
    options: ExportTarOptions,
    #[napi(ts_arg_type = "(bytes: bigint, seconds: number) => void")] on_progress: Option<
        OnProgress,
    >,
) -> Result<StreamHandle> {
    let export = ExportOptions {
        source: options.source.into(),
        sink: duplicate(options.sink_fd)?,
        rate: rate(options.rate_limit.as_ref())?,
    };
    stream(env, on_progress, move |control| {
        crate::archive::export(export, control)
    })
}

/// What `importTar` receives and where to.
#[napi(object)]
pub struct ImportTarOptions {
    /// Descriptor of a pipe, socket or file. It is duplicated; the caller's stays open.
    pub source_fd: i32,
    /// The announced size, when `readTarHeader` has read it already.
    pub size: Option<BigInt>,
    /// Path of an empty directory that nobody else can enter.
    pub target: String,
    /// Bytes per second; 0 is unlimited.
    pub rate_limit: Option<BigInt>,
}

/// Receives a `tar+size` stream into a directory. Fails with `invalid` unless the archive is whole and stays within the
/// directory. Everything is durable when `done` resolves. `onProgress` is called at most once a second.
#[napi]
pub fn import_tar(
    env: &Env,
    options: ImportTarOptions,
    #[napi(ts_arg_type = "(bytes: bigint, seconds: number) => void")] on_progress: Option<
        OnProgress,
    >,
) -> Result<StreamHandle> {
    let import = ImportOptions {
        stream: duplicate(options.source_fd)?,
        size: options
            .size
            .as_ref()
            .map(|size| bytes("size", size))
            .transpose()?,
        target: options.target.into(),
        rate: rate(options.rate_limit.as_ref())?,
    };
    stream(env, on_progress, move |control| {
        crate::archive::import(import, control)
    })
}

/// Reads the header of a `tar+size` stream, and nothing behind it: the size of its volume in bytes, 0 for none. `fd` is
/// duplicated; the caller's stays open. `cancel()` of the promise stops it, also when it is blocked.
#[napi(ts_return_type = "Promise<bigint> & { cancel(): void }")]
pub fn read_tar_header(env: &Env, fd: i32) -> Result<Object<'_>> {
    let stream = duplicate(fd)?;
    cancellable(env, move |cancel| {
        crate::archive::read_header(stream, cancel).map(BigInt::from)
    })
}

/// Makes the directory `copy` with all that is in `source`, sharing the blocks of files. A subvolume of Btrfs is copied by
/// a snapshot of the file system. `unsupported` when the file system cannot
/// share blocks, `exists` when the name is taken. After an error nothing is left. `cancel()` of the promise stops it.
#[napi(ts_return_type = "Promise<void> & { cancel(): void }")]
pub fn copy_tree(env: &Env, source: String, copy: String) -> Result<Object<'_>> {
    cancellable(env, move |cancel| {
        crate::archive::copy_tree(source.as_ref(), copy.as_ref(), cancel)
    })
}

/// Makes an empty directory with permission bits `mode`, on Btrfs a subvolume; `exists` when the name is taken.
#[napi(ts_return_type = "Promise<void> & { cancel(): void }")]
pub fn create_tree(env: &Env, path: String, mode: u32) -> Result<Object<'_>> {
    cancellable(env, move |_| {
        crate::archive::create_tree(path.as_ref(), mode)
    })
}

/// Removes a directory with all that is in it, whatever its names are; succeeds when there is none. Links are not followed;
/// `busy` when something is mounted below. `cancel()` of the promise stops it.
#[napi(ts_return_type = "Promise<void> & { cancel(): void }")]
pub fn remove_tree(env: &Env, path: String) -> Result<Object<'_>> {
    cancellable(env, move |cancel| {
        crate::archive::remove_tree(path.as_ref(), cancel)
    })
}
