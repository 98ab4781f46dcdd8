// SPDX-License-Identifier: AGPL-3.0-or-later
//! The one error type of the crate: a kind that callers decide by, and one line for the task log.

use std::fmt;

use rustix::io::Errno;

/// Result with the crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in the terms that every layer above shares. Decide by this, never by the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The object is known not to exist.
    Absent,
    /// An object of that name exists already.
    Exists,
    /// The object is in use.
    Busy,
    /// The kernel or a guard says no (permission, read-only, immutable).
    Refused,
    /// The other end or the device did not answer; nothing is known about the object.
    Unreachable,
    /// The file system or quota has no room left.
    NoSpace,
    /// The operation did not finish within its deadline.
    Timeout,
    /// The file system or kernel cannot do that.
    Unsupported,
    /// The request or the data is malformed.
    Invalid,
    /// A defect of this program, or an error nobody foresaw.
    Internal,
    /// The caller cancelled the operation.
    Cancelled,
}

impl ErrorKind {
    /// The code that crosses into JavaScript as `error.code`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Exists => "exists",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::NoSpace => "no-space",
            Self::Timeout => "timeout",
            Self::Unsupported => "unsupported",
            Self::Invalid => "invalid",
            Self::Internal => "internal",
            Self::Cancelled => "cancelled",
        }
    }

    /// What a kernel error number means.
    fn of(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Absent,
            Errno::EXIST => Self::Exists,
            Errno::BUSY | Errno::TXTBSY => Self::Busy,
            Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::NOTEMPTY => Self::Refused,
            Errno::NOSPC | Errno::DQUOT => Self::NoSpace,
            Errno::TIMEDOUT => Self::Timeout,
            Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS => Self::Unsupported,
            Errno::INVAL
            | Errno::NAMETOOLONG
            | Errno::ISDIR
            | Errno::NOTDIR
            | Errno::FBIG
            | Errno::BADF => Self::Invalid,
            Errno::CONNREFUSED
            | Errno::CONNRESET
            | Errno::HOSTUNREACH
            | Errno::HOSTDOWN
            | Errno::NETUNREACH
            | Errno::NETDOWN
            | Errno::NOTCONN
            | Errno::PIPE
            | Errno::STALE
            | Errno::NODEV
            | Errno::NXIO
            | Errno::NOMEDIUM
            | Errno::IO => Self::Unreachable,
            _ => Self::Internal,
        }
    }

    /// The next step, where one can be named from the error number alone.
    const fn advice(self) -> &'static str {
        match self {
            Self::NoSpace => "; free some space or choose another storage",
            Self::Busy => "; end its user and try again",
            _ => "",
        }
    }
}

/// An error of this crate: a [kind](ErrorKind) and one line naming operation, object and next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error of `kind` with a complete message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: one_line(message.into()),
        }
    }

    /// The failure of a system call; `what` is "operation object".
    pub fn os(what: impl fmt::Display, errno: Errno) -> Self {
        let kind = ErrorKind::of(errno);
        Self::new(
            kind,
            format!("{what}: {}{}", describe(errno), kind.advice()),
        )
    }

    /// Malformed data or request.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// A defect of this program.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The caller cancelled the operation.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "the operation was cancelled")
    }

    /// What to decide by.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// True when the caller cancelled the operation.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.kind == ErrorKind::Cancelled
    }

    /// The line for the task log.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The kernel's text for an error number, without Rust's "(os error N)".
fn describe(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Paths may hold any byte; a task log must get one line.
fn one_line(text: String) -> String {
    if text.chars().any(char::is_control) {
        text.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_errors_carry_operation_object_text_and_next_step() {
        let error = Error::os("write /x/disk.raw", Errno::NOSPC);
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        assert_eq!(
            error.message(),
            "write /x/disk.raw: No space left on device; free some space or choose another storage"
        );
    }

    #[test]
    fn unreachable_is_never_absent() {
        for errno in [Errno::STALE, Errno::IO, Errno::NXIO, Errno::NODEV] {
            assert_eq!(
                Error::os("stat x", errno).kind(),
                ErrorKind::Unreachable,
                "{errno:?}"
            );
        }
        assert_eq!(Error::os("stat x", Errno::NOENT).kind(), ErrorKind::Absent);
    }

    #[test]
    fn messages_are_one_line() {
        assert_eq!(Error::invalid("a\nb\tc").message(), "a b c");
    }
}
