//! The promises of [`Source`].

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, future};
use tokio_util::sync::CancellationToken;

use super::capture::{Content, alike, described, good, read, read_all};
use crate::context::Context;
use crate::error::ErrorKind;
use crate::model::{
    Description, Document, HandleName, Key, Kind, KindSpec, Resource, Revision, Rules, Says,
    Schema, Scope,
};
use crate::source::{Known, Purpose, Source};

/// Changes something in the gateway, as somebody else would.
pub type Touch = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A gateway to be read.
pub struct SourceFixture {
    /// It holds at least one resource and is changed by nobody but `touch`.
    pub source: Arc<dyn Source>,
    /// With it, the suite checks that revisions move.
    pub touch: Option<Touch>,
}

impl fmt::Debug for SourceFixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFixture").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Checks every promise of [`Source`] against gateways that `make` gives, each filled and its own.
///
/// ```
/// use std::sync::Arc;
/// use gwbackup_core::testing::MemoryGateway;
/// use gwbackup_core::testing::conformance::{SourceFixture, source};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// source(|| async {
///     let gateway = MemoryGateway::kong_like();
///     gateway.populate(1, 30);
///     SourceFixture { source: Arc::new(gateway), touch: None }
/// })
/// .await;
/// # }
/// ```
///
/// # Panics
/// On the first breach.
pub async fn source<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = SourceFixture>,
{
    let cx = Context::new();
    let fixture = make().await;
    let source = &*fixture.source;
    assert!(!source.address().is_empty(), "a gateway needs an address");
    let description = described(source, &cx).await;
    description_is_stable(source, &cx, &description).await;
    schema_is_well_formed(&description.schema);

    let rules = Rules::new(Arc::clone(&description.schema));
    let content = read_all(source, &cx, &description).await;
    assert!(!content.resources.is_empty(), "the suite needs a gateway that holds something");
    for resource in content.resources.values() {
        resource_is_sound(resource, &rules, &description);
    }
    let (one, two) =
        future::join(read_all(source, &cx, &description), read_all(source, &cx, &description))
            .await;
    for again in [one, two] {
        alike(&again.stable(&rules), &content.stable(&rules), "a read must be repeatable");
        assert_eq!(again.gaps, content.gaps, "the same parts must be unreadable each time");
    }
    narrower_scopes(source, &cx, &description, &rules, &content).await;
    known_revisions(source, &cx, &description, &content).await;
    cancellation(source, &description).await;
    for purpose in [Purpose::Backup, Purpose::Restore] {
        let findings = source.preflight(&cx, purpose, &Scope::everything()).await;
        let findings = good(findings, "a preflight must answer for both purposes");
        let named = findings.iter().all(|finding| !finding.subject.is_empty());
        assert!(named, "a finding needs a subject");
    }
    let after = read_all(source, &cx, &description).await;
    alike(&after.stable(&rules), &content.stable(&rules), "a source must change nothing");
    if let Some(touch) = &fixture.touch {
        revisions_move(source, &cx, &description, touch).await;
    }
}

async fn description_is_stable(source: &dyn Source, cx: &Context, first: &Description) {
    let second = described(source, cx).await;
    let text = |d: &Description| serde_json::to_string(&*d.schema).unwrap_or_default();
    assert_eq!(text(&second), text(first), "the schema must be the same each time");
    assert_eq!(
        (&second.product, &second.version, &second.handles),
        (&first.product, &first.version, &first.handles),
        "product, version and handles must be the same each time"
    );
    assert!(first.limits.parallel_writes > 0, "a gateway takes at least one write at a time");
    let stored: Result<Schema, _> = serde_json::from_str(&text(first));
    let stored = stored.unwrap_or_else(|_| panic!("a schema must survive being stored"));
    let again = serde_json::to_string(&stored).unwrap_or_default();
    assert_eq!(again, text(first), "a stored schema must say the same");
}

fn schema_is_well_formed(schema: &Schema) {
    assert!(!schema.id.is_empty(), "a schema needs an id");
    let mut names = BTreeSet::new();
    for spec in &schema.kinds {
        let kind = &spec.kind;
        assert!(names.insert(kind.as_str()), "{kind}: a kind must stand once");
        for alias in &spec.aliases {
            assert!(names.insert(alias), "{kind}: the alias {alias} must name one kind");
        }
        assert!(!spec.handles.is_empty(), "{kind}: the first handle is the one in the key");
        for handle in &spec.handles {
            handle.at.iter().for_each(|at| pattern(kind, at));
        }
        spec.members.iter().for_each(|member| pattern(kind, &member.at));
        for reference in &spec.references {
            pattern(kind, &reference.at);
            for to in &reference.kinds {
                let target = schema.kinds.iter().find(|other| other.kind == *to);
                let target = target.unwrap_or_else(|| panic!("{kind}: no kind {to} to refer to"));
                let has = |name: &HandleName| {
                    *name == HandleName::id() || target.handles.iter().any(|h| h.name == *name)
                };
                let handle = &reference.handle;
                assert!(has(handle), "{kind}: {to} has no handle {handle} to be named by");
            }
        }
    }
}

fn pattern(kind: &Kind, at: &str) {
    let escapes = at.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    let fits = (at.is_empty() || at.starts_with('/')) && escapes;
    assert!(fits, "{kind}: {at:?} is no JSON pointer");
}

fn resource_is_sound(resource: &Resource, rules: &Rules, description: &Description) {
    let key = &resource.key;
    if let Some(parent) = &resource.parent {
        let below = key.id != parent.id && key.id.is_under(&parent.id);
        assert!(below, "{key}: its id must begin with its parent's, {parent}");
    }
    for segment in key.id.segments() {
        assert!(!segment.is_empty(), "{key}: a segment is empty");
    }
    let raw: Vec<_> = key.id.segments().collect();
    let escaped = crate::model::Id::of(&raw);
    assert!(escaped.is_ok_and(|id| id == key.id), "{key}: its id is not escaped as it should be");
    let canonical = Document::parse(resource.document.as_str());
    let canonical = canonical.is_ok_and(|document| document == resource.document);
    assert!(canonical, "{key}: its document is not canonical");
    for mark in &resource.marks {
        let at = &mark.at.pointer;
        let there = resource.document.get(at).is_some();
        assert!(there || mark.says != Says::Secret, "{key}: nothing stands at the mark {at}");
    }
    let mut marked = resource.clone();
    rules.mark(&mut marked);
    assert_eq!(marked.marks, resource.marks, "{key}: a secret of the table is not marked");
    let handles = rules.handles(&description.handles, resource);
    let first = rules.spec(&key.kind).and_then(|spec: &KindSpec| spec.handles.first());
    if let Some(first) = first {
        assert!(handles.contains_key(&first.name), "{key}: it has no handle {}", first.name);
    }
}

async fn narrower_scopes(
    source: &dyn Source,
    cx: &Context,
    description: &Description,
    rules: &Rules,
    content: &Content,
) {
    let all = content.stable(rules);
    let kinds: BTreeSet<&Kind> = all.keys().map(|key| &key.kind).collect();
    let parents: BTreeSet<&Key> =
        content.resources.values().filter_map(|r| r.parent.as_ref()).collect();
    let leaf = all.keys().find(|key| !parents.contains(key)).cloned();
    let mut scopes: Vec<Scope> = kinds
        .into_iter()
        .map(|kind| Scope { kinds: vec![kind.clone()], under: Vec::new() })
        .collect();
    scopes.extend(parents.iter().take(3).map(|parent| Scope::of((*parent).clone())));
    scopes.extend(leaf.map(Scope::of));
    if let (Some(parent), Some(child)) = (parents.first(), all.keys().find(|k| parents.contains(k)))
    {
        scopes.push(Scope { kinds: vec![child.kind.clone()], under: vec![(*parent).clone()] });
    }
    for scope in scopes {
        let mut part = all.clone();
        part.retain(|key, _| scope.contains(key));
        let given = read(source, cx, description, &scope, None).await.stable(rules);
        alike(&given, &part, &format!("a scope must give exactly its part: {scope:?}"));
    }
}

/// Knows half of what it is asked for.
#[derive(Debug)]
struct Half {
    revisions: Vec<(Key, Revision)>,
    yes: Mutex<BTreeSet<Key>>,
}

impl Known for Half {
    fn has(&self, key: &Key, revision: &Revision) -> bool {
        let has = self.revisions.iter().any(|(k, r)| k == key && r == revision);
        if has {
            self.yes.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        }
        has
    }
}

async fn known_revisions(
    source: &dyn Source,
    cx: &Context,
    description: &Description,
    content: &Content,
) {
    let with_revision = content.resources.values().filter_map(|resource| {
        resource.revision.as_ref().map(|revision| (resource.key.clone(), revision.clone()))
    });
    let known =
        Arc::new(Half { revisions: with_revision.step_by(2).collect(), yes: Mutex::default() });
    let asked: Arc<dyn Known> = Arc::<Half>::clone(&known);
    let again = read(source, cx, description, &Scope::everything(), Some(asked)).await;
    let yes = known.yes.lock().unwrap_or_else(PoisonError::into_inner);
    for key in &again.same {
        assert!(yes.contains(key), "{key}: answered as the same, but nobody said so");
    }
    let mut keys: BTreeSet<&Key> = again.resources.keys().collect();
    keys.extend(&again.same);
    let all: BTreeSet<&Key> = content.resources.keys().collect();
    assert!(keys == all, "with known revisions, a read must still name everything");
}

async fn cancellation(source: &dyn Source, description: &Description) {
    let token = CancellationToken::new();
    let cx = Context::new().with_cancellation(token.clone());
    let mut stream = source.read(&cx, description, &Scope::everything(), None);
    let first = stream.next().await;
    assert!(matches!(first, Some(Ok(_))), "a read must begin");
    token.cancel();
    let mut last = first;
    while let Some(item) = stream.next().await {
        let ended = matches!(last, Some(Err(_)));
        assert!(!ended, "an error must end the stream");
        last = Some(item);
    }
    let kind = match last {
        Some(Err(error)) => Some(error.kind()),
        _ => None,
    };
    assert_eq!(kind, Some(ErrorKind::Cancelled), "a cancelled read must end with `Cancelled`");
}

async fn revisions_move(source: &dyn Source, cx: &Context, d: &Description, touch: &Touch) {
    let everything = Scope::everything();
    let before = good(source.revision(cx, &everything).await, "a revision can be asked for");
    let still = good(source.revision(cx, &everything).await, "a revision can be asked for");
    assert_eq!(before, still, "a revision must stand still while nothing moves");
    let content = read_all(source, cx, d).await;
    touch().await;
    let after = good(source.revision(cx, &everything).await, "a revision can be asked for");
    assert!(before.is_none() || before != after, "a revision must move when something moves");
    let now = read_all(source, cx, d).await;
    for (key, resource) in &now.resources {
        let Some(old) = content.resources.get(key) else { continue };
        let moved = old.document != resource.document;
        let told = old.revision.is_none() || old.revision != resource.revision;
        assert!(!moved || told, "{key}: it moved, and its revision did not");
    }
}
