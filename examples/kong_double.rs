//! A double of Kong's Admin API on a port of its own, for curl, decK, or a test of yours.
//!
//! ```console
//! $ cargo run --features kong --example kong_double -- --port 8001 --load kong.yml
//! http://127.0.0.1:8001
//! ```
//!
//! The first line of output is its URL; it runs until it is killed.
#![allow(clippy::print_stdout, reason = "the output of a program")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use gwbackup::kong::testing::{KongDouble, Sizes};

/// A double of Kong's Admin API.
#[derive(Parser)]
struct Options {
    /// The port; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A port for its proxy; 0 lets the system choose. Its URL is the second line of output.
    #[arg(long)]
    proxy_port: Option<u16>,
    /// A declarative file, or a state as JSON: {"services": [...], ...}.
    #[arg(long, value_name = "FILE")]
    load: Option<PathBuf>,
    /// A node without a database.
    #[arg(long)]
    db_less: bool,
    /// The version that the node says it has.
    #[arg(long, default_value = "3.9.1")]
    kong_version: String,
    /// How long a request that reads takes, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    page_delay: u64,
    /// How long a request that writes takes, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    write_delay: u64,
    /// Makes up entities: a number of consumers with the usual rest, or a list such as
    /// `consumers=600000,key-auths=300000,services=50000,routes=50000`.
    #[arg(long, value_name = "N", value_parser = sizes)]
    generate: Option<Sizes>,
}

fn sizes(text: &str) -> anyhow::Result<Sizes> {
    if let Ok(consumers) = text.parse() {
        return Ok(Sizes::around(consumers));
    }
    let mut sizes = Sizes::default();
    for part in text.split(',') {
        let (name, count) = part.split_once('=').context("expected is a number, or KIND=N,...")?;
        let count = count.parse()?;
        match name {
            "services" => sizes.services = count,
            "routes" => sizes.routes = count,
            "consumers" => sizes.consumers = count,
            "key-auths" => sizes.key_auths = count,
            "plugins" => sizes.plugins = count,
            other => bail!("nothing is known about {other}"),
        }
    }
    Ok(sizes)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let builder = KongDouble::builder()
        .port(options.port)
        .version(options.kong_version)
        .page_delay(Duration::from_millis(options.page_delay))
        .write_delay(Duration::from_millis(options.write_delay));
    let builder = if options.db_less { builder.db_less() } else { builder };
    let builder = match options.proxy_port {
        Some(port) => builder.proxy(port),
        None => builder,
    };
    let kong = builder.start().await?;
    if let Some(path) = options.load {
        kong.load(&std::fs::read_to_string(path)?)?;
    }
    if let Some(sizes) = &options.generate {
        kong.generate(sizes)?;
    }
    println!("{}", kong.url());
    if let Some(proxy) = kong.proxy_url() {
        println!("{proxy}");
    }
    std::future::pending().await
}
