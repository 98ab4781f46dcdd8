// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the service tells systemd, see `sd_notify(3)`.

use napi_derive::napi;
use sd_notify::NotifyState;

use super::Result;
use crate::Error;

/// Tells systemd one or more assignments, such as `READY=1`, separated by line feeds. Does nothing when the process
/// was not started by a unit that asks for them.
#[napi]
pub fn notify_service_manager(state: String) -> Result<()> {
    sd_notify::notify(&[NotifyState::Custom(&state)]).map_err(|error| {
        Error::internal(format!("tell systemd the state of the service: {error}")).into()
    })
}

/// The time in milliseconds within which systemd wants to hear `WATCHDOG=1` from this process; none when it does not.
#[napi]
pub fn watchdog_limit_ms() -> Option<u32> {
    sd_notify::watchdog_enabled().map(|limit| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX))
}
