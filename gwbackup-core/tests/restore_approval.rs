//! Who may write, and what must be there outside.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;
#[path = "common/scenario.rs"]
mod scenario;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use gwbackup_core::catalog::{EventKind, EventOutcome};
use gwbackup_core::model::Verdict;
use gwbackup_core::plan::{Dependency, Presence};
use gwbackup_core::restore::{
    Act, Answer, ApplyOptions, Authorizer, DependencyProbe, FourEyes, Request, RunStatus,
};
use gwbackup_core::target::Target;
use gwbackup_core::testing::MemoryGateway;
use gwbackup_core::{Context, Error, ErrorKind, Result};
use scenario::{Character, Scene, of_kind, options};

fn four_eyes() -> ApplyOptions {
    let authorizer = FourEyes::new(["pro*"]).claim("auth", ["mfa", "key"]);
    ApplyOptions { authorizer: Some(Arc::new(authorizer)), ..options() }
}

#[tokio::test]
async fn production_wants_a_second_person_for_exactly_this_plan() {
    for character in [Character::Kong, Character::Aws] {
        let scene = Scene::new(character).await;
        let gateway = character.drifted("target");
        let someone = |name: &str, auth: &str| {
            scene.bench.cx.clone().with_actor(name).with_claim("auth", auth)
        };
        let (ann, bob, eve) =
            (someone("ann", "mfa"), someone("bob", "key"), someone("eve", "none"));
        let repository = &scene.repository;
        let planned = |cx: Context| {
            let target = Arc::new(gateway.clone());
            let scene = &scene;
            async move { scene.restore(target).await.plan(&cx).await.unwrap() }
        };
        // Nobody has approved; the one who asks has, alone; one has whom nobody vouches for.
        for approver in [None, Some(&ann), Some(&eve)] {
            let prepared = planned(ann.clone()).await;
            if let Some(cx) = approver {
                repository.approve(cx, prepared.plan()).await.unwrap();
            }
            let error = prepared.apply(&ann, &four_eyes()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(error.to_string().contains("second person"), "{error}");
        }
        let prepared = planned(eve.clone()).await;
        let error = prepared.apply(&eve, &four_eyes()).await.unwrap_err();
        assert!(error.to_string().contains("auth = mfa or key"), "{error}");
        assert!(gateway.writes().is_empty());
        // Another plan was approved than the one that is carried out.
        let other = scene.restore(Arc::new(gateway.clone())).await;
        let other = other.existing_of(if character.is_aws() { "stage" } else { "route" }, skip());
        repository.approve(&bob, other.plan(&ann).await.unwrap().plan()).await.unwrap();
        let prepared = planned(ann.clone()).await;
        let error = prepared.apply(&ann, &four_eyes()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(gateway.writes().is_empty());
        // The plan was approved; made again, as it was made, it is the same.
        let stored = planned(ann.clone()).await.plan().clone();
        repository.approve(&bob, &stored).await.unwrap();
        let info = repository.find(&ann, "latest").await.unwrap();
        let again = repository.restore(&info, Arc::new(gateway.clone()));
        let again = again.options(stored.options.clone()).plan(&ann).await.unwrap();
        assert_eq!(again.plan().digest().unwrap(), stored.digest().unwrap());
        let report = again.apply(&ann, &four_eyes()).await.unwrap().report;
        assert_eq!(report.status, RunStatus::Success, "{:?}", report.failures);
        assert_eq!(report.allowed.as_deref(), Some("approved by bob"));
        assert!(report.to_markdown().contains("approved by bob"));
        let events = repository.events(&ann).await.unwrap();
        let answers = events.iter().filter(|e| e.kind == EventKind::RESTORE_AUTHORIZE);
        let outcomes: Vec<EventOutcome> = answers.map(|e| e.outcome).collect();
        let mut wanted = vec![EventOutcome::Denied; 5];
        wanted.push(EventOutcome::Success);
        assert_eq!(outcomes, wanted);
        // To go back wants no second person, but somebody who is vouched for.
        let (run, target) = (report.run.unwrap(), Arc::new(gateway.clone()));
        let error = repository.roll_back(&eve, run, Arc::clone(&target) as _, &four_eyes()).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Refused);
        let back = repository.roll_back(&bob, run, target, &four_eyes()).await.unwrap().report;
        assert_eq!(back.status, RunStatus::RolledBack, "{:?}", back.failures);
    }
}

fn skip() -> gwbackup_core::plan::Existing {
    gwbackup_core::plan::Existing::Skip
}

/// Answers so, and keeps what it was asked.
#[derive(Debug)]
struct Says(Answer, Mutex<Vec<Request>>);

#[async_trait]
impl Authorizer for Says {
    async fn authorize(&self, _: &Context, request: &Request) -> Result<Answer> {
        self.1.lock().unwrap().push(request.clone());
        Ok(self.0.clone())
    }
}

#[tokio::test]
async fn an_authorizer_of_ones_own_is_asked_before_the_first_write() {
    let scene = Scene::new(Character::Kong).await;
    let cx = scene.bench.cx.clone().with_actor("ann").with_reason("ticket 7");
    for (answer, writes) in
        [(Answer::Refused("not today".into()), false), (Answer::Allowed("fine".into()), true)]
    {
        let gateway = Character::Kong.drifted("target");
        let says = Arc::new(Says(answer, Mutex::default()));
        let prepared = scene.restore(Arc::new(gateway.clone())).await.plan(&cx).await.unwrap();
        let digest = prepared.plan().digest().unwrap();
        let options = ApplyOptions {
            authorizer: Some(Arc::clone(&says) as _),
            environment: Some("stage".to_owned()),
            ..options()
        };
        let done = prepared.apply(&cx, &options).await;
        assert_eq!((done.is_ok(), !gateway.writes().is_empty()), (writes, writes));
        let asked = says.1.lock().unwrap();
        let [asked] = asked.as_slice() else { panic!("{asked:?}") };
        assert_eq!((asked.act, asked.subject.as_str()), (Act::Restore, digest.as_str()));
        assert_eq!((asked.actor.as_str(), asked.reason.as_deref()), ("ann", Some("ticket 7")));
        assert_eq!(asked.environment, "stage");
        assert_eq!(asked.gateway, "memory-gateway:target");
    }
}

/// Knows functions, and sees this of them.
#[derive(Debug)]
struct Sees(Option<Presence>);

#[async_trait]
impl DependencyProbe for Sees {
    async fn look(
        &self,
        _: &Context,
        dependency: &Dependency,
        _: &dyn Target,
    ) -> Result<Option<(Presence, String)>> {
        if !["function", "host"].contains(&dependency.class.as_str()) {
            return Ok(None);
        }
        let seen = self.0.ok_or_else(|| Error::new(ErrorKind::Denied, "no right to look"))?;
        Ok(Some((seen, "looked".to_owned())))
    }
}

#[tokio::test]
async fn what_is_missing_outside_stops_a_restore_and_what_is_not_visible_warns() {
    for (character, class) in [(Character::Kong, "host"), (Character::Aws, "function")] {
        let scene = Scene::new(character).await;
        let cx = &scene.bench.cx;
        let mut names: Vec<String> = of_kind(
            &character.original("again"),
            if character.is_aws() { "integration" } else { "service" },
        )
        .iter()
        .filter_map(|r| r.document.text(if character.is_aws() { "/uri" } else { "/host" }))
        .map(std::borrow::Cow::into_owned)
        .filter(|name| !character.is_aws() || name.starts_with("arn:gw:"))
        .collect();
        names.sort();
        names.dedup();
        for (seen, verdict) in [
            (Some(Presence::Missing), Some(Verdict::Failed)),
            (Some(Presence::Different), Some(Verdict::Warning)),
            (Some(Presence::NotVisible), Some(Verdict::Warning)),
            (None, Some(Verdict::Warning)),
            (Some(Presence::Present), None),
        ] {
            let gateway = match character {
                Character::Kong => MemoryGateway::kong_like(),
                _ => MemoryGateway::aws_like().with_seed(7),
            }
            .with_name("empty");
            let restore = scene.restore(Arc::new(gateway.clone())).await;
            let prepared = restore.probe(Arc::new(Sees(seen))).plan(cx).await.unwrap();
            let needed = &prepared.plan().dependencies;
            assert_eq!(needed.iter().map(|d| d.name.clone()).collect::<Vec<_>>(), names);
            let wanted = seen.unwrap_or(Presence::NotVisible);
            assert!(needed.iter().all(|d| d.class == class && d.presence == wanted), "{needed:?}");
            let findings = prepared.plan().findings.iter();
            let about = findings.filter(|f| f.subject.starts_with(class)).map(|f| f.verdict);
            let wanted: Vec<_> = names.iter().filter_map(|_| verdict).collect();
            assert_eq!(about.collect::<Vec<_>>(), wanted);
            let done = prepared.apply(cx, &options()).await;
            if verdict == Some(Verdict::Failed) {
                assert_eq!(done.unwrap_err().kind(), ErrorKind::Refused);
                assert!(gateway.writes().is_empty());
            } else {
                assert_eq!(done.unwrap().report.compare.different, 0);
            }
        }
    }
}
