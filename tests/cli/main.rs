//! The reference command line, run as its users run it.

#![allow(
    clippy::unwrap_used,
    clippy::similar_names,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::too_many_lines,
    reason = "a test fails by panicking, and its texts are short"
)]

#[cfg(feature = "aws")]
mod aws;
mod codes;
mod configuration;
mod damage;
mod history;
#[cfg(unix)]
mod interrupt;
#[cfg(unix)]
mod kill;
mod kong;
#[cfg(feature = "aws")]
mod metrics;
mod moving;
mod options;
#[path = "../../gwbackup-kong/tests/support/peers.rs"]
mod peers;
#[cfg(unix)]
mod rehearse;
mod secrecy;
mod story;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

/// What a real Kong exported.
pub(crate) fn export() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gwbackup-kong/tests/fixtures/12-export.yml")
}

/// The example, beside the directory of this test's binary. Cargo builds examples only for some
/// ways to start the tests, so this asks for it, once: an old one would be tested instead.
pub(crate) fn program() -> PathBuf {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let own = std::env::current_exe().unwrap();
        let name = format!("gwbackup{}", std::env::consts::EXE_SUFFIX);
        let path = own.ancestors().nth(2).unwrap().join("examples").join(name);
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "build",
            "--quiet",
            "--offline",
            "--example",
            "gwbackup",
            "--features",
            if cfg!(feature = "aws") { "kong,aws" } else { "kong" },
        ]);
        cargo.args((!cfg!(debug_assertions)).then_some("--release"));
        let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        path
    });
    PROGRAM.clone()
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// The result: the last line.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.out.lines().last().unwrap()).unwrap()
    }

    /// It failed, says so in its last line, and says what to do.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, word: &str) -> Self {
        let ran = self.ends(code);
        let last = ran.json();
        assert_eq!(last["message_type"], "exit_error");
        assert_eq!(last["code"], code);
        let text = format!("{} {}", last["message"], last["help"]);
        assert!(text.contains(word), "{word:?} is not in {text}");
        assert!(ran.err.contains("error:"));
        ran
    }
}

/// A repository on two directories, a key, a gateway in a file.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) dir: TempDir,
}

impl World {
    /// Directories and a gateway; no repository yet.
    pub(crate) fn empty() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        for name in ["a", "b", "keys"] {
            std::fs::create_dir(world.path(name)).unwrap();
        }
        std::fs::copy(export(), world.path("kong.yml")).unwrap();
        world
    }

    /// With a repository.
    pub(crate) fn new() -> Self {
        let world = Self::empty();
        world.run(&["init", "--kit", &world.text("keys/kit")]).ends(0);
        world
    }

    /// With a repository and a full backup in it.
    pub(crate) fn with_backup() -> Self {
        let world = Self::new();
        world.back_up("full").ends(0);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) fn back_up(&self, kind: &str) -> Ran {
        let file = self.text("kong.yml");
        self.run(&["backup", &file, "--app", "shop", "--env", "prod", "--type", kind, "--json"])
    }

    /// The call, not yet made.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        self.surround(&mut command);
        command.args(arguments);
        command
    }

    /// The surroundings of a call.
    pub(crate) fn surround(&self, command: &mut Command) {
        command
            .env_remove("RUST_LOG")
            .env_remove("GWBACKUP_CONFIG")
            .env("GWBACKUP_REPO", format!("{}\n{}", self.text("a"), self.text("b")))
            .env("GWBACKUP_KEY", self.text("keys/key"))
            .env("GWBACKUP_STATE", self.text("state"))
            .env("GWBACKUP_ACTOR", "tester")
            .current_dir(self.dir.path())
            .stdin(std::process::Stdio::null());
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// Every file below these, with its content.
    pub(crate) fn files(&self, below: &[&str]) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut open: Vec<PathBuf> = below.iter().map(|name| self.path(name)).collect();
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.exists() {
                files.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
        files
    }

    /// The files whose path ends so, in the copy.
    pub(crate) fn ending(&self, copy: &str, ending: &str) -> Vec<PathBuf> {
        let fits = |path: &PathBuf| path.to_string_lossy().ends_with(ending);
        self.files(&[copy]).into_keys().filter(fits).collect()
    }
}
