//! What people read: plan and go-live report as pages and as Markdown.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;
#[path = "common/page.rs"]
mod page;
#[path = "common/scenario.rs"]
mod scenario;

use std::sync::Arc;

use async_trait::async_trait;
use gwbackup_core::model::{Finding, Verdict};
use gwbackup_core::policy::{Objectives, Policy};
use gwbackup_core::report::GoLive;
use gwbackup_core::restore::ApplyOptions;
use gwbackup_core::target::{Check, Target};
use gwbackup_core::{Context, Copy, Repository, Result};
use page::look_at;
use scenario::{Character, Scene, of_kind, options};
use serde_json::json;

/// Nobody names a service so, except to find out what happens.
const HOSTILE: &str = "</td><script src=//evil.example>alert('1')</script>\" onload=\"x &amp; |*_`";

/// Answers what it was made with.
#[derive(Debug)]
struct Says(Vec<Finding>);

#[async_trait]
impl Check for Says {
    async fn run(&self, _cx: &Context, _target: &dyn Target) -> Result<Vec<Finding>> {
        Ok(self.0.clone())
    }
}

fn says(verdict: Verdict, subject: &str, detail: &str) -> ApplyOptions {
    options().check(Arc::new(Says(vec![Finding::new(subject, verdict, detail)])))
}

#[tokio::test]
async fn whatever_a_gateway_holds_a_page_stays_a_page() {
    let scene = Scene::new(Character::Kong).await;
    let cx = &scene.bench.cx;
    let gateway = Character::Kong.drifted("target");
    let consumer = of_kind(&gateway, "consumer").pop().unwrap().key;
    gateway.edit(|contents| contents.set(&consumer, "custom_id", &json!(HOSTILE)));
    let prepared = scene.restore(Arc::new(gateway.clone())).await.plan(cx).await.unwrap();
    let plan = look_at(&prepared.plan().to_html());
    assert!(plan.contains("alert(&#39;1&#39;)"), "the value that is overwritten is shown as text");
    assert!(plan.contains("(secret)") && !plan.contains("other-"), "a secret is masked");
    let steps = prepared.plan().steps.len();
    assert!(plan.contains(&format!("{steps}. ")) && plan.contains(&consumer.to_string()));

    let checks = says(Verdict::Failed, HOSTILE, "\u{202e}\u{0}as seen\n| by a test");
    let report = prepared.apply(cx, &checks).await.unwrap().report;
    assert_eq!(report.verdict, GoLive::NoGo);
    let text = look_at(&report.to_html());
    assert!(text.contains("alert(&#39;1&#39;)") && text.contains("\u{fffd}\u{fffd}as seen"));
    let safety = report.safety.unwrap().to_string();
    for word in ["NoGo", "shop/prod", "read back and compare", "not measured", &safety] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    let markdown = report.to_markdown();
    let bare = markdown.replace("\\<", "").replace("\\|", "");
    assert!(!bare.contains("<script") && bare.contains("as seen  by a test"), "{markdown}");
    assert!(!markdown.contains(['\u{202e}', '\u{0}']), "{markdown:?}");
}

#[tokio::test]
async fn all_three_forms_say_the_same() {
    let scene = Scene::new(Character::Kong).await;
    let cx = &scene.bench.cx;
    let gateway = Character::Kong.drifted("target");
    let prepared = scene.restore(Arc::new(gateway.clone())).await.plan(cx).await.unwrap();
    let report =
        prepared.apply(cx, &says(Verdict::Warning, "tea", "is cold")).await.unwrap().report;
    assert_eq!(report.verdict, GoLive::Conditional);
    let (page, markdown) = (look_at(&report.to_html()), report.to_markdown());
    let data = serde_json::to_value(&report).unwrap();
    for said in data["reasons"].as_array().unwrap() {
        let said = said.as_str().unwrap();
        assert!(page.contains(said) && markdown.contains(said), "{said}");
    }
    for phase in data["phases"].as_array().unwrap() {
        assert!(page.contains(phase["name"].as_str().unwrap()), "{phase}");
    }
    let names: Vec<&str> =
        data["phases"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "see that the target has not moved",
            "safety backup",
            "write",
            "read back and compare",
            "tests"
        ]
    );
    let count = data["compare"]["equal"].to_string();
    assert!(page.contains(&format!("{count} equal")), "{page}");
}

#[tokio::test]
async fn what_was_not_run_is_said_and_decides_nothing() {
    let scene = Scene::new(Character::Kong).await;
    let cx = &scene.bench.cx;
    let gateway = Character::Kong.drifted("target");
    let prepared = scene.restore(Arc::new(gateway.clone())).await.plan(cx).await.unwrap();
    let report =
        prepared.apply(cx, &says(Verdict::NotRun, "login", "no password")).await.unwrap().report;
    assert_eq!(report.verdict, GoLive::Go, "{:?}", report.reasons);
    assert!(look_at(&report.to_html()).contains("test by hand: login: no password"));
}

#[tokio::test]
async fn an_objective_that_is_missed_asks_for_a_person() {
    let scene = Scene::new(Character::Kong).await;
    let cx = &scene.bench.cx;
    scene.bench.clock.advance(std::time::Duration::from_hours(3));
    for (rpo, verdict) in [("2h", GoLive::Conditional), ("4h", GoLive::Go)] {
        let rpo = Some(rpo.parse().unwrap());
        let objectives = Objectives { rpo, ..Objectives::default() };
        let repository = Repository::builder()
            .copy(Copy::new(Arc::new(scene.bench.sinks[0].clone())))
            .key(Arc::clone(&scene.bench.key) as _)
            .state(scene.bench.directory.path().join("state"))
            .policy(Policy { objectives, ..Policy::default() })
            .open(cx)
            .await
            .unwrap();
        let gateway = Character::Kong.drifted("target");
        let backup = repository.find(cx, "latest").await.unwrap();
        let restore = repository.restore(&backup, Arc::new(gateway)).prune(100);
        let report = restore.plan(cx).await.unwrap().apply(cx, &options()).await.unwrap().report;
        assert_eq!(report.verdict, verdict, "{:?}", report.reasons);
        assert_eq!(report.rpo().as_secs(), 3 * 3600);
        let shown = look_at(&report.to_html());
        assert!(shown.contains("3 h 0 min; "), "{shown}");
    }
}
