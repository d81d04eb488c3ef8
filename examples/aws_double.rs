//! A double of AWS API Gateway on a port of its own, for the AWS command line, boto3, or a test of
//! yours.
//!
//! ```console
//! $ cargo run --features aws --example aws_double -- --port 4567
//! http://127.0.0.1:4567
//! $ aws --endpoint-url http://127.0.0.1:4567 --region eu-central-1 apigateway get-rest-apis
//! ```
//!
//! The first line of output is its URL; it runs until it is killed.
#![allow(clippy::print_stdout, reason = "the output of a program")]

use clap::Parser;
use gwbackup::aws::testing::AwsDouble;

/// A double of AWS API Gateway.
#[derive(Parser)]
struct Options {
    /// The port; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The region that it is.
    #[arg(long, default_value = "eu-central-1")]
    region: String,
    /// The account that it belongs to.
    #[arg(long, default_value = "123456789012")]
    account: String,
    /// The service's quotas hold.
    #[arg(long)]
    quotas: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let builder = AwsDouble::builder().port(options.port).region(options.region);
    let builder = builder.account(options.account);
    let builder = if options.quotas { builder.quotas() } else { builder };
    let aws = builder.start().await?;
    println!("{}", aws.url());
    std::future::pending().await
}
