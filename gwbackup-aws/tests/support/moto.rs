//! moto, an emulator of AWS that others wrote, and boto3, the SDK that judges what is in it.
//!
//! Both are installed below the target folder at the versions that `tests/peers/moto` pins, and only
//! with `GWBACKUP_PEERS=1` in the environment; then they have to be had. Without it a test of a peer
//! says that it did not run.

#![allow(clippy::expect_used, clippy::print_stderr, reason = "a failure here fails the test")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// A server of its own on a port that was free.
#[derive(Debug)]
pub(crate) struct Moto {
    server: Child,
    pub(crate) url: String,
}

impl Moto {
    /// A fresh one; `None` where peers are not asked for.
    pub(crate) fn start() -> Option<Self> {
        if !std::env::var("GWBACKUP_PEERS").is_ok_and(|value| value == "1") {
            eprintln!("moto was not asked: set GWBACKUP_PEERS=1");
            return None;
        }
        let mut command = Command::new(programs().join("python"));
        command.args(["-u", "-c", "from moto.server import main; main()"]);
        command.args(["-H", "127.0.0.1", "-p", "0"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = command.spawn().expect("a program that was just installed");
        let mut said = BufReader::new(server.stderr.take().expect("a pipe")).lines();
        let url = said.by_ref().map_while(Result::ok).find_map(|line| {
            line.split_once("http://").map(|(_, rest)| format!("http://{}", rest.trim()))
        });
        // It must never wait for somebody to read its log.
        std::thread::spawn(move || said.for_each(drop));
        Some(Self { server, url: url.expect("moto names its port") })
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
        let output = Command::new(programs().join("python"))
            .args(["-c", &format!("{clients}{python}")])
            .output()
            .expect("a program that was just installed");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

impl Drop for Moto {
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
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers").join("moto");
        let pinned = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/moto/requirements.txt");
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
