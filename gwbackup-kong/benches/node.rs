//! A node of real size, in a process of its own: what a capture and a restore cost beside the same
//! calls made bare.
//!
//! `capture` and `restore` run on 36,000 entities with the delays of a real node (30 ms for a page,
//! 12 ms for a write); `million` backs up 1,000,000 entities at 2 ms a page and prints the peak of
//! memory. Wall-clock times are compared with wall-clock times of the same run; CPU time is printed
//! beside.

#![expect(clippy::print_stdout, reason = "it reports to people")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a measurement")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gwbackup_core::connect::Settings;
use gwbackup_core::crypt::KeyFile;
use gwbackup_core::model::Scope;
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use gwbackup_core::sink::DirectorySink;
use gwbackup_core::{Context, Copy, Repository};
use gwbackup_kong::testing::{KongDouble, Sizes};
use serde_json::Value;
use serde_json::value::RawValue;

/// Calls at one time, ours and the bare ones.
const CONNECTIONS: usize = 8;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match words.as_slice() {
            ["serve", what, page, write] => serve(what, millis(page), millis(write)).await,
            ["capture"] => capture().await,
            ["restore"] => restore().await,
            ["million"] => million().await,
            _ => println!("usage: cargo bench --bench node -- capture | restore | million"),
        }
    });
}

fn millis(text: &str) -> Duration {
    Duration::from_millis(text.parse().unwrap())
}

// ---------- the node, in a process of its own ----------

/// Runs a double until its input ends; each line of input is answered with the calls so far.
async fn serve(what: &str, page: Duration, write: Duration) {
    let double = KongDouble::builder().page_delay(page).write_delay(write).start().await.unwrap();
    let sizes = match what {
        "empty" => Sizes::default(),
        "real" => Sizes::around(10_000),
        "million" => Sizes {
            services: 20_000,
            routes: 80_000,
            consumers: 600_000,
            key_auths: 300_000,
            plugins: 0,
        },
        other => panic!("no set called {other}"),
    };
    double.generate(&sizes).unwrap();
    println!("{}", double.url());
    std::io::stdout().flush().unwrap();
    for _ in std::io::stdin().lines() {
        println!("{}", double.traffic().requests);
        std::io::stdout().flush().unwrap();
    }
}

/// A double in a process of its own.
struct Served {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    url: String,
}

impl Served {
    fn start(what: &str, page_ms: u32, write_ms: u32) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["serve", what, &page_ms.to_string(), &write_ms.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut url = String::new();
        output.read_line(&mut url).unwrap();
        Self { child, input, output, url: url.trim().to_owned() }
    }

    /// Calls so far.
    fn calls(&mut self) -> u64 {
        writeln!(self.input.as_mut().unwrap()).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }

    fn target(&self) -> String {
        format!("kong+{}?connections={CONNECTIONS}", self.url)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.input = None;
        self.child.wait().unwrap();
    }
}

// ---------- bare calls ----------

/// Parents first; each level in parallel.
const LEVELS: [&[&str]; 3] = [&["services", "consumers"], &["routes", "key-auths"], &["plugins"]];

#[derive(serde::Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    offset: Option<String>,
}

#[derive(serde::Deserialize)]
struct Row {
    id: String,
}

/// Fetches every page of this collection, one after the other.
async fn fetch(http: &reqwest::Client, url: &str, collection: &str) -> Vec<Bytes> {
    let (mut pages, mut offset) = (Vec::new(), None::<String>);
    loop {
        let mut page = format!("{url}/{collection}?size=1000");
        if let Some(offset) = &offset {
            page.push_str("&offset=");
            page.extend(url::form_urlencoded::byte_serialize(offset.as_bytes()));
        }
        let body = http.get(page).send().await.unwrap().bytes().await.unwrap();
        offset = serde_json::from_slice::<Page>(&body).unwrap().offset;
        pages.push(body);
        if offset.is_none() {
            return pages;
        }
    }
}

/// All pages of these collections, so many lists side by side.
async fn fetch_all(
    http: &reqwest::Client,
    url: &str,
    collections: &[String],
    at_once: usize,
) -> usize {
    let lists = stream::iter(collections).map(|collection| fetch(http, url, collection));
    lists.buffer_unordered(at_once).map(|pages| pages.len()).fold(0, async |a, b| a + b).await
}

/// Puts these, in parallel.
async fn put_all(http: &reqwest::Client, url: &str, levels: &[Vec<(String, String)>]) -> usize {
    for calls in levels {
        let put = async |(path, body): &(String, String)| {
            let request = http.put(format!("{url}/{path}")).body(body.clone());
            let answer = request.header("content-type", "application/json").send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 200);
            answer.bytes().await.unwrap();
        };
        stream::iter(calls).map(put).buffer_unordered(CONNECTIONS).collect::<Vec<()>>().await;
    }
    levels.iter().map(Vec::len).sum()
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().tcp_nodelay(true).build().unwrap()
}

// ---------- ours ----------

struct Bench {
    cx: Context,
    repository: Repository,
    _directory: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let cx = Context::new().with_actor("bench");
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let key = Arc::new(KeyFile::generate(directory.path().join("key"), None).unwrap());
        let sink = Arc::new(DirectorySink::open(directory.path().join("copy")).await.unwrap());
        let new = Repository::create().key(Arc::clone(&key) as _).state(&state);
        new.copy(Copy::new(Arc::clone(&sink) as _)).run(&cx).await.unwrap();
        let builder = Repository::builder().key(key).state(&state).copy(Copy::new(sink));
        let repository = builder.open(&cx).await.unwrap();
        Self { cx, repository, _directory: directory }
    }
}

async fn capture() {
    let mut node = Served::start("real", 30, 12);
    let connectors = gwbackup_kong::connectors();
    let bench = Bench::new().await;
    let source = connectors.source(&node.target(), &Settings::new()).await.unwrap();

    let meter = Meter::start(&mut node);
    let description = source.describe(&bench.cx).await.unwrap();
    let all: Vec<_> = source
        .read(&bench.cx, &description, &Scope::everything(), None)
        .try_collect()
        .await
        .unwrap();
    let drained = meter.stop("source alone", &mut node, all.len());
    drop(all);

    let meter = Meter::start(&mut node);
    let backup = bench.repository.backup(Arc::clone(&source)).application("a").environment("test");
    let made = backup.run(&bench.cx).await.unwrap();
    let backup = meter.stop("backup", &mut node, usize::try_from(made.resources).unwrap());

    // The same collections, by a client that does nothing else.
    let http = http();
    let root: Value = serde_json::from_slice(
        &http.get(format!("{}/endpoints", node.url)).send().await.unwrap().bytes().await.unwrap(),
    )
    .unwrap();
    let mut collections = Vec::new();
    for path in root["data"].as_array().unwrap() {
        let path = path.as_str().unwrap().trim_start_matches('/');
        let plain = !path.is_empty() && !path.contains('/') && !path.contains('{');
        if !plain {
            continue;
        }
        let answer = http.get(format!("{}/{path}?size=1", node.url)).send().await.unwrap();
        if answer.status().is_success()
            && serde_json::from_slice::<Value>(&answer.bytes().await.unwrap())
                .is_ok_and(|page| page["data"].is_array())
        {
            collections.push(path.to_owned());
        }
    }
    for (at_once, what) in [(1, "bare, list by list"), (CONNECTIONS, "bare, lists side by side")] {
        let meter = Meter::start(&mut node);
        let pages = fetch_all(&http, &node.url, &collections, at_once).await;
        let bare = meter.stop(what, &mut node, pages);
        println!("source / bare: {:.2}   backup / bare: {:.2}", drained / bare, backup / bare);
    }
}

async fn restore() {
    let bench = Bench::new().await;
    let connectors = gwbackup_kong::connectors();
    let http = http();
    let mut levels = Vec::new();
    let backup = {
        let node = Served::start("real", 0, 0);
        for collections in LEVELS {
            let mut calls = Vec::new();
            for collection in collections {
                for page in fetch(&http, &node.url, collection).await {
                    let page: Page = serde_json::from_slice(&page).unwrap();
                    calls.extend(page.data.iter().map(|row| {
                        let id = serde_json::from_str::<Row>(row.get()).unwrap().id;
                        // A time to live of null is what Kong does not take back.
                        let body = row.get().replace(r#""ttl":null,"#, "");
                        let body = body.replace(r#","ttl":null"#, "");
                        (format!("{collection}/{id}"), body)
                    }));
                }
            }
            levels.push(calls);
        }
        let source = connectors.source(&node.target(), &Settings::new()).await.unwrap();
        let backup = bench.repository.backup(source).application("a").environment("test");
        backup.run(&bench.cx).await.unwrap().id
    };
    let mut node = Served::start("empty", 30, 12);
    let meter = Meter::start(&mut node);
    let written = put_all(&http, &node.url, &levels).await;
    let bare = meter.stop("bare puts", &mut node, written);
    drop(levels);

    let mut node = Served::start("empty", 30, 12);
    let target = connectors.target(&node.target(), &Settings::new()).await.unwrap();
    let info = bench.repository.find(&bench.cx, &backup.to_string()).await.unwrap();
    let meter = Meter::start(&mut node);
    let plan = bench.repository.restore(&info, Arc::clone(&target)).plan(&bench.cx).await.unwrap();
    meter.stop("plan", &mut node, 0);
    let done = plan.apply(&bench.cx, &ApplyOptions::default()).await.unwrap();
    assert_eq!(done.report.status, RunStatus::Success, "{:?}", done.report.failures);
    let ours = meter.stop("plan and restore", &mut node, 36_000);
    println!("rate of the bare puts: {:.0} %", 100.0 * bare / ours);

    let meter = Meter::start(&mut node);
    let plan = bench.repository.restore(&info, target).plan(&bench.cx).await.unwrap();
    let summary = &plan.plan().summary;
    let again = summary.create + summary.update + summary.replace + summary.delete;
    meter.stop("second plan", &mut node, usize::try_from(again).unwrap());
    assert_eq!(again, 0, "a second restore writes nothing");
}

async fn million() {
    let mut node = Served::start("million", 2, 0);
    let bench = Bench::new().await;
    let source =
        gwbackup_kong::connectors().source(&node.target(), &Settings::new()).await.unwrap();
    let meter = Meter::start(&mut node);
    let backup = bench.repository.backup(source).application("a").environment("test");
    let made = backup.run(&bench.cx).await.unwrap();
    meter.stop("backup", &mut node, usize::try_from(made.resources).unwrap());
    println!("peak of memory: {} MiB", peak_mib());
}

/// Time by the wall, CPU time of this process, and calls of the node.
#[derive(Clone, Copy)]
struct Meter {
    begun: Instant,
    cpu: u64,
    calls: u64,
}

impl Meter {
    #[expect(clippy::disallowed_methods, reason = "it measures")]
    fn start(node: &mut Served) -> Self {
        let calls = node.calls();
        Self { begun: Instant::now(), cpu: cpu(), calls }
    }

    /// Prints a line and gives the seconds by the wall.
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn stop(self, what: &str, node: &mut Served, count: usize) -> f64 {
        let wall = self.begun.elapsed().as_secs_f64();
        let cpu = (cpu() - self.cpu) as f64 / 1e9;
        let calls = node.calls() - self.calls;
        println!("{what}: {count} in {wall:.2} s, {cpu:.2} s CPU, {calls} calls");
        wall
    }
}

/// CPU time of this process so far, in nanoseconds: the node's is not in it.
fn cpu() -> u64 {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::ProcessCPUTime);
        u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
    }
    #[cfg(not(unix))]
    {
        panic!("CPU time is measured on Unix only")
    }
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
