//! Emulators of AWS that others wrote, and boto3, the SDK that judges what is in them.
//!
//! They are installed below the target folder at the versions that `tests/peers/requirements.txt`
//! pins, and only with `GWBACKUP_PEERS=1` in the environment; then they have to be had. Without it a
//! test of a peer says that it did not run.

#![allow(clippy::expect_used, clippy::print_stderr, reason = "a failure here fails the test")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// A server of its own on a port that was free.
#[derive(Debug)]
pub(crate) struct Peer {
    server: Child,
    pub(crate) url: String,
}

impl Peer {
    /// A fresh moto; `None` where peers are not asked for.
    pub(crate) fn moto() -> Option<Self> {
        Self::start(&["-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", "0"])
    }

    /// A fresh `MiniStack`; `None` where peers are not asked for.
    pub(crate) fn ministack() -> Option<Self> {
        // Without a worker of its own, which would outlive it.
        let app =
            ["-m", "hypercorn", "--workers", "0", "--bind", "127.0.0.1:0", "ministack.app:app"];
        Self::start(&app)
    }

    fn start(python: &[&str]) -> Option<Self> {
        if !std::env::var("GWBACKUP_PEERS").is_ok_and(|value| value == "1") {
            eprintln!("no peer was asked: set GWBACKUP_PEERS=1");
            return None;
        }
        let mut command = Command::new(programs().join("python"));
        // MiniStack's broker of messages would take a port that is not its own.
        command.arg("-u").args(python).env("IOT_MTLS_ENABLED", "0");
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = command.spawn().expect("a program that was just installed");
        let mut said = BufReader::new(server.stderr.take().expect("a pipe")).lines();
        // Both say so as soon as they listen.
        let url = said.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("Running on http://")?;
            Some(format!("http://{}", rest.split_whitespace().next()?))
        });
        // It must never wait for somebody to read its log.
        std::thread::spawn(move || said.for_each(drop));
        Some(Self { server, url: url.expect("a peer names its port") })
    }

    /// Runs lines of Python with boto3's clients `s3` and `kms`; what they print.
    #[track_caller]
    pub(crate) fn ask(&self, python: &str) -> String {
        let clients = format!(
            "import boto3\n\
             def client(name):\n    return boto3.client(name, endpoint_url='{}', \
             region_name='eu-central-1', aws_access_key_id='a', aws_secret_access_key='b')\n\
             s3, kms = client('s3'), client('kms')\n",
            self.url
        );
        printed(Command::new(programs().join("python")).args(["-c", &format!("{clients}{python}")]))
    }

    /// Runs a program of `tests/peers` with the peer's address and these arguments; what it prints.
    #[track_caller]
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(program);
        let mut command = Command::new(programs().join("python"));
        printed(command.arg("-B").arg(at).arg(&self.url).args(arguments))
    }
}

#[track_caller]
fn printed(command: &mut Command) -> String {
    let output = command.output().expect("a program that was just installed");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Whether or not it is there still, it is not after this.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The folder of Python's programs, with everything installed that is pinned.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers").join("python");
        let pinned = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/requirements.txt");
        let pins = std::fs::read(pinned).expect("the pinned versions");
        let programs = home.join(if cfg!(windows) { "Scripts" } else { "bin" });
        // Written last, so that half an installation is made anew.
        let done = home.join("installed.txt");
        if std::fs::read(&done).is_ok_and(|have| have == pins) {
            return programs;
        }
        let run = |command: &mut Command| {
            let output = command.output().expect("GWBACKUP_PEERS=1 needs Python");
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{command:?}: {error}");
        };
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home));
        let mut install = Command::new(programs.join("python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        run(install.args(["--no-deps", "--requirement", pinned]));
        std::fs::write(done, pins).expect("the target folder");
        programs
    })
}
