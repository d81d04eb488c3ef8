//! What the user gets: results on stdout, words on stderr, and the exit code.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::ColorChoice;
use gwbackup::restore::RunStatus;
use gwbackup::{Error, ErrorKind};
use serde::Serialize;
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use crate::cli::{Global, LogFormat};

pub(crate) const DIFFERENCES: u8 = 2;
pub(crate) const PARTIAL: u8 = 3;
pub(crate) const PREFLIGHT: u8 = 13;
pub(crate) const INTEGRITY: u8 = 14;
pub(crate) const USAGE: u8 = 64;
pub(crate) const CANCELLED: u8 = 130;

/// The exit code of an error.
pub(crate) fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::NotFound => 10,
        ErrorKind::KeyUnavailable => 12,
        ErrorKind::Denied | ErrorKind::Unauthenticated => PREFLIGHT,
        ErrorKind::Corrupt => INTEGRITY,
        ErrorKind::Refused | ErrorKind::Conflict => 15,
        ErrorKind::Invalid => USAGE,
        ErrorKind::Cancelled => CANCELLED,
        _ => 1,
    }
}

/// The exit code of a run's end.
pub(crate) fn run_code(status: RunStatus) -> u8 {
    match status {
        RunStatus::Success => 0,
        RunStatus::Partial => PARTIAL,
        RunStatus::RolledBack => 16,
        RunStatus::RollbackIncomplete => 17,
        RunStatus::Cancelled => CANCELLED,
        _ => 1,
    }
}

/// What a command came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The exit code.
    pub(crate) code: u8,
    /// The result for programs.
    pub(crate) result: Option<Value>,
    /// The result for people.
    pub(crate) text: String,
}

impl Outcome {
    /// A result and what people see of it.
    pub(crate) fn new(result: &impl Serialize, text: impl Into<String>) -> gwbackup::Result<Self> {
        let result = serde_json::to_value(result)
            .map_err(|_| Error::invalid("the result cannot be written as JSON"))?;
        Ok(Self { code: 0, result: Some(result), text: text.into() })
    }

    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

/// The two streams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    color: bool,
}

impl Output {
    pub(crate) fn new(json: bool, color: ColorChoice) -> Self {
        let color = match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
            }
        };
        Self { json, color }
    }

    pub(crate) fn json(self) -> bool {
        self.json
    }

    pub(crate) fn color(self) -> bool {
        self.color
    }

    /// Words for people.
    #[expect(clippy::unused_self, reason = "said by whoever writes the results, too")]
    pub(crate) fn say(self, text: impl std::fmt::Display) {
        // Nobody can be told that stderr is gone.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// A line before the result.
    pub(crate) fn line(self, value: &Value) {
        if self.json {
            stdout(&format!("{value}\n"));
        }
    }

    pub(crate) fn finish(self, outcome: &Outcome) -> ExitCode {
        match &outcome.result {
            Some(result) if self.json => stdout(&format!("{result}\n")),
            _ => stdout(&outcome.text),
        }
        ExitCode::from(outcome.code)
    }

    pub(crate) fn fail(self, error: &Error) -> ExitCode {
        let (red, plain) = if self.color { ("\u{1b}[31m", "\u{1b}[0m") } else { ("", "") };
        self.say(format_args!("{red}error:{plain} {}", text_of(error)));
        if let Some(help) = error.advice() {
            self.say(format_args!("  help: {help}"));
        }
        let code = code(error.kind());
        let mut told = exit_error(code, error.kind(), &text_of(error), error.advice());
        if let Some(reason) = error.reason() {
            told["reason"] = reason.into();
        }
        self.line(&told);
        ExitCode::from(code)
    }
}

fn text_of(error: &Error) -> String {
    let mut text = error.to_string();
    let mut below = std::error::Error::source(error);
    while let Some(source) = below {
        text = format!("{text}: {source}");
        below = source.source();
    }
    text
}

fn exit_error(code: u8, kind: ErrorKind, message: &str, help: Option<&str>) -> Value {
    json!({
        "message_type": "exit_error",
        "code": code,
        "kind": snake(&format!("{kind:?}")),
        "message": message,
        "help": help,
    })
}

/// `NotFound` as `not_found`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// Ends for arguments that cannot be read, and for the help that was asked for.
pub(crate) fn usage(error: &clap::Error, json: bool) -> ExitCode {
    // Nobody can be told that the stream is gone.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if json {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default();
        let message = first.strip_prefix("error: ").unwrap_or(first);
        let help = Some("see `gwbackup --help`");
        stdout(&format!("{}\n", exit_error(USAGE, ErrorKind::Invalid, message, help)));
    }
    ExitCode::from(USAGE)
}

/// Writes to stdout; a reader who went away is no error of ours.
pub(crate) fn stdout(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Log lines on stderr.
pub(crate) fn logging(global: &Global, color: bool) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    let filter = match std::env::var("RUST_LOG") {
        Ok(wanted) if global.verbose == 0 && !global.quiet => EnvFilter::new(wanted),
        _ => EnvFilter::new(level),
    };
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(color)
        .with_env_filter(filter);
    match global.log_format {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => log.without_time().with_target(false).init(),
    }
}
