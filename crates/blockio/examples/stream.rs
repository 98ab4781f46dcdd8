// SPDX-License-Identifier: AGPL-3.0-or-later
//! Runs one stream without Node, with a chosen method: for measurements, and for reading how the library is used.
//!
//! `stream export auto|lend|buffered|direct[:IN_FLIGHT] PATH >SINK`
//! `stream import auto|buffered|behind|direct[:IN_FLIGHT] create|file|device[:zeroed] PATH <STREAM`

use std::os::fd::AsFd;
use std::process::ExitCode;

use blockio::stream::{
    Control, ExportOptions, ImportOptions, ReadMethod, Summary, TargetKind, WriteMethod, export,
    import,
};
use blockio::{Error, Result};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(Summary {
            bytes,
            data_bytes,
            seconds,
            ..
        }) => {
            #[expect(clippy::print_stderr, reason = "the example's own report")]
            {
                eprintln!("{bytes} bytes, {data_bytes} of data, {seconds:.3} s");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the example's own report")]
            {
                eprintln!("{}: {error}", error.kind().code());
            }
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<Summary> {
    let duplicate = |fd: std::os::fd::BorrowedFd<'_>| {
        fd.try_clone_to_owned()
            .map_err(|error| Error::internal(error.to_string()))
    };
    let control = Control::default();
    match *words {
        ["export", method, path] => {
            let options = ExportOptions::new(path.into(), duplicate(std::io::stdout().as_fd())?);
            export(
                ExportOptions {
                    method: read_method(method)?,
                    ..options
                },
                &control,
            )
        }
        ["import", method, target, path] => {
            let (kind, zeroed) = match target.split_once(':') {
                Some((kind, "zeroed")) => (kind, true),
                _ => (target, false),
            };
            let kind = match kind {
                "create" => TargetKind::Create,
                "file" => TargetKind::File,
                "device" => TargetKind::Device,
                other => {
                    return Err(Error::invalid(format!(
                        "no kind of target is called {other}"
                    )));
                }
            };
            let options =
                ImportOptions::new(duplicate(std::io::stdin().as_fd())?, kind, path.into());
            import(
                ImportOptions {
                    method: write_method(method)?,
                    zeroed,
                    ..options
                },
                &control,
            )
        }
        _ => Err(Error::invalid(
            "usage: stream export METHOD PATH | import METHOD KIND PATH",
        )),
    }
}

fn read_method(text: &str) -> Result<ReadMethod> {
    Ok(match text.split_once(':').unwrap_or((text, "4")) {
        ("auto", _) => ReadMethod::Auto,
        ("lend", _) => ReadMethod::Lend,
        ("buffered", _) => ReadMethod::Buffered,
        ("direct", in_flight) => ReadMethod::Direct {
            in_flight: number(in_flight)?,
        },
        (other, _) => return Err(Error::invalid(format!("no way to read is called {other}"))),
    })
}

fn write_method(text: &str) -> Result<WriteMethod> {
    Ok(match text.split_once(':').unwrap_or((text, "4")) {
        ("auto", _) => WriteMethod::Auto,
        ("buffered", _) => WriteMethod::Buffered,
        ("behind", _) => WriteMethod::WriteBehind,
        ("direct", in_flight) => WriteMethod::Direct {
            in_flight: number(in_flight)?,
        },
        (other, _) => return Err(Error::invalid(format!("no way to write is called {other}"))),
    })
}

fn number(text: &str) -> Result<usize> {
    text.parse()
        .map_err(|_| Error::invalid(format!("{text} is not a number")))
}
