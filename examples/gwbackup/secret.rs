//! Secrets that the configuration names and does not hold.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use gwbackup::{Error, ErrorKind, Result};
use serde::Deserialize;

/// Where a secret is: `{ env = "NAME" }`, `{ file = "PATH" }` or `{ command = ["PROGRAM", ...] }`.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Secret {
    Env(String),
    File(PathBuf),
    Command(Vec<String>),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Env(_) => "Env",
            Self::File(_) => "File",
            Self::Command(_) => "Command",
        })
    }
}

impl Secret {
    /// The secret, without the line break at its end. What failed is named, never what was read.
    pub(crate) async fn resolve(&self) -> Result<String> {
        let own = self.clone();
        tokio::task::spawn_blocking(move || own.read())
            .await
            .map_err(|_| Error::new(ErrorKind::Other, "reading a secret failed"))?
    }

    fn read(&self) -> Result<String> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|_| {
                Error::invalid("the variable that holds a secret is not set, or is no text")
                    .on(name)
                    .help("set it, or correct the configuration")
            })?,
            Self::File(path) => std::fs::read_to_string(path).map_err(|e| {
                Error::invalid(format!("the file that holds a secret cannot be read: {}", e.kind()))
                    .on(path.display())
                    .help("correct the path or the file's permissions")
            })?,
            Self::Command(words) => output_of(words)?,
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(Error::invalid("a secret that the configuration names is empty"));
        }
        Ok(text.to_owned())
    }
}

/// What a program writes, called without a shell.
fn output_of(words: &[String]) -> Result<String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::invalid("a command for a secret names no program"));
    };
    let failed = |why: String| {
        Error::invalid(format!("the command for a secret failed: {why}"))
            .on(program)
            .help("run it by hand: it must end with 0 and write the secret alone")
    };
    let ran = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| failed(e.kind().to_string()))?;
    if !ran.status.success() {
        return Err(failed(ran.status.to_string()));
    }
    String::from_utf8(ran.stdout).map_err(|_| failed("it wrote no text".to_owned()))
}
