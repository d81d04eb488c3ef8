//! A gateway without a mark of its own moves while it is read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{Bench, look};
use gwbackup_core::backup::BackupReport;
use gwbackup_core::catalog::State;
use gwbackup_core::model::{Document, Id, Key, Kind, Resource};
use gwbackup_core::repository::BackupInfo;
use gwbackup_core::testing::MemoryGateway;

fn key(kind: &'static str, id: &str) -> Key {
    Key::new(Kind::known(kind), Id::new(id).unwrap())
}

fn thing(kind: &'static str, id: &str, text: &str) -> Resource {
    Resource::new(key(kind, id), Document::parse(text).unwrap())
}

async fn take(bench: &Bench, gateway: &MemoryGateway) -> (BackupReport, BackupInfo) {
    let repository = bench.open().await;
    let backup = repository.backup(Arc::new(gateway.clone())).application("a").environment("e");
    let made = backup.run(&bench.cx).await.unwrap();
    let info = repository.find(&bench.cx, &made.id.to_string()).await.unwrap();
    let read = look::backup(&bench.cx, &repository, &info).await.unwrap();
    assert_eq!(read, look::gateway(gateway), "what was read last is what counts");
    (made, info)
}

fn unmarked() -> MemoryGateway {
    let gateway = MemoryGateway::kong_like().with_revisions(false);
    gateway.populate(1, 60);
    gateway
}

#[tokio::test]
async fn a_gateway_at_rest_is_read_once() {
    let (made, info) = take(&Bench::new(1).await, &unmarked()).await;
    assert_eq!((made.status, info.details().window.passes), (State::Success, 1));
    assert_eq!(made.consistency, "fuzzy", "nobody can tell");
}

#[tokio::test]
async fn a_route_whose_service_came_too_late_asks_for_another_reading() {
    let gateway = unmarked();
    let services = gateway.resources().iter().filter(|r| r.key.kind.as_str() == "service").count();
    gateway.during_read(services, |contents| {
        contents.put(&thing("service", "late", r#"{"id":"late","name":"late"}"#));
        let route = r#"{"id":"r","name":"r","service":{"id":"late"}}"#;
        contents.put(&thing("route", "r", route));
    });
    let (made, info) = take(&Bench::new(1).await, &gateway).await;
    assert_eq!(made.status, State::Success, "{:?}", made.gaps);
    assert!(info.details().window.passes > 1);
    assert!(gateway.resource(&key("service", "late")).is_some());
}

#[tokio::test]
async fn what_always_dangles_is_how_the_gateway_is() {
    let gateway = unmarked();
    let route = r#"{"id":"r","name":"r","service":{"id":"nowhere"}}"#;
    gateway.put(&thing("route", "r", route));
    let (made, info) = take(&Bench::new(1).await, &gateway).await;
    assert_eq!((made.status, info.details().window.passes), (State::Success, 2));
}

#[tokio::test]
async fn with_a_mark_the_mark_decides() {
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 60);
    gateway.during_read(20, |contents| {
        contents.put(&thing("service", "late", r#"{"id":"late","name":"late"}"#));
    });
    let (made, info) = take(&Bench::new(1).await, &gateway).await;
    assert_eq!((made.status, info.details().window.passes), (State::Success, 2));
    assert_eq!(made.consistency, "consistent");
}
