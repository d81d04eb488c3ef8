//! The double of Kong as a program of its own.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The program, killed when the test is over.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str]) -> (Running, String) {
    // Cargo puts examples beside the directory of this test's binary.
    let own = std::env::current_exe().unwrap();
    let name = format!("kong_double{}", std::env::consts::EXE_SUFFIX);
    let program: PathBuf = own.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(program.exists(), "build the example first: {}", program.display());
    let child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut running = Running(child);
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (running, line.trim().to_owned())
}

fn get(url: &str, path: &str) -> String {
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_serves_what_it_is_given_at_the_url_of_its_first_line() {
    let export = concat!(env!("CARGO_MANIFEST_DIR"), "/gwbackup-kong/tests/fixtures/12-export.yml");
    let (_running, url) = start(&["--load", export, "--generate", "consumers=3,key-auths=3"]);
    let service = get(&url, "/services/harbor-orders");
    assert!(service.starts_with("HTTP/1.1 200 OK\r\n") && service.contains("orders.upstream"));
    let consumers = get(&url, "/consumers");
    assert_eq!(consumers.matches("\"custom_id\":\"c-").count(), 3);
}

#[test]
fn without_a_database_it_loads_a_file_whole() {
    let export = concat!(env!("CARGO_MANIFEST_DIR"), "/gwbackup-kong/tests/fixtures/12-export.yml");
    let (_running, url) = start(&["--db-less", "--load", export]);
    let status = get(&url, "/status");
    assert!(status.contains("configuration_hash") && !status.contains(&"0".repeat(32)));
}
