// SPDX-License-Identifier: AGPL-3.0-or-later
//! Moves one directory without Node: for measurements, and for reading how the library is used.
//!
//! `archive export DIR >SINK`, `archive import EMPTY_DIR <STREAM`, `archive remove DIR`

use std::os::fd::AsFd;
use std::process::ExitCode;

use blockio::archive::{ExportOptions, ImportOptions, Summary, export, import, remove_tree};
use blockio::stream::{Cancel, Control};
use blockio::{Error, Result};

#[expect(clippy::print_stderr, reason = "the example's own report")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(Summary {
            stream,
            members,
            notes,
        })) => {
            for note in notes {
                eprintln!("{note}");
            }
            eprintln!(
                "{} bytes, {members} members, {:.3} s",
                stream.bytes, stream.seconds
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", error.kind().code());
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<Option<Summary>> {
    let duplicate = |fd: std::os::fd::BorrowedFd<'_>| {
        fd.try_clone_to_owned()
            .map_err(|error| Error::internal(error.to_string()))
    };
    let control = Control::default();
    match *words {
        ["export", dir] => {
            let options = ExportOptions {
                source: dir.into(),
                sink: duplicate(std::io::stdout().as_fd())?,
                rate: None,
            };
            export(options, &control).map(Some)
        }
        ["import", dir] => {
            let options = ImportOptions {
                stream: duplicate(std::io::stdin().as_fd())?,
                size: None,
                target: dir.into(),
                rate: None,
            };
            import(options, &control).map(Some)
        }
        ["remove", dir] => remove_tree(dir.as_ref(), &Cancel::default()).map(|()| None),
        _ => Err(Error::invalid("usage: archive export|import|remove DIR")),
    }
}
