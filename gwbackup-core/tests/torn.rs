//! A gateway without a mark of its own moves while it is read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use common::{Bench, look};
use futures_util::{StreamExt as _, stream};
use gwbackup_core::backup::BackupReport;
use gwbackup_core::catalog::State;
use gwbackup_core::model::{
    Captured, Cause, Description, Document, Finding, Gap, Id, Key, Kind, Resource, Revision, Scope,
};
use gwbackup_core::repository::BackupInfo;
use gwbackup_core::source::{BoxStream, Known, Purpose, Source};
use gwbackup_core::testing::MemoryGateway;
use gwbackup_core::{Context, Result};

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

/// A gateway that answers for what it gives, and says something more at the end of each reading.
#[derive(Debug)]
struct Mender {
    gateway: MemoryGateway,
    endings: Mutex<VecDeque<Vec<Captured>>>,
}

#[async_trait]
impl Source for Mender {
    fn address(&self) -> String {
        self.gateway.address()
    }

    async fn describe(&self, cx: &Context) -> Result<Description> {
        self.gateway.describe(cx).await
    }

    async fn preflight(&self, cx: &Context, p: Purpose, scope: &Scope) -> Result<Vec<Finding>> {
        self.gateway.preflight(cx, p, scope).await
    }

    fn is_coherent(&self) -> bool {
        true
    }

    async fn revision(&self, _: &Context, _: &Scope) -> Result<Option<Revision>> {
        Ok(None)
    }

    fn read(
        &self,
        cx: &Context,
        description: &Description,
        scope: &Scope,
        known: Option<Arc<dyn Known>>,
    ) -> BoxStream<Result<Captured>> {
        let ending = self.endings.lock().unwrap().pop_front().unwrap_or_default();
        let all = self.gateway.read(cx, description, scope, known);
        Box::pin(all.chain(stream::iter(ending.into_iter().map(Ok))))
    }
}

async fn mended(endings: Vec<Vec<Captured>>) -> (BackupReport, BackupInfo, look::Content) {
    let bench = Bench::new(1).await;
    let repository = bench.open().await;
    let source = Mender { gateway: unmarked(), endings: Mutex::new(endings.into()) };
    let backup = repository.backup(Arc::new(source)).application("a").environment("e");
    let made = backup.run(&bench.cx).await.unwrap();
    let info = repository.find(&bench.cx, &made.id.to_string()).await.unwrap();
    let read = look::backup(&bench.cx, &repository, &info).await.unwrap();
    (made, info, read)
}

#[tokio::test]
async fn what_a_source_takes_back_does_not_count() {
    let name =
        |text: &str| thing("service", "late", &format!(r#"{{"id":"late","name":"{text}"}}"#));
    let withdrawn = || Captured::Withdrawn(key("service", "late"));
    let gone = vec![Captured::Resource(name("a")), withdrawn()];
    let (made, info, read) = mended(vec![gone]).await;
    assert_eq!((made.status, info.details().window.passes), (State::Success, 1));
    assert!(!read.contains_key("service/late"));

    let anew = vec![Captured::Resource(name("a")), withdrawn(), Captured::Resource(name("b"))];
    let (made, info, read) = mended(vec![anew]).await;
    assert_eq!((made.status, info.details().window.passes), (State::Success, 1));
    let text = &read["service/late"];
    assert!(text.contains(r#""name":"b""#), "{text}");
}

#[tokio::test]
async fn what_a_source_calls_torn_is_read_again() {
    let torn = || {
        let (kind, under) = (Some(Kind::known("service")), Some(Id::new("x").unwrap()));
        vec![Captured::Gap(Gap { kind, under, cause: Cause::Torn, detail: "moved".into() })]
    };
    let (made, info, _) = mended(vec![torn()]).await;
    assert_eq!((made.status, info.details().window.passes), (State::Success, 2));
    let (made, info, _) = mended(vec![torn(), torn(), torn()]).await;
    assert_eq!((made.status, info.details().window.passes), (State::Partial, 3));
}
