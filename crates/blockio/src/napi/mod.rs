// SPDX-License-Identifier: AGPL-3.0-or-later
//! The N-API surface: converts arguments, makes one call of the crate on a thread of its own, converts the result.
//!
//! Errors are `Error` objects whose `code` is one of `absent exists busy refused unreachable no-space timeout
//! unsupported invalid internal cancelled`. Sizes are `bigint` and in bytes.

#![allow(
    clippy::needless_pass_by_value,
    clippy::trivially_copy_pass_by_ref,
    reason = "napi decides how arguments are handed over"
)]

mod archive;
mod device;
mod multipath;
mod service;

use std::any::Any;
use std::num::NonZeroU64;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use napi::bindgen_prelude::{BigInt, FnArgs, Object, ObjectRef, ToNapiValue};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, JsError, Status};
use napi_derive::napi;

use crate::fs::{Prealloc, ReflinkOptions};
use crate::stream::{
    Cancel, Control, ExportOptions, ImportOptions, Meter, Progress, Summary, TargetKind, Ticker,
};
use crate::{Error, ErrorKind};

/// Progress is reported this often.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Result of a binding that can fail before its thread runs.
type Result<T> = std::result::Result<T, napi::Error<Code>>;

/// `(bytes, seconds)`, called without a reply; dropped rather than queued when JavaScript is busy; does not keep the
/// process alive.
type OnProgress =
    ThreadsafeFunction<FnArgs<(BigInt, f64)>, (), FnArgs<(BigInt, f64)>, Status, false, true, 1>;

/// An [`ErrorKind`] as napi wants it: its text becomes `error.code`.
pub struct Code(ErrorKind);

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        self.0.code()
    }
}

impl From<Error> for napi::Error<Code> {
    fn from(error: Error) -> Self {
        Self::new(Code(error.kind()), error.message())
    }
}

/// Totals of a finished stream.
#[napi(object)]
pub struct StreamResult {
    /// Payload bytes, holes included, header excluded.
    pub bytes: BigInt,
    /// Payload bytes that were read from the source or written to the target; the rest were holes or zeros.
    pub data_bytes: BigInt,
    /// Wall time.
    pub seconds: f64,
    /// SHA-256 of the payload in lower-case hexadecimal, when asked for.
    pub sha256: Option<String>,
    /// Lines for the task log: what of a directory was skipped, what changed while it was read.
    pub notes: Vec<String>,
}

impl From<Summary> for StreamResult {
    fn from(summary: Summary) -> Self {
        Self {
            bytes: summary.bytes.into(),
            data_bytes: summary.data_bytes.into(),
            seconds: summary.seconds,
            sha256: summary.sha256,
            notes: Vec::new(),
        }
    }
}

/// A running stream.
#[napi]
pub struct StreamHandle {
    control: Control,
    done: ObjectRef<false>,
}

#[napi]
impl StreamHandle {
    /// Stops the stream, also when it is blocked: `done` rejects with code `cancelled`.
    #[napi]
    pub fn cancel(&self) {
        self.control.cancel.stop();
    }

    /// Resolves when everything is done (and durable, for an import), rejects otherwise. Always the same promise.
    #[napi(getter, ts_return_type = "Promise<StreamResult>")]
    pub fn done<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        self.done.get_value(env)
    }

    /// Payload bytes so far; the total also after a failure.
    #[napi(getter)]
    pub fn bytes(&self) -> BigInt {
        self.control.meter.bytes().into()
    }
}

/// What `exportRaw` sends and how.
#[napi(object)]
pub struct ExportRawOptions {
    /// Path of a regular file or block device.
    pub source: String,
    /// Descriptor of a pipe, socket or file. It is duplicated; the caller's stays open.
    pub sink_fd: i32,
    /// Compute the SHA-256 of the payload.
    pub digest: Option<bool>,
    /// Bytes per second; 0 is unlimited.
    pub rate_limit: Option<BigInt>,
}

/// Sends a file or block device as a `raw+size` stream: 8 bytes of size (little endian), then the content.
/// `onProgress` is called at most once a second.
#[napi]
pub fn export_raw(
    env: &Env,
    options: ExportRawOptions,
    #[napi(ts_arg_type = "(bytes: bigint, seconds: number) => void")] on_progress: Option<
        OnProgress,
    >,
) -> Result<StreamHandle> {
    let export = ExportOptions {
        digest: options.digest.unwrap_or(false),
        rate: rate(options.rate_limit.as_ref())?,
        ..ExportOptions::new(options.source.into(), duplicate(options.sink_fd)?)
    };
    stream(env, on_progress, move |control| {
        crate::stream::export(export, control)
    })
}

/// Where `importRaw` writes.
#[napi(object)]
pub struct ImportTarget {
    /// `create`: a new file, which appears when the import succeeded; `file`: an existing regular file, which gets
    /// the volume's size; `device`: a block device of at least that size.
    #[napi(ts_type = "'create' | 'file' | 'device'")]
    pub kind: String,
    /// Absolute path.
    pub path: String,
}

/// What `importRaw` receives and where to.
#[napi(object)]
pub struct ImportRawOptions {
    /// Descriptor of a pipe, socket or file. It is duplicated; the caller's stays open.
    pub source_fd: i32,
    /// The announced size, when `readHeader` has read it already.
    pub size: Option<BigInt>,
    /// Where to write.
    pub target: ImportTarget,
    /// The target is known to read as zeros. When false, zeros in the stream are written or zeroed, never skipped.
    pub zeroed: bool,
    /// Compute the SHA-256 of the payload.
    pub digest: Option<bool>,
    /// Bytes per second; 0 is unlimited.
    pub rate_limit: Option<BigInt>,
}

/// Receives a `raw+size` stream. Fails with `invalid` unless the stream has exactly the announced length. Everything
/// is durable when `done` resolves. `onProgress` is called at most once a second.
#[napi]
pub fn import_raw(
    env: &Env,
    options: ImportRawOptions,
    #[napi(ts_arg_type = "(bytes: bigint, seconds: number) => void")] on_progress: Option<
        OnProgress,
    >,
) -> Result<StreamHandle> {
    let kind = match options.target.kind.as_str() {
        "create" => TargetKind::Create,
        "file" => TargetKind::File,
        "device" => TargetKind::Device,
        other => {
            return Err(
                Error::invalid(format!("import: no kind of target is called {other}")).into(),
            );
        }
    };
    let import = ImportOptions {
        size: options
            .size
            .as_ref()
            .map(|size| bytes("size", size))
            .transpose()?,
        zeroed: options.zeroed,
        digest: options.digest.unwrap_or(false),
        rate: rate(options.rate_limit.as_ref())?,
        ..ImportOptions::new(
            duplicate(options.source_fd)?,
            kind,
            options.target.path.into(),
        )
    };
    stream(env, on_progress, move |control| {
        crate::stream::import(import, control)
    })
}

/// Reads the header of a `raw+size` stream, and nothing behind it: the size in bytes. `fd` is duplicated; the
/// caller's stays open. `cancel()` of the promise stops it, also when it is blocked.
#[napi(ts_return_type = "Promise<bigint> & { cancel(): void }")]
pub fn read_header(env: &Env, fd: i32) -> Result<Object<'_>> {
    let stream = duplicate(fd)?;
    cancellable(env, move |cancel| {
        crate::stream::read_header(stream, cancel).map(BigInt::from)
    })
}

/// Creates a file of `size` bytes that reads as zeros, with permission bits `mode`. It appears complete or not at
/// all; `exists` when the name is taken. `cancel()` of the promise stops it.
#[napi(ts_return_type = "Promise<void> & { cancel(): void }")]
pub fn create_file(
    env: &Env,
    path: String,
    size: BigInt,
    #[napi(ts_arg_type = "'off' | 'falloc' | 'full'")] prealloc: String,
    mode: u32,
) -> Result<Object<'_>> {
    let size = bytes("size", &size)?;
    let prealloc = prealloc_of(&prealloc)?;
    cancellable(env, move |cancel| {
        crate::fs::create_file(path.as_ref(), size, prealloc, mode, cancel)
    })
}

/// Extends a file to `size` bytes; the new part reads as zeros. Undone when it fails. `invalid` when the file is
/// larger. `cancel()` of the promise stops it.
#[napi(ts_return_type = "Promise<void> & { cancel(): void }")]
pub fn grow_file(
    env: &Env,
    path: String,
    size: BigInt,
    #[napi(ts_arg_type = "'off' | 'falloc' | 'full'")] prealloc: String,
) -> Result<Object<'_>> {
    let size = bytes("size", &size)?;
    let prealloc = prealloc_of(&prealloc)?;
    cancellable(env, move |cancel| {
        crate::fs::grow_file(path.as_ref(), size, prealloc, cancel)
    })
}

/// Renames a file or directory, durably; `exists` when the new name is taken.
#[napi(ts_return_type = "Promise<void>")]
pub fn rename_exclusive(env: &Env, from: String, to: String) -> Result<Object<'_>> {
    promise(env, move || {
        crate::fs::rename_exclusive(from.as_ref(), to.as_ref())
    })
}

/// Exchanges the names of two files or directories in one step, durably.
#[napi(ts_return_type = "Promise<void>")]
pub fn rename_exchange(env: &Env, one: String, other: String) -> Result<Object<'_>> {
    promise(env, move || {
        crate::fs::rename_exchange(one.as_ref(), other.as_ref())
    })
}

/// How `reflink` copies.
#[napi(object)]
pub struct ReflinkFlags {
    /// Take the name from the file that has it, atomically.
    pub replace: bool,
    /// Nobody may write the copy; otherwise its owner may, whatever the source's permissions are.
    pub readonly: Option<bool>,
    /// Permission bits of the copy instead of those.
    pub mode: Option<u32>,
}

/// Copies a file by sharing its blocks; the copy appears complete or not at all. `unsupported` when the file system
/// cannot do that, `exists` when the name is taken and `replace` is false.
#[napi(ts_return_type = "Promise<void>")]
pub fn reflink(env: &Env, source: String, copy: String, flags: ReflinkFlags) -> Result<Object<'_>> {
    let options = ReflinkOptions {
        replace: flags.replace,
        read_only: flags.readonly.unwrap_or(false),
        mode: flags.mode,
    };
    promise(env, move || {
        crate::fs::reflink(source.as_ref(), copy.as_ref(), options)
    })
}

/// True when files of this directory can share blocks, found out on two nameless files.
#[napi(ts_return_type = "Promise<boolean>")]
pub fn reflink_supported(env: &Env, dir: String) -> Result<Object<'_>> {
    promise(env, move || crate::fs::reflink_supported(dir.as_ref()))
}

/// Space and identity of a file system.
#[napi(object)]
pub struct DirProbe {
    /// Size.
    pub total: BigInt,
    /// What may still be written.
    pub avail: BigInt,
    /// In use.
    pub used: BigInt,
    /// As the mount table names it; the magic number in hexadecimal for types not known here.
    pub fs_type: String,
    /// Device number of the directory: differs from its parent's when something is mounted there.
    pub dev: BigInt,
}

/// Examines the file system of a directory. `timeout` when it does not answer in time, and at once while an earlier
/// probe of the path is overdue; `absent` when the directory is missing.
#[napi(ts_return_type = "Promise<DirProbe>")]
pub fn probe_dir(env: &Env, path: String, timeout_ms: u32) -> Result<Object<'_>> {
    promise(env, move || {
        let info = crate::fs::probe_dir(path.as_ref(), Duration::from_millis(timeout_ms.into()))?;
        Ok(DirProbe {
            total: info.total.into(),
            avail: info.available.into(),
            used: info.used.into(),
            fs_type: info.fs_type,
            dev: info.device.into(),
        })
    })
}

/// Sets or clears the immutable attribute of a file.
#[napi(ts_return_type = "Promise<void>")]
pub fn set_immutable(env: &Env, path: String, on: bool) -> Result<Object<'_>> {
    promise(env, move || crate::fs::set_immutable(path.as_ref(), on))
}

/// Size of a block device or regular file.
#[napi(ts_return_type = "Promise<bigint>")]
pub fn block_size(env: &Env, path: String) -> Result<Object<'_>> {
    promise(env, move || {
        crate::fs::block_size(path.as_ref()).map(BigInt::from)
    })
}

/// The loop devices whose backing file is `path`.
#[napi(ts_return_type = "Promise<Array<string>>")]
pub fn loop_devices_of(env: &Env, path: String) -> Result<Object<'_>> {
    promise(env, move || {
        let devices = crate::fs::loop_devices_of(path.as_ref())?;
        Ok(devices
            .into_iter()
            .map(|device| device.to_string_lossy().into_owned())
            .collect::<Vec<_>>())
    })
}

/// Starts a stream and makes its handle.
fn stream<T: Into<StreamResult>>(
    env: &Env,
    on_progress: Option<OnProgress>,
    work: impl FnOnce(&Control) -> crate::Result<T> + Send + 'static,
) -> Result<StreamHandle> {
    let control = Control::default();
    let shared = control.clone();
    let done = promise(env, move || {
        let _ticker = on_progress.map(|callback| ticker(shared.meter.clone(), callback));
        work(&shared).map(Into::into)
    })?;
    let done = done.create_ref().map_err(from_napi)?;
    Ok(StreamHandle { control, done })
}

fn ticker(meter: Meter, callback: OnProgress) -> Ticker {
    Ticker::start(
        meter,
        PROGRESS_INTERVAL,
        move |Progress { bytes, elapsed }| {
            let arguments = FnArgs {
                data: (BigInt::from(bytes), elapsed.as_secs_f64()),
            };
            callback.call(arguments, ThreadsafeFunctionCallMode::NonBlocking);
        },
    )
}

/// As [`promise`]; the promise has a method `cancel`.
fn cancellable<T: ToNapiValue + Send + 'static>(
    env: &Env,
    work: impl FnOnce(&Cancel) -> crate::Result<T> + Send + 'static,
) -> Result<Object<'_>> {
    let cancel = Cancel::default();
    let shared = cancel.clone();
    let mut result = promise(env, move || work(&shared))?;
    let stop = env
        .create_function_from_closure::<(), (), _>("cancel", move |_| {
            cancel.stop();
            Ok(())
        })
        .map_err(from_napi)?;
    result.set("cancel", stop).map_err(from_napi)?;
    Ok(result)
}

/// Runs `work` on a thread of its own; the promise takes its result. A panic becomes an error.
fn promise<T: ToNapiValue + Send + 'static>(
    env: &Env,
    work: impl FnOnce() -> crate::Result<T> + Send + 'static,
) -> Result<Object<'_>> {
    let (deferred, promise) = env
        .create_deferred::<T, Box<dyn FnOnce(Env) -> napi::Result<T>>>()
        .map_err(from_napi)?;
    let settle = move |result: crate::Result<T>| {
        deferred.resolve(Box::new(move |env| {
            result.map_err(|error| {
                napi::Error::from(JsError::from(napi::Error::from(error)).into_unknown(env))
            })
        }));
    };
    let undo = settle.clone();
    let run = move || {
        let result =
            catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic)));
        settle(result);
    };
    if let Err(error) = std::thread::Builder::new()
        .name("blockio".into())
        .spawn(run)
    {
        undo(Err(Error::internal(format!("start a thread: {error}"))));
    }
    Ok(promise)
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::internal(format!(
        "defect in the native part: {}",
        text.unwrap_or("no message")
    ))
}

fn from_napi(error: napi::Error) -> napi::Error<Code> {
    Error::internal(format!("talk to Node: {}", error.reason)).into()
}

/// A descriptor of our own, so that JavaScript cannot close it while a thread works on it.
fn duplicate(fd: i32) -> crate::Result<OwnedFd> {
    if fd < 0 {
        return Err(Error::invalid(format!(
            "use descriptor {fd}: it is not open"
        )));
    }
    // SAFETY: the descriptor is only used for this call, which fails if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::io::fcntl_dupfd_cloexec(borrowed, 3)
        .map_err(|errno| Error::os(format!("use descriptor {fd}"), errno))
}

fn bytes(what: &str, value: &BigInt) -> crate::Result<u64> {
    match value.get_u64() {
        (false, value, true) => Ok(value),
        _ => Err(Error::invalid(format!(
            "{what}: a number of bytes from 0 to 2^64-1 is needed"
        ))),
    }
}

fn prealloc_of(name: &str) -> crate::Result<Prealloc> {
    match name {
        "off" => Ok(Prealloc::Off),
        "falloc" => Ok(Prealloc::Falloc),
        "full" => Ok(Prealloc::Full),
        other => Err(Error::invalid(format!(
            "preallocation: no way is called {other}; use off, falloc or full"
        ))),
    }
}

fn rate(value: Option<&BigInt>) -> crate::Result<Option<NonZeroU64>> {
    Ok(value
        .map(|value| bytes("rateLimit", value))
        .transpose()?
        .and_then(NonZeroU64::new))
}
