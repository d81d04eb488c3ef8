//! Backs up a gateway, verifies the backup, loses half of the gateway and brings it back. Everything
//! lies in memory: no account, no service, nothing to clean up.
//!
//! ```text
//! cargo run --example quickstart
//! ```

#![allow(clippy::print_stdout, reason = "an example tells what happens")]

use std::sync::Arc;

use gwbackup::crypt::Passphrase;
use gwbackup::report::GoLive;
use gwbackup::restore::ApplyOptions;
use gwbackup::sink::MemorySink;
use gwbackup::testing::MemoryGateway;
use gwbackup::verify::Depth;
use gwbackup::{Context, Copy, Repository, Result};

#[tokio::main]
async fn main() -> Result<()> {
    println!("verdict: {}", run().await?);
    Ok(())
}

async fn run() -> Result<GoLive> {
    let cx = Context::new().with_actor("quickstart").with_reason("trying it out");
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 100);

    // A repository on two copies. The kit comes back once: whoever holds it can open everything.
    let copies = [("disk", MemorySink::named("a")), ("tape", MemorySink::named("b"))]
        .map(|(medium, sink)| Copy::new(Arc::new(sink)).medium(medium));
    let key = Arc::new(Passphrase::new("correct horse battery staple")?);
    let (mut new, mut existing) = (Repository::create(), Repository::builder());
    for copy in copies {
        (new, existing) = (new.copy(copy.clone()), existing.copy(copy));
    }
    let created = new.key(Arc::clone(&key) as _).run(&cx).await?;
    let repository = existing.key(key).expect(created.id).open(&cx).await?;

    // Back up, and look whether every byte can be read again on every copy.
    let backup =
        repository.backup(Arc::new(gateway.clone())).application("shop").environment("prod");
    let made = backup.run(&cx).await?;
    println!("{:?}: {} resources", made.status, made.resources);
    let verified = repository.verify().depth(Depth::Full).run(&cx).await?;
    println!("verified: {} failures", verified.failures.len());

    // An accident, and the way back. The plan is a value: look at it before anything is written.
    let keys: Vec<_> = gateway.resources().into_iter().map(|resource| resource.key).collect();
    let lost = keys.iter().rev().step_by(2).filter(|key| gateway.remove(key)).count();
    println!("lost: {lost} resources");
    let latest = repository.find(&cx, "latest").await?;
    let prepared = repository.restore(&latest, Arc::new(gateway.clone())).plan(&cx).await?;
    println!("plan: {} to create", prepared.plan().summary.create);
    let outcome = prepared.apply(&cx, &ApplyOptions::default()).await?;
    println!("\n{}", outcome.report.to_markdown());
    Ok(outcome.report.verdict)
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn it_ends_with_go() {
        assert_eq!(super::run().await.unwrap(), super::GoLive::Go);
    }
}
