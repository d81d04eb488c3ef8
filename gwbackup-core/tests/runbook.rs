//! Checklists, as a backup and its restore go on.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;
#[path = "common/page.rs"]
mod page;
#[path = "common/scenario.rs"]
mod scenario;

use std::sync::Arc;

use async_trait::async_trait;
use gwbackup_core::model::{Finding, Verdict};
use gwbackup_core::runbook::{Runbook, Standing};
use gwbackup_core::target::{Check, Target};
use gwbackup_core::testing::MemoryGateway;
use gwbackup_core::verify::Depth;
use gwbackup_core::{Context, ErrorKind, Result};
use page::look_at;
use scenario::{Character, Scene, options};

fn standing(book: &Runbook, word: &str) -> Standing {
    let fits = |step: &&gwbackup_core::runbook::Step| step.name.contains(word);
    book.steps.iter().find(fits).unwrap_or_else(|| panic!("{word}: {book:#?}")).standing
}

#[derive(Debug)]
struct Says(Verdict);

#[async_trait]
impl Check for Says {
    async fn run(&self, _cx: &Context, _target: &dyn Target) -> Result<Vec<Finding>> {
        Ok(vec![Finding::new("tea", self.0, "as seen")])
    }
}

#[tokio::test]
async fn a_backups_checklist_fills_as_things_are_done() {
    let scene = Scene::new(Character::Kong).await;
    let (repository, cx) = (&scene.repository, &scene.bench.cx);
    let backup = repository.find(cx, "latest").await.unwrap();
    let book = repository.backup_runbook(cx, &backup).await.unwrap();
    assert_eq!(standing(&book, "Everything of the gateway"), Standing::Done);
    assert_eq!(standing(&book, "read back from every copy"), Standing::Done);
    for open in ["elsewhere", "integrity", "rehearsed", "why"] {
        assert_eq!(standing(&book, open), Standing::Open, "{open}");
    }
    repository.verify().backup(&backup).depth(Depth::Full).run(cx).await.unwrap();
    let scratch = MemoryGateway::kong_like().with_name("scratch");
    repository.drill(Arc::new(scratch)).run(cx).await.unwrap();
    let book = repository.backup_runbook(cx, &backup).await.unwrap();
    assert_eq!(standing(&book, "integrity"), Standing::Done);
    assert_eq!(standing(&book, "rehearsed"), Standing::Done);
    assert_eq!(book.open(), 2);
    let shown = look_at(&book.to_html());
    assert!(shown.contains("2 open") && shown.contains("drill"), "{shown}");
    assert!(book.to_markdown().contains("| open |"));
}

#[tokio::test]
async fn a_restores_checklist_tells_what_the_run_did() {
    let scene = Scene::new(Character::Kong).await;
    let (repository, cx) = (&scene.repository, &scene.bench.cx);
    for (verdict, tested) in [(Verdict::Ok, Standing::Done), (Verdict::Failed, Standing::Failed)] {
        let gateway = Character::Kong.drifted("target");
        let prepared = scene.restore(Arc::new(gateway)).await.plan(cx).await.unwrap();
        let checks = options().check(Arc::new(Says(verdict)));
        let report = prepared.apply(cx, &checks).await.unwrap().report;
        let book = repository.restore_runbook(cx, report.run.unwrap()).await.unwrap();
        for done in ["complete and usable", "way back", "written", "compared", "log"] {
            assert_eq!(standing(&book, done), Standing::Done, "{done}: {book:#?}");
        }
        assert_eq!(standing(&book, "behaviour"), tested);
        assert_eq!(standing(&book, "approved"), Standing::Open);
    }
    let none = repository.restore_runbook(cx, uuid::Uuid::nil()).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
}
