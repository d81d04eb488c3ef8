//! `gwbackup`, the reference command line: arguments in, calls of the library, results out.
//!
//! Nothing is decided here. Who wants an own command line finds in `command/` what each command
//! calls.

#![allow(clippy::format_push_string, clippy::format_collect)] // Short texts for a terminal.
#![allow(clippy::struct_field_names)] // A field is named as the argument is.

mod cli;
mod command;
mod config;
mod document;
mod output;
mod progress;
#[cfg(feature = "kong")]
mod quickstart;
mod secret;
mod secrets;
mod session;
mod table;

use std::process::ExitCode;

use clap::Parser as _;
use gwbackup::Error;
use tokio_util::sync::CancellationToken;

use cli::{Cli, Command};
use output::{Outcome, Output};

fn main() -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return output::usage(&e, wants_json),
    };
    let output = Output::new(cli.global.json, cli.global.color);
    output::logging(&cli.global, output.color());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return output.fail(&Error::from(e)),
    };
    let cancel = CancellationToken::new();
    let result = runtime.block_on(async {
        let mut first = Box::pin(tokio::signal::ctrl_c());
        // From here on an interrupt is a request: nothing has begun yet.
        let _ = futures_util::poll!(&mut first);
        tokio::spawn(interrupts(first, output, cancel.clone()));
        Box::pin(run(cli, &output, cancel)).await
    });
    // A question that nobody answered must not hold the end up.
    runtime.shutdown_background();
    match result {
        Ok(outcome) => output.finish(&outcome),
        Err(e) => output.fail(&e),
    }
}

async fn run(cli: Cli, output: &Output, cancel: CancellationToken) -> gwbackup::Result<Outcome> {
    let Cli { global, version, command } = cli;
    if version {
        return Ok(command::version());
    }
    match command {
        None => Ok(command::welcome()),
        Some(Command::Completions { shell }) => Ok(command::completions(shell)),
        Some(command) => command::run(global, command, output, cancel).await,
    }
}

/// The first interrupt asks for an end, the second does not ask.
async fn interrupts(
    first: impl Future<Output = std::io::Result<()>>,
    output: Output,
    cancel: CancellationToken,
) {
    if first.await.is_err() {
        return;
    }
    cancel.cancel();
    output.say("stopping at the next safe point; interrupt again to stop at once");
    if tokio::signal::ctrl_c().await.is_ok() {
        #[expect(clippy::exit, reason = "the second interrupt means: at once")]
        std::process::exit(i32::from(output::CANCELLED));
    }
}
