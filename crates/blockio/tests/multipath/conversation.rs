// SPDX-License-Identifier: AGPL-3.0-or-later
//! Talking to a daemon that is well, slow, silent, or something else.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use blockio::multipath::{Daemon, FindMultipaths, Patience, Reply, Status};
use blockio::stream::Cancel;
use blockio::{ErrorKind, Result};
use proptest::prelude::*;

use crate::common::TempDir;
use crate::fake_daemon::{Answer, FakeDaemon, reply};
use crate::{LONG, millis, within};

fn ask(answer: impl Into<Answer>, limit: Duration) -> Result<Reply> {
    let dir = TempDir::new();
    let answer = answer.into();
    let fake = FakeDaemon::start(&dir.path("socket"), move |_| answer.clone());
    let daemon = Daemon::new(Some(fake.socket()));
    within(limit, |patience| daemon.ask("show daemon", patience))
}

fn status(socket: &Path, limit: Duration) -> Status {
    let daemon = Daemon::new(socket.to_str());
    within(limit, |patience| daemon.status(patience)).unwrap()
}

#[test]
fn a_daemon_is_running_off_or_silent() {
    let dir = TempDir::new();
    let socket = dir.path("socket");
    assert_eq!(status(&socket, LONG), Status::Off, "no socket");
    drop(UnixListener::bind(&socket).unwrap());
    assert_eq!(status(&socket, LONG), Status::Off, "a socket that was left");
    std::fs::remove_file(&socket).unwrap();
    {
        let _fake = FakeDaemon::start(&socket, |_| Answer::Silence);
        assert_eq!(status(&socket, millis(80)), Status::Silent);
    }
    std::fs::remove_file(&socket).unwrap();
    let fake = FakeDaemon::start(&socket, |_| "pid 832 idle\n".into());
    assert_eq!(status(&socket, LONG), Status::Running);
    assert_eq!(fake.commands(), ["show daemon"]);
}

#[test]
fn one_that_accepts_nobody_is_silent() {
    let dir = TempDir::new();
    let socket = dir.path("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    // Its queue is full after a few.
    for _ in 0..3 {
        assert_eq!(status(&socket, millis(80)), Status::Silent);
    }
}

#[test]
fn a_name_may_be_abstract() {
    let name = format!("/blockio/test/{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    assert_eq!(
        status(Path::new(&format!("@{name}")), millis(80)),
        Status::Silent
    );
    assert_eq!(
        status(Path::new(&format!("@{name}x")), millis(80)),
        Status::Off
    );
}

#[test]
fn slow_is_not_silent() {
    let slow = Answer::Slow(millis(200), "ok\n");
    assert_eq!(ask(slow.clone(), LONG), Ok(Reply::Ok));
    let error = ask(slow, millis(50)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.message().contains("show daemon"), "{error}");
}

#[test]
fn a_busy_daemon_is_asked_again() {
    let dir = TempDir::new();
    let calls = AtomicU32::new(0);
    let fake = FakeDaemon::start(&dir.path("socket"), move |_| {
        ["timeout\n", "fail\ntimeout\n", "ok\n"][calls.fetch_add(1, Ordering::SeqCst) as usize]
            .into()
    });
    let daemon = Daemon::new(Some(fake.socket()));
    let reply = within(LONG, |patience| daemon.resize_map("mpatha", patience));
    assert_eq!(reply, Ok(Reply::Ok));
    assert_eq!(fake.commands(), ["resize map mpatha"; 3]);
    let always = ask("timeout\n", millis(300));
    let in_time = always.as_ref().map_err(blockio::Error::kind);
    assert!(
        matches!(in_time, Ok(Reply::Busy) | Err(ErrorKind::Timeout)),
        "{always:?}"
    );
}

#[test]
fn what_is_no_reply_is_told_from_one_that_did_not_come() {
    let half = reply(b"pid 832 idle\n")[..12].to_vec();
    let mut unended = reply(b"ok\n");
    *unended.last_mut().unwrap() = b'x';
    for (bytes, kind) in [
        (Vec::new(), ErrorKind::Unreachable),
        (vec![1, 0, 0], ErrorKind::Unreachable),
        (half, ErrorKind::Unreachable),
        (vec![0; 8], ErrorKind::Invalid),
        (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), ErrorKind::Invalid),
        (usize::MAX.to_ne_bytes().to_vec(), ErrorKind::Invalid),
        ((9_usize << 20).to_ne_bytes().to_vec(), ErrorKind::Invalid),
        (unended, ErrorKind::Invalid),
    ] {
        let error = ask(Answer::Raw(bytes.clone()), LONG).unwrap_err();
        assert_eq!(error.kind(), kind, "{bytes:?}: {error}");
    }
}

#[test]
fn a_long_reply_is_whole() {
    let long = "x".repeat(3 << 20);
    assert_eq!(ask(long.as_str(), LONG), Ok(Reply::Text(long)));
}

#[test]
fn a_wait_ends_when_cancelled() {
    let dir = TempDir::new();
    let fake = FakeDaemon::start(&dir.path("socket"), |_| Answer::Silence);
    let daemon = Daemon::new(Some(fake.socket()));
    let cancel = Cancel::default();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| daemon.ask("show daemon", &Patience::new(LONG, &cancel)));
        while fake.commands().is_empty() {
            std::thread::yield_now();
        }
        cancel.stop();
        assert!(waiter.join().unwrap().unwrap_err().is_cancelled());
    });
    assert!(started.elapsed() < LONG / 2);
}

#[test]
fn names_that_would_be_other_commands_are_not_sent() {
    let dir = TempDir::new();
    let fake = FakeDaemon::start(&dir.path("socket"), |_| "ok\n".into());
    let daemon = Daemon::new(Some(fake.socket()));
    within(LONG, |patience| {
        for name in ["", "a b", "a\n", "\"a\"", "../a"] {
            for reply in [
                daemon.add_path(name, patience),
                daemon.del_path(name, patience),
                daemon.add_map(name, patience),
                daemon.del_map(name, patience),
            ] {
                assert_eq!(reply.unwrap_err().kind(), ErrorKind::Invalid);
            }
        }
    });
    assert!(fake.commands().is_empty());
}

#[test]
fn settings_come_from_the_newest_command_that_there_is() {
    let dir = TempDir::new();
    let fake = FakeDaemon::start(&dir.path("socket"), |command| match command {
        "show config local" => "multipath-tools v0.7.3\nCLI commands reference:\n".into(),
        _ => "defaults {\n\tfind_multipaths \"strict\"\n\tuser_friendly_names \"yes\"\n}\n".into(),
    });
    let daemon = Daemon::new(Some(fake.socket()));
    let settings = within(LONG, |patience| daemon.settings(patience))
        .unwrap()
        .unwrap();
    assert_eq!(settings.find_multipaths, FindMultipaths::Wanted);
    assert!(!settings.named_by_wwid);
    let off = Daemon::new(dir.path("missing").to_str());
    assert_eq!(within(LONG, |patience| off.settings(patience)), Ok(None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_it_sends_an_answer_comes_in_time(bytes: Vec<u8>) {
        let _ = ask(Answer::Raw(bytes), LONG);
    }
}
