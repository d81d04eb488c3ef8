//! The way past the Admin API: a program that imports a declarative file.

use std::fmt::Debug;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::{Context, Error, Result};
use tokio::process::Command;

/// How long a program may take.
const LIMIT: Duration = Duration::from_mins(10);

/// Imports a declarative file into the database of the node that is written, as it stands: like
/// `kong config db_import FILE`, which hashes nothing of a file with `_transform: false`, updates
/// what is there and deletes nothing.
#[async_trait]
pub trait ImportHook: Debug + Send + Sync + 'static {
    /// Imports the file. It holds hashes of secrets, in a folder of its own that only this user can
    /// read; it is removed when this returns or is dropped. The same file may come again.
    async fn import(&self, cx: &Context, file: &Path) -> Result<()>;
}

impl dyn ImportHook {
    /// Imports a text, through a file that is gone afterwards.
    pub(super) async fn import_text(&self, cx: &Context, text: String) -> Result<()> {
        let folder = tokio::task::spawn_blocking(move || lay_down(&text)).await;
        let folder = folder
            .map_err(|e| Error::new(ErrorKind::Other, "writing a file stopped").with_source(e))??;
        let ended = self.import(cx, &folder.path().join(NAME)).await;
        let removed = tokio::task::spawn_blocking(move || folder.close()).await;
        match (&ended, removed) {
            (Ok(()), Ok(Err(e))) => Err(Error::from(e).on("the file that was imported")),
            _ => ended,
        }
    }
}

const NAME: &str = "import.yml";

/// A folder for this user alone, with the file in it.
fn lay_down(text: &str) -> Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("gwbackup-").tempdir()?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(folder.path().join(NAME))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(folder)
}

/// The operator's program: its words as they are, with `{file}` replaced; no shell. What it prints
/// may quote the file, so nobody reads it.
#[derive(Debug)]
pub(super) struct Program {
    words: Vec<String>,
}

impl Program {
    pub(super) fn new(words: Vec<String>) -> Self {
        Self { words }
    }
}

#[async_trait]
impl ImportHook for Program {
    async fn import(&self, cx: &Context, file: &Path) -> Result<()> {
        let (Some((name, words)), Some(file)) = (self.words.split_first(), file.to_str()) else {
            return Err(Error::invalid("there is no program, or no file that it could be told"));
        };
        let mut program = Command::new(name);
        program.args(words.iter().map(|word| word.replace("{file}", file)));
        program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        program.kill_on_drop(true);
        let mut child = program.spawn().map_err(|e| Error::from(e).on(name))?;
        let ended = tokio::select! {
            ended = child.wait() => ended,
            () = cx.cancellation().cancelled() => return cx.check(),
            () = cx.clock().sleep(LIMIT) => {
                let what = "the program that imports did not end within ten minutes";
                return Err(Error::new(ErrorKind::Other, what).on(name));
            }
        };
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                let what = format!("the program that imports failed ({status})");
                Err(Error::new(ErrorKind::Other, what)
                    .on(name)
                    .help("try it with a file of your own: what it prints is not shown here"))
            }
            Err(e) => Err(Error::from(e).on(name)),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn shell(script: &str) -> Program {
        Program::new(["/bin/sh", "-c", script, "{file}"].map(str::to_owned).to_vec())
    }

    async fn run(program: &Program) -> Result<()> {
        let hook: &dyn ImportHook = program;
        hook.import_text(&Context::new(), "hush\n".to_owned()).await
    }

    #[tokio::test]
    async fn a_program_gets_a_private_file_that_is_gone_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let (copy, name) = (folder.path().join("copy"), folder.path().join("name"));
        let script =
            format!("cp -p \"$0\" '{}'; echo \"$0\" > '{}'", copy.display(), name.display());
        run(&shell(&script)).await.unwrap();
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), "hush\n");
        assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        let name = std::fs::read_to_string(&name).unwrap();
        let file = Path::new(name.trim());
        assert!(!file.exists() && !file.parent().unwrap().exists(), "{name}");
    }

    #[tokio::test]
    async fn a_program_that_fails_is_told_without_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("name");
        let script = format!("cat \"$0\" >&2; echo \"$0\" > '{}'; exit 3", name.display());
        let error = run(&shell(&script)).await.unwrap_err();
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        assert!(error.to_string().contains("status: 3"), "{error}");
        assert!(!Path::new(std::fs::read_to_string(&name).unwrap().trim()).exists());
        let absent = Program::new(vec!["/nowhere/kong".into(), "{file}".into()]);
        assert!(run(&absent).await.is_err());
    }

    #[tokio::test]
    async fn a_cancelled_run_stops_the_program() {
        let token = tokio_util::sync::CancellationToken::new();
        let cx = Context::new().with_cancellation(token.clone());
        token.cancel();
        let program = shell("sleep 600");
        let hook: &dyn ImportHook = &program;
        let error = hook.import_text(&cx, String::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }
}
