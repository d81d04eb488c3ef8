//! A node of real size, in a process of its own: what a capture and a restore cost beside the same
//! calls made bare.
//!
//! `capture` and `restore` run on 36,000 entities with the delays of a real node (30 ms for a page,
//! 12 ms for a write); `million` backs up 1,000,000 entities at 2 ms a page and prints the peak of
//! memory. Wall-clock times are compared with wall-clock times of the same run; CPU time is printed
//! beside.

#![expect(clippy::print_stdout, reason = "it reports to people")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a measurement")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gwbackup_core::connect::Settings;
use gwbackup_core::crypt::KeyFile;
use gwbackup_core::model::Scope;
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use gwbackup_core::sink::DirectorySink;
use gwbackup_core::{Context, Copy, Repository};
use gwbackup_kong::testing::KongDouble;
use serde_json::{Value, json};

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
    for (collection, id, entity) in content(what) {
        let (status, answer) = double.request("PUT", &format!("/{collection}/{id}"), &entity);
        assert_eq!(status, 200, "{collection}: {answer}");
    }
    println!("{}", double.url());
    std::io::stdout().flush().unwrap();
    for _ in std::io::stdin().lines() {
        println!("{}", double.traffic().requests);
        std::io::stdout().flush().unwrap();
    }
}

/// Collection, id and body of every entity, parents first.
fn content(what: &str) -> Box<dyn Iterator<Item = (&'static str, String, Value)>> {
    let (services, routes, consumers, keys, plugins) = match what {
        "empty" => (0, 0, 0, 0, 0),
        "real" => (1_000, 5_000, 10_000, 10_000, 10_000),
        "million" => (20_000, 80_000, 600_000, 300_000, 0),
        other => panic!("no set called {other}"),
    };
    let id = |kind: u64, n: u64| format!("{kind:08x}-0000-4000-8000-{n:012x}");
    let service = move |n| {
        let body = json!({ "name": format!("service-{n}"), "host": format!("s{n}.internal") });
        ("services", id(1, n), body)
    };
    let route = move |n: u64| {
        let service = json!({ "id": id(1, n % services) });
        let paths = json!([format!("/r{n}")]);
        (
            "routes",
            id(2, n),
            json!({ "name": format!("route-{n}"), "paths": paths, "service": service }),
        )
    };
    let consumer = move |n| ("consumers", id(3, n), json!({ "username": format!("user-{n}") }));
    let key = move |n| {
        let consumer = json!({ "id": id(3, n) });
        ("key-auths", id(4, n), json!({ "key": format!("key-{n:032}"), "consumer": consumer }))
    };
    let plugin = move |n: u64| {
        let route = json!({ "id": id(2, n / 2) });
        let (name, config) = match n % 2 {
            0 => ("rate-limiting", json!({ "minute": 5 + n % 100, "policy": "local" })),
            _ => ("cors", json!({ "max_age": n })),
        };
        ("plugins", id(5, n), json!({ "name": name, "config": config, "route": route }))
    };
    Box::new(
        (0..services)
            .map(service)
            .chain((0..routes).map(route))
            .chain((0..consumers).map(consumer))
            .chain((0..keys).map(key))
            .chain((0..plugins).map(plugin)),
    )
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

#[derive(serde::Deserialize)]
struct Page {
    offset: Option<String>,
}

/// Fetches every page of these collections, collections side by side, pages one after the other.
async fn fetch_bare(http: &reqwest::Client, url: &str, collections: &[String]) -> u64 {
    let fetch = async |collection: &String| {
        let (mut pages, mut offset) = (0, None::<String>);
        loop {
            let mut page = format!("{url}/{collection}?size=1000");
            if let Some(offset) = &offset {
                page.push_str("&offset=");
                page.extend(url::form_urlencoded::byte_serialize(offset.as_bytes()));
            }
            let body = http.get(page).send().await.unwrap().bytes().await.unwrap();
            pages += 1;
            match serde_json::from_slice::<Page>(&body).unwrap().offset {
                Some(next) => offset = Some(next),
                None => return pages,
            }
        }
    };
    stream::iter(collections)
        .map(fetch)
        .buffer_unordered(CONNECTIONS)
        .fold(0, async |a, b| a + b)
        .await
}

/// Puts everything, level by level, each level in parallel.
async fn put_bare(http: &reqwest::Client, url: &str, what: &str) -> u64 {
    let mut levels: BTreeMap<u8, Vec<(String, String)>> = BTreeMap::new();
    for (collection, id, body) in content(what) {
        let level = match collection {
            "services" | "consumers" => 0,
            "routes" | "key-auths" => 1,
            _ => 2,
        };
        let call = (format!("{url}/{collection}/{id}"), body.to_string());
        levels.entry(level).or_default().push(call);
    }
    let mut done = 0;
    for calls in levels.into_values() {
        let put = async |(url, body): (String, String)| {
            let request = http.put(url).header("content-type", "application/json").body(body);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 200);
            answer.bytes().await.unwrap();
            1
        };
        done += stream::iter(calls)
            .map(put)
            .buffer_unordered(CONNECTIONS)
            .fold(0, async |a, b| a + b)
            .await;
    }
    done
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
    let meter = Meter::start(&mut node);
    let pages = fetch_bare(&http, &node.url, &collections).await;
    let bare = meter.stop("bare pages", &mut node, usize::try_from(pages).unwrap());
    println!("source / bare: {:.2}   backup / bare: {:.2}", drained / bare, backup / bare);
}

async fn restore() {
    let bench = Bench::new().await;
    let connectors = gwbackup_kong::connectors();
    let backup = {
        let node = Served::start("real", 0, 0);
        let source = connectors.source(&node.target(), &Settings::new()).await.unwrap();
        let backup = bench.repository.backup(source).application("a").environment("test");
        backup.run(&bench.cx).await.unwrap().id
    };
    let mut node = Served::start("empty", 30, 12);
    let meter = Meter::start(&mut node);
    let written = put_bare(&http(), &node.url, "real").await;
    let bare = meter.stop("bare puts", &mut node, usize::try_from(written).unwrap());

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
