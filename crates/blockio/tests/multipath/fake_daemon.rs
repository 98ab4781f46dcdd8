// SPDX-License-Identifier: AGPL-3.0-or-later
//! A program that listens where multipathd would, and says what a test wants.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What it does with a command.
#[derive(Clone)]
pub enum Answer {
    /// Says this.
    Text(String),
    /// Says this after a while.
    Slow(Duration, &'static str),
    /// Sends these bytes, length and all, and ends the connection.
    Raw(Vec<u8>),
    /// Says nothing, and keeps the connection.
    Silence,
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

type Script = dyn Fn(&str) -> Answer + Send + Sync;

/// Ends when dropped.
pub struct FakeDaemon {
    socket: PathBuf,
    commands: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeDaemon {
    pub fn start(socket: &Path, script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let commands = Arc::new(Mutex::new(Vec::new()));
        let stopped = Arc::new(AtomicBool::new(false));
        let script: Arc<Script> = Arc::new(script);
        let (log, end) = (Arc::clone(&commands), Arc::clone(&stopped));
        let thread = std::thread::spawn(move || {
            for client in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                let (script, log, end) = (Arc::clone(&script), Arc::clone(&log), Arc::clone(&end));
                std::thread::spawn(move || serve(client.unwrap(), &*script, &log, &end));
            }
        });
        Self {
            socket: socket.to_owned(),
            commands,
            stopped,
            thread: Some(thread),
        }
    }

    pub fn socket(&self) -> &str {
        self.socket.to_str().unwrap()
    }

    /// Every command so far.
    pub fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }

    /// Commands that are no questions.
    pub fn orders(&self) -> Vec<String> {
        let mut commands = self.commands();
        commands.retain(|command| !command.starts_with("show "));
        commands
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.socket);
        let _ = self.thread.take().unwrap().join();
    }
}

fn serve(mut client: UnixStream, script: &Script, log: &Mutex<Vec<String>>, end: &AtomicBool) {
    let mut length = [0; size_of::<usize>()];
    // As multipathd does, which ends the connection when the length does not come in one piece.
    while client
        .read(&mut length)
        .is_ok_and(|count| count == length.len())
    {
        let mut command = vec![0; usize::from_ne_bytes(length)];
        if client.read_exact(&mut command).is_err() {
            return;
        }
        assert_eq!(command.pop(), Some(0), "a command ends with NUL");
        let command = String::from_utf8(command).unwrap();
        log.lock().unwrap().push(command.clone());
        let text = match script(&command) {
            Answer::Text(text) => text,
            Answer::Slow(pause, text) => {
                std::thread::sleep(pause);
                text.to_owned()
            }
            Answer::Raw(bytes) => {
                let _ = client.write_all(&bytes);
                return;
            }
            Answer::Silence => {
                while !end.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                return;
            }
        };
        if client.write_all(&reply(text.as_bytes())).is_err() {
            return;
        }
    }
}

/// A reply as it goes over the socket.
pub fn reply(text: &[u8]) -> Vec<u8> {
    let mut bytes = (text.len() + 1).to_ne_bytes().to_vec();
    bytes.extend_from_slice(text);
    bytes.push(0);
    bytes
}
