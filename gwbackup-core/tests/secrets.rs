//! No secret leaves the sealed part: markers in every secret member, then a search everywhere.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use common::{Bench, look};
use gwbackup_core::model::Says;
use gwbackup_core::repository::Shown;
use gwbackup_core::restore::ApplyOptions;
use gwbackup_core::testing::{Fault, Faults, MemoryGateway, Tampering};
use gwbackup_core::verify::Depth;
use gwbackup_core::{ErrorKind, Repository};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span;

const MARKER: &str = "HUSH";

/// Everything that was ever said to `tracing`.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<String>>);

impl Visit for Ear {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0.lock().unwrap(), "{field}={value:?} ");
    }
}

impl tracing::Subscriber for Ear {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut self.clone());
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Gathers what people and programs get to see.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    fn debug(&mut self, what: &str, value: &dyn Debug) {
        self.0.push((what.to_owned(), format!("{value:?} {value:#?}")));
    }

    fn both(&mut self, what: &str, value: &(impl Debug + serde::Serialize)) {
        self.debug(what, value);
        self.0.push((what.to_owned(), serde_json::to_string(value).unwrap()));
    }

    fn error(&mut self, what: &str, error: &gwbackup_core::Error) {
        self.debug(what, error);
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            let _ = write!(text, " {cause} {cause:?}");
            source = cause.source();
        }
        self.0.push((what.to_owned(), text));
    }

    fn search(&self) {
        assert!(self.0.len() > 20);
        for (what, text) in &self.0 {
            assert!(!holds(text.as_bytes()), "{what}: {text}");
        }
    }
}

/// As it stands, or as base64 shows it at each of the three places it may begin.
fn holds(bytes: &[u8]) -> bool {
    use base64::Engine as _;
    let mut forms = vec![MARKER.as_bytes().to_vec()];
    for before in 0..3 {
        let text = format!("{}{MARKER}", "x".repeat(before));
        let coded = base64::prelude::BASE64_STANDARD_NO_PAD.encode(text);
        // Digits that depend on the neighbours are left out.
        let (from, to) = ((before * 8).div_ceil(6), (before + MARKER.len()) * 8 / 6);
        forms.push(coded.as_bytes()[from..to].to_vec());
    }
    forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == form.as_slice()))
}

fn plant(gateway: &MemoryGateway, round: u32) {
    let mut planted = 0;
    for resource in gateway.resources() {
        for (n, mark) in resource.marks.iter().enumerate() {
            if mark.says != Says::Secret {
                continue;
            }
            let member = mark.at.pointer.trim_start_matches('/').split('/').next().unwrap();
            let value = format!("{MARKER}-{round}-{n}-{}", resource.key.id);
            let value = match member {
                "config" => json!({"secret": value, "minute": 5}),
                _ => json!(value),
            };
            gateway.edit(|contents| contents.set(&resource.key, member, &value));
            planted += 1;
        }
    }
    assert!(planted > 0);
}

async fn scenario(gateway: MemoryGateway, empty: MemoryGateway, ear: &Ear) {
    let bench = Bench::new(1).await;
    let cx = &bench.cx;
    let mut said = Said::default();
    gateway.populate(1, 40);
    plant(&gateway, 1);
    let repository = bench.open().await;
    let take = |repository: &Repository| {
        let backup = repository.backup(Arc::new(gateway.clone())).application("shop");
        backup.environment("prod").tag("k", "v")
    };
    said.both("report", &take(&repository).run(cx).await.unwrap());
    let full = repository.find(cx, "latest").await.unwrap();
    bench.clock.advance(std::time::Duration::from_mins(1));
    plant(&gateway, 2);
    said.both("report", &take(&repository).run(cx).await.unwrap());
    let next = repository.find(cx, "latest").await.unwrap();
    assert_eq!(next.manifest().kind, "incremental");

    said.both("difference", &repository.diff(cx, &full, &next).await.unwrap());
    let drift = repository.drift(cx, Arc::new(gateway.clone()), &full).await.unwrap();
    assert!(!drift.changed.is_empty(), "changed secrets are told");
    said.both("drift", &drift);
    for info in [&full, &next] {
        said.debug("backup", info);
        said.both("details", info.details());
        said.both("manifest", info.manifest());
        let view = repository.view(cx, info).await.unwrap();
        said.debug("view", &view);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&shown);
        view.each(&[], move |_, resource| {
            let masked = serde_json::to_string(&Shown::new(&resource, false).unwrap()).unwrap();
            into.lock().unwrap().push(format!("{resource:?} {masked}"));
            true
        })
        .await
        .unwrap();
        said.0.push(("shown".to_owned(), shown.lock().unwrap().join("\n")));
    }

    // Back to the first state: each secret is a change that the plan masks.
    let restore = repository.restore(&full, Arc::new(gateway.clone()));
    let prepared = restore.plan(cx).await.unwrap();
    assert!(prepared.plan().summary.update > 0 || prepared.plan().summary.replace > 0);
    said.debug("prepared", &prepared);
    said.both("plan", prepared.plan());
    if let Ok(outcome) = prepared.apply(cx, &ApplyOptions::default()).await {
        said.debug("outcome", &outcome);
        said.both("restore", &outcome.report);
    }
    // And one that fails half way, onto an empty gateway.
    empty.faults(Faults::from_nth(60, Fault::Fail(ErrorKind::Invalid)));
    match repository.restore(&next, Arc::new(empty.clone())).plan(cx).await {
        Err(e) => said.error("plan", &e),
        Ok(prepared) => {
            said.both("plan", prepared.plan());
            match prepared.apply(cx, &ApplyOptions::default()).await {
                Ok(outcome) => said.both("restore", &outcome.report),
                Err(e) => said.error("apply", &e),
            }
        }
    }
    said.both("verify", &repository.verify().depth(Depth::Full).run(cx).await.unwrap());
    said.both("status", &repository.status(cx).await.unwrap());
    said.debug("audit", &repository.audit(cx).await.unwrap());
    said.debug("repository", &repository);
    for event in repository.events(cx).await.unwrap() {
        said.debug("event", &event);
        said.debug("event detail", &event.detail);
    }

    damage(&bench, &full.manifest().archive.path, &mut said).await;
    for (name, bytes) in look::objects(cx, &bench.sinks[0]).await {
        assert!(!holds(&bytes), "{name}");
    }
    said.0.push(("tracing".to_owned(), ear.0.lock().unwrap().clone()));
    said.search();
}

/// Errors of a damaged archive, flipped all over.
async fn damage(bench: &Bench, path: &str, said: &mut Said) {
    let size = look::objects(&bench.cx, &bench.sinks[0]).await[path].len();
    for n in 0..40 {
        let (path, place) = (path.to_owned(), n * (size - 1) / 39);
        let repository = bench
            .open_with(|sink| {
                let path = path.clone();
                Arc::new(Tampering::new(Arc::new(sink), move |name, bytes| {
                    if name.as_str() == path {
                        bytes[place] ^= 1;
                    }
                }))
            })
            .await
            .unwrap();
        said.both("verify", &repository.verify().depth(Depth::Full).run(&bench.cx).await.unwrap());
        for info in repository.list(&bench.cx).await.unwrap() {
            if let Err(e) = repository.view(&bench.cx, &info).await {
                said.error("view", &e);
            }
        }
    }
}

#[tokio::test]
async fn no_secret_is_seen_anywhere() {
    let ear = Ear::default();
    tracing::subscriber::set_global_default(ear.clone()).unwrap();
    let (kong, aws) = (MemoryGateway::kong_like, MemoryGateway::aws_like);
    scenario(kong(), kong(), &ear).await;
    scenario(aws(), aws().with_name("new").with_seed(7), &ear).await;
    assert!(!ear.0.lock().unwrap().is_empty(), "something was said");
}
