//! The commands. Each is one or two calls of the library.

mod history;
mod keys;
mod make;
mod prove;
mod read;
pub(crate) mod restore;

use clap::CommandFactory as _;
use clap_complete::Shell;
use gwbackup::Result;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::cli::{Audit, Cli, Command, Copies, Global, Keys};
use crate::output::{Outcome, Output, stdout};
use crate::session::Session;

pub(crate) async fn run(
    global: Global,
    command: Command,
    output: &Output,
    cancel: CancellationToken,
) -> Result<Outcome> {
    let session = Session::new(global, *output, cancel)?;
    session.cx.check()?;
    match command {
        #[cfg(feature = "kong")]
        Command::Quickstart(arguments) => crate::quickstart::run(&session, arguments).await,
        Command::Init(arguments) => make::init(&session, arguments).await,
        Command::Backup(arguments) => make::backup(&session, arguments).await,
        Command::List(arguments) => read::list(&session, arguments).await,
        Command::Show(arguments) => read::show(&session, arguments).await,
        Command::Export(arguments) => read::export(&session, arguments).await,
        Command::Verify(arguments) => read::verify(&session, arguments).await,
        Command::Scrub { heal } => read::scrub(&session, heal).await,
        Command::Diff { before, after } => read::diff(&session, &before, &after).await,
        Command::Drift { gateway, backup } => read::drift(&session, &gateway, &backup).await,
        Command::History(arguments) => history::history(&session, arguments).await,
        Command::Plan(arguments) => restore::plan(&session, arguments).await,
        Command::Restore(arguments) => restore::restore(&session, arguments).await,
        Command::Resume(arguments) => restore::resume(&session, arguments).await,
        Command::Rollback(arguments) => restore::roll_back(&session, arguments).await,
        Command::Approve { plan } => restore::approve(&session, &plan).await,
        Command::Drill(arguments) => prove::drill(&session, arguments).await,
        Command::Runbook { what, out } => prove::runbook(&session, &what, out).await,
        Command::Preflight { gateway, purpose } => {
            read::preflight(&session, &gateway, purpose).await
        }
        Command::Audit { what: Audit::List } => read::events(&session).await,
        Command::Audit { what: Audit::Verify } => read::audit(&session).await,
        Command::Status => read::status(&session).await,
        Command::Keys { what: Keys::List } => keys::list(&session).await,
        Command::Keys { what: Keys::Rotate } => keys::rotate(&session).await,
        Command::Copies { what: Copies::List } => read::copies(&session).await,
        Command::Completions { shell } => Ok(completions(shell)),
    }
}

/// Help, with the way in first.
pub(crate) fn welcome() -> Outcome {
    Outcome { text: Cli::command().render_help().to_string(), ..Outcome::default() }
}

pub(crate) fn completions(shell: Shell) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gwbackup", &mut text);
    stdout(&String::from_utf8_lossy(&text));
    Outcome::default()
}

pub(crate) fn version() -> Outcome {
    let features: Vec<&str> = [("kong", cfg!(feature = "kong")), ("aws", cfg!(feature = "aws"))]
        .into_iter()
        .filter_map(|(name, built)| built.then_some(name))
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    let formats = json!({ "archive": 1, "manifest": 1, "event": 1, "trust": 1 });
    Outcome {
        text: format!("gwbackup {version} (features: {})\n", features.join(", ")),
        result: Some(json!({ "version": version, "formats": formats, "features": features })),
        code: 0,
    }
}
