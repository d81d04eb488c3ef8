//! A gateway of your own as source and target, and the suites that say whether it keeps its promises.
//!
//! Two things make a provider: a table that says what the kinds are and how they name each other, and
//! calls that read and write one thing. Order, retries, journal, roll back and comparison are the
//! library's.
//!
//! ```text
//! cargo run --example custom_gateway
//! cargo test --example custom_gateway
//! ```

#![allow(clippy::print_stdout, reason = "an example tells what happens")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::stream;
use gwbackup::crypt::Passphrase;
use gwbackup::model::{
    Attempt, Captured, Change, Description, Document, Effect, Finding, Group, HandleName, Handles,
    Id, Key, Kind, KindSpec, Limits, Member, MemberRule, Outcome, Part, RefSpec, Resource,
    Revision, Role, Rules, Schema, Scope, Side, Step, StepReceipt, Verdict,
};
use gwbackup::restore::ApplyOptions;
use gwbackup::sink::MemorySink;
use gwbackup::source::{BoxStream, Known, Purpose, Source};
use gwbackup::target::{States, StepLog, Target};
use gwbackup::{Context, Copy, Error, ErrorKind, Repository, Result};

/// Stands for the vendor: upstreams, and routes that name one. Clones share it.
#[derive(Debug, Clone, Default)]
struct Tiny(Arc<Mutex<Vendor>>);

#[derive(Debug, Default)]
struct Vendor {
    things: BTreeMap<Key, Document>,
    writes: u64,
}

fn upstream() -> Kind {
    Kind::known("upstream")
}

fn route() -> Kind {
    Kind::known("route")
}

/// The table. It is stored in every archive, so that a backup can be read without this program.
fn schema() -> Schema {
    let mut upstream_spec = KindSpec::new(upstream(), 10);
    upstream_spec.members = vec![MemberRule { at: "/token".to_owned(), is: Member::Secret }];
    let mut route_spec = KindSpec::new(route(), 20);
    route_spec.aliases = vec!["routes".to_owned()];
    route_spec.references = vec![RefSpec {
        at: "/upstream".to_owned(),
        part: Part::Value,
        prefix: String::new(),
        kinds: vec![upstream()],
        handle: HandleName::id(),
        role: Role::Needs,
    }];
    Schema {
        id: "tiny 1".to_owned(),
        id_scheme: 1,
        kinds: vec![upstream_spec, route_spec],
        ..Schema::default()
    }
}

impl Tiny {
    fn vendor(&self) -> MutexGuard<'_, Vendor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_one(&self, key: &Key) -> Option<Document> {
        self.vendor().things.get(key).cloned()
    }

    /// One writing call.
    fn write_one(&self, key: &Key, document: Option<Document>) {
        let mut vendor = self.vendor();
        vendor.writes += 1;
        match document {
            Some(document) => drop(vendor.things.insert(key.clone(), document)),
            None => drop(vendor.things.remove(key)),
        }
    }

    /// Some content to lose.
    fn populate(&self) -> Result<()> {
        for n in 0..3 {
            let id = format!("u{n}");
            let text = format!(r#"{{"host":"10.0.0.{n}","weight":100,"token":"t0ken-{n}"}}"#);
            self.write_one(&Key::new(upstream(), Id::of([&id])?), Some(Document::parse(&text)?));
            let text = format!(r#"{{"path":"/{n}","upstream":"{id}"}}"#);
            let key = Key::new(route(), Id::of([format!("r{n}")])?);
            self.write_one(&key, Some(Document::parse(&text)?));
        }
        Ok(())
    }
}

#[async_trait]
impl Source for Tiny {
    fn address(&self) -> String {
        "tiny:".to_owned()
    }

    async fn describe(&self, cx: &Context) -> Result<Description> {
        cx.check()?;
        Ok(Description {
            product: "Tiny Gateway".to_owned(),
            version: "1.0".to_owned(),
            handles: Handles::new(),
            schema: Arc::new(schema()),
            limits: Limits::default(),
        })
    }

    async fn preflight(&self, cx: &Context, _: Purpose, _: &Scope) -> Result<Vec<Finding>> {
        cx.check()?;
        Ok(vec![Finding::new(self.address(), Verdict::Ok, "it answers")])
    }

    async fn revision(&self, cx: &Context, _: &Scope) -> Result<Option<Revision>> {
        cx.check()?;
        Ok(Some(Revision::new(&self.vendor().writes.to_string())))
    }

    fn read(
        &self,
        cx: &Context,
        description: &Description,
        scope: &Scope,
        _: Option<Arc<dyn Known>>,
    ) -> BoxStream<Result<Captured>> {
        let rules = Rules::new(Arc::clone(&description.schema));
        let all = self.vendor().things.clone().into_iter();
        let (cx, scope, mut ended) = (cx.clone(), scope.clone(), false);
        let inside = all.filter(move |(key, _)| scope.contains(key));
        let items = inside.map_while(move |(key, document)| {
            if ended {
                return None;
            }
            let goes_on = cx.check();
            ended = goes_on.is_err(); // an error ends a stream
            let mut resource = Resource::new(key, document);
            rules.mark(&mut resource); // where the table says that a member is a secret
            Some(goes_on.map(|()| Captured::Resource(resource)))
        });
        Box::pin(stream::iter(items))
    }
}

#[async_trait]
impl Target for Tiny {
    /// One call writes one thing.
    fn arrange(&self, _: &Description, changes: &[Change]) -> Vec<Group> {
        changes.iter().map(|change| Group::single(change.no)).collect()
    }

    /// This vendor knows nothing that the table does not say.
    async fn validate(
        &self,
        cx: &Context,
        _: &Description,
        _: &[Change],
        _: &dyn States,
    ) -> Result<Vec<Finding>> {
        cx.check()?;
        Ok(Vec::new())
    }

    /// Looks at the state, not at the verb: that makes a second attempt find what is done, and a
    /// roll back the same call with the sides swapped.
    async fn apply(
        &self,
        cx: &Context,
        _: &Description,
        step: &Step,
        states: &dyn States,
        _: &dyn StepLog,
    ) -> Result<StepReceipt> {
        cx.check()?;
        let mut receipt = StepReceipt::default();
        for change in &step.changes {
            let side = async |side| {
                let found = states.one(side, &change.key).await?;
                Ok::<_, Error>(found.map(|resolved| resolved.resource.document))
            };
            let (before, after) = (side(Side::Before).await?, side(Side::After).await?);
            let key = change.target_key();
            let now = self.read_one(key);
            if step.attempt == Attempt::First && now != before && now != after {
                return Err(Error::new(ErrorKind::Conflict, "somebody changed it").on(key));
            }
            let effect = match (&now, &after) {
                (now, after) if now == after => Effect::AlreadyThere,
                (None, _) => Effect::Created,
                (Some(_), Some(_)) => Effect::Updated,
                (Some(_), None) => Effect::Deleted,
            };
            if !matches!(effect, Effect::AlreadyThere) {
                self.write_one(key, after);
            }
            receipt.outcomes.push(Outcome::new(change.key.clone(), effect));
        }
        Ok(receipt)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let cx = Context::new().with_actor("example");
    let gateway = Tiny::default();
    gateway.populate()?;

    let copy = Copy::new(Arc::new(MemorySink::new()));
    let key = Arc::new(Passphrase::new("correct horse battery staple")?);
    Repository::create().copy(copy.clone()).key(Arc::clone(&key) as _).run(&cx).await?;
    let repository = Repository::builder().copy(copy).key(key).open(&cx).await?;
    repository
        .backup(Arc::new(gateway.clone()))
        .application("tiny")
        .environment("test")
        .run(&cx)
        .await?;

    gateway.vendor().things.clear();
    let latest = repository.find(&cx, "latest").await?;
    let plan = repository.restore(&latest, Arc::new(gateway.clone())).plan(&cx).await?;
    let outcome = plan.apply(&cx, &ApplyOptions::default()).await?;
    println!("{}: {} things are back", outcome.report.verdict, gateway.vendor().things.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use gwbackup::testing::conformance::{self, SourceFixture, TargetFixture};

    use super::*;

    fn filled() -> Tiny {
        let gateway = Tiny::default();
        gateway.populate().unwrap();
        gateway
    }

    #[tokio::test]
    async fn it_keeps_the_promises_of_a_source() {
        conformance::source(|| async {
            let gateway = filled();
            let touched = gateway.clone();
            SourceFixture {
                source: Arc::new(gateway),
                touch: Some(Box::new(move || {
                    let key = Key::new(route(), Id::new("r0").unwrap());
                    let document = Document::parse(r#"{"path":"/moved","upstream":"u1"}"#).unwrap();
                    touched.write_one(&key, Some(document));
                    Box::pin(std::future::ready(()))
                })),
            }
        })
        .await;
    }

    #[tokio::test]
    async fn it_keeps_the_promises_of_a_target() {
        let edit = |resource: &Resource| {
            let mut value = resource.document.to_value();
            let weight = value["weight"].as_u64().unwrap_or(0) + 1;
            value["weight"] = weight.into();
            Document::from_value(&value).ok()
        };
        let make =
            || async move { TargetFixture { target: Arc::new(filled()), edit: Box::new(edit) } };
        conformance::target(make).await;
    }

    #[test]
    fn what_was_lost_comes_back() {
        main().unwrap();
    }
}
