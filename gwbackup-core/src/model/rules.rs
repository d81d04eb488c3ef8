//! A schema, compiled: what the table says about a concrete resource.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::canonical::decode;
use super::document::Document;
use super::key::{HandleName, Handles, Key, Kind};
use super::outside::{self, Named};
use super::place::{Coding, Part, Place, removal, text_of};
use super::resource::{Mark, Reference, Resource, Says, To};
use super::scan::{self, Edit, Hit, Matcher, segments};
use super::schema::{KindSpec, Member, RefSpec, Restore, Schema, Within};

/// A [`Schema`] ready for use. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rules(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    schema: Arc<Schema>,
    kinds: HashMap<Kind, Compiled>,
    other: Option<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    spec: KindSpec,
    members: Matcher,
    references: Matcher,
    handles: HandleSet,
    /// Those of the handles that a reference of the table may name.
    asked: HandleSet,
    /// The secret members, then the references.
    survey: Matcher,
    secrets: usize,
    /// Array patterns whose order means nothing, deepest first.
    unordered: Vec<Matcher>,
    volatile: Matcher,
    /// Canonical texts of the members' defaults.
    defaults: Vec<Option<String>>,
    outside: Vec<outside::Compiled>,
}

impl Compiled {
    /// `asked`: the handles by which something may be named; `None` for any.
    fn new(spec: &KindSpec, asked: Option<&HashSet<&HandleName>>) -> Self {
        let patterns = |wanted: fn(&Member) -> bool| {
            spec.members.iter().filter(move |m| wanted(&m.is)).map(|m| m.at.as_str())
        };
        let mut unordered: Vec<&str> = patterns(|m| *m == Member::Unordered).collect();
        unordered.sort_by_key(|p| std::cmp::Reverse(segments(p).count()));
        let secrets: Vec<&str> = patterns(|m| *m == Member::Secret).collect();
        let references = spec.references.iter().map(|r| r.at.as_str());
        Self {
            members: Matcher::new(spec.members.iter().map(|m| &m.at)),
            references: Matcher::new(spec.references.iter().map(|r| &r.at)),
            handles: HandleSet::new(spec, |_| true),
            asked: HandleSet::new(spec, |handle| asked.is_none_or(|asked| asked.contains(handle))),
            survey: Matcher::new(secrets.iter().copied().chain(references)),
            secrets: secrets.len(),
            unordered: unordered.into_iter().map(|p| Matcher::new([p])).collect(),
            volatile: Matcher::new(patterns(|m| *m == Member::Volatile)),
            defaults: spec
                .members
                .iter()
                .map(|m| match &m.is {
                    Member::Default(value) => Some(value.to_string()),
                    _ => None,
                })
                .collect(),
            outside: spec.outside.iter().map(outside::Compiled::new).collect(),
            spec: spec.clone(),
        }
    }

    /// Whether a rule holds for this value of the document: any does, but for a twin that stands
    /// alone or says something else.
    fn holds(&self, rule: usize, document: &Document, value: &str) -> bool {
        match &self.spec.members[rule].is {
            Member::Twin(other) => document.get(other) == Some(value),
            _ => true,
        }
    }
}

impl Rules {
    /// Compiles a schema.
    pub fn new(schema: Arc<Schema>) -> Self {
        let specs = schema.kinds.iter().chain(schema.other.as_deref());
        let asked: HashSet<&HandleName> =
            specs.flat_map(|spec| &spec.references).map(|reference| &reference.handle).collect();
        // A scan of texts may name anything.
        let asked = schema.text.is_none().then_some(&asked);
        let compile = |spec: &KindSpec| Compiled::new(spec, asked);
        let kinds = schema.kinds.iter().map(|spec| (spec.kind.clone(), compile(spec))).collect();
        let other = schema.other.as_deref().map(compile);
        Self(Arc::new(Inner { schema, kinds, other }))
    }

    /// The schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.0.schema
    }

    /// The row for a kind; `None` for a kind that the gateway does not have.
    pub fn spec(&self, kind: &Kind) -> Option<&KindSpec> {
        self.compiled(kind).map(|c| &c.spec)
    }

    fn compiled(&self, kind: &Kind) -> Option<&Compiled> {
        self.0.kinds.get(kind).or(self.0.other.as_ref())
    }

    /// The kind that a person calls by this name, or by one of its aliases.
    pub fn kind_named(&self, name: &str) -> Option<Kind> {
        let named = self.0.schema.kinds.iter().find(|spec| {
            spec.kind.as_str() == name || spec.aliases.iter().any(|alias| alias == name)
        });
        named.map(|spec| spec.kind.clone())
    }

    /// Adds the secret marks that the table asks for: every value that is not null and not marked.
    pub fn mark(&self, resource: &mut Resource) {
        let Some(compiled) = self.compiled(&resource.key.kind) else { return };
        let text = resource.document.as_str();
        let marks = &mut resource.marks;
        compiled.members.visit(text, |hit| {
            if hit.rules.iter().any(|r| compiled.spec.members[*r].is == Member::Secret) {
                mark(marks, text, &hit);
            }
        });
    }

    /// The marks of [`Rules::mark`] and what [`Rules::references`] says, at one reading.
    pub(crate) fn survey(&self, resource: &mut Resource) -> Vec<Reference> {
        let mut found = Vec::new();
        if let Some(compiled) = self.compiled(&resource.key.kind) {
            let text = resource.document.as_str();
            let marks = &mut resource.marks;
            compiled.survey.visit(text, |hit| {
                for rule in hit.rules {
                    match rule.checked_sub(compiled.secrets) {
                        None => mark(marks, text, &hit),
                        Some(n) => {
                            found.extend(reference(&compiled.spec.references[n], text, &hit));
                        }
                    }
                }
            });
        }
        if let Some(text) = &self.0.schema.text {
            found.extend(text.references(resource));
        }
        found
    }

    /// All handles of a resource: `id` from its key, those of the table, those of the text scan.
    pub fn handles(&self, gateway: &Handles, resource: &Resource) -> Handles {
        self.handles_in(|compiled| &compiled.handles, gateway, resource)
    }

    /// Those of its handles by which a reference may name it.
    pub(crate) fn asked_handles(&self, gateway: &Handles, resource: &Resource) -> Handles {
        self.handles_in(|compiled| &compiled.asked, gateway, resource)
    }

    fn handles_in(
        &self,
        set: impl Fn(&Compiled) -> &HandleSet,
        gateway: &Handles,
        resource: &Resource,
    ) -> Handles {
        let compiled = self.compiled(&resource.key.kind);
        let mut handles =
            compiled.map(|compiled| set(compiled).of(&compiled.spec, resource)).unwrap_or_default();
        if let Some(text) = &self.0.schema.text {
            handles.extend(text.handles(gateway, resource));
        }
        handles
    }

    /// Every reference of a resource: those of the table, then those of the text scan.
    pub fn references(&self, resource: &Resource) -> Vec<Reference> {
        let mut found = Vec::new();
        if let Some(compiled) = self.compiled(&resource.key.kind) {
            let text = resource.document.as_str();
            compiled.references.visit(text, |hit| {
                for rule in hit.rules {
                    found.extend(reference(&compiled.spec.references[*rule], text, &hit));
                }
            });
        }
        if let Some(text) = &self.0.schema.text {
            found.extend(text.references(resource));
        }
        found
    }

    /// Everything outside the gateway that a resource names: by the table, then by the text scan.
    pub(crate) fn outside(&self, resource: &Resource) -> Vec<Named> {
        let mut found = Vec::new();
        if let Some(compiled) = self.compiled(&resource.key.kind) {
            compiled.outside.iter().for_each(|row| row.find(resource, &mut found));
        }
        let scanned = self.0.schema.text.iter().flat_map(|text| text.references(resource));
        found.extend(scanned.filter_map(|reference| match reference.to {
            To::External { class, value: name } => {
                Some(Named { class, at: reference.at.pointer, name, handles: Handles::new() })
            }
            _ => None,
        }));
        found
    }

    /// The document without the members that move by themselves: what the state digest and an
    /// incremental look at.
    pub fn stable(&self, kind: &Kind, document: &Document) -> Document {
        match self.compiled(kind) {
            Some(compiled) if !compiled.volatile.is_empty() => {
                let mut edits = Vec::new();
                compiled.volatile.visit(document.as_str(), |hit| edits.extend(removal(&hit)));
                if edits.is_empty() {
                    return document.clone();
                }
                Document::stored(scan::apply(document.as_str(), edits))
            }
            _ => document.clone(),
        }
    }

    /// The form in which two documents are compared: without volatile and read-only members, without
    /// members that have their default value, with arrays sorted whose order means nothing, with
    /// absent values as one placeholder, and with each reference rewritten to what `name` gives.
    ///
    /// `absent`: pointers that are absent on either side, so that neither is compared.
    pub fn comparable(
        &self,
        resource: &Resource,
        names: &[(Place, String)],
        absent: &[String],
    ) -> Document {
        let document =
            resource.document.rewrite(names).unwrap_or_else(|_| resource.document.clone());
        let Some(compiled) = self.compiled(&resource.key.kind) else { return document };
        let text = document.as_str();
        let mut edits = Vec::new();
        compiled.members.visit(text, |hit| {
            let gone = hit.rules.iter().any(|r| match &compiled.spec.members[*r].is {
                Member::Volatile | Member::ReadOnly => true,
                Member::Twin(_) => compiled.holds(*r, &document, &text[hit.value.clone()]),
                Member::Default(_) => {
                    compiled.defaults[*r].as_deref() == text.get(hit.value.clone())
                }
                _ => false,
            });
            if gone {
                edits.extend(removal(&hit));
            }
        });
        Matcher::new(absent).visit(text, |hit| {
            if absent.iter().any(|pointer| pointer == hit.pointer) {
                // An element keeps its place; a member may be missing on the other side altogether.
                let element = || Edit::Replace(hit.value.clone(), "null".to_owned());
                edits.push(removal(&hit).unwrap_or_else(element));
            }
        });
        let mut text = scan::apply(text, edits);
        for matcher in &compiled.unordered {
            let mut edits = Vec::new();
            matcher.visit(&text, |hit| {
                let mut parts = scan::elements(&text[hit.value.clone()]);
                parts.sort_unstable();
                edits.push(Edit::Replace(hit.value, format!("[{}]", parts.join(","))));
            });
            text = scan::apply(&text, edits);
        }
        Document::stored(text)
    }

    /// Pointers of the members with one of the wanted rules.
    pub fn members(&self, resource: &Resource, wanted: impl Fn(&Member) -> bool) -> Vec<String> {
        self.members_of(&resource.key.kind, &resource.document, wanted)
    }

    /// The same in any document of a kind.
    pub(crate) fn members_of(
        &self,
        kind: &Kind,
        document: &Document,
        wanted: impl Fn(&Member) -> bool,
    ) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(compiled) = self.compiled(kind) {
            let text = document.as_str();
            compiled.members.visit(text, |hit| {
                let fits = |r: &usize| {
                    wanted(&compiled.spec.members[*r].is)
                        && compiled.holds(*r, document, &text[hit.value.clone()])
                };
                if hit.rules.iter().any(fits) {
                    found.push(hit.pointer.to_owned());
                }
            });
        }
        found
    }

    /// Pointers of the values that cannot be sent back as they were read; a null is none.
    pub fn unreadable(&self, resource: &Resource) -> Vec<String> {
        let mut found = Vec::new();
        self.values(resource, |at, token, member| {
            let is_unreadable = match member {
                Member::Unreadable => token != "null",
                Member::UnreadableIf { prefix } => {
                    token.starts_with('"') && decode(token).starts_with(prefix.as_str())
                }
                _ => false,
            };
            if is_unreadable {
                found.push(at.to_owned());
            }
        });
        found
    }

    /// Whether the thing has ended by itself at a moment, in seconds since 1970.
    pub(crate) fn has_ended(&self, resource: &Resource, at: i64) -> bool {
        let mut ended = false;
        self.values(resource, |_, token, member| {
            let seconds = token.split('.').next().and_then(|whole| whole.parse::<i64>().ok());
            ended |= *member == Member::Ends
                && seconds.is_some_and(|end| (100_000_000..=at).contains(&end));
        });
        ended
    }

    /// Pointers of the hashes that are salted, each with the reference by whose id it is.
    pub(crate) fn salted(&self, resource: &Resource) -> Vec<(String, Reference)> {
        let mut found = Vec::new();
        let references = std::cell::LazyCell::new(|| self.references(resource));
        self.values(resource, |at, token, member| {
            if let Member::Salted { by } = member
                && token != "null"
            {
                let salt = references.iter().find(|reference| reference.at.pointer == *by);
                found.extend(salt.map(|reference| (at.to_owned(), reference.clone())));
            }
        });
        found
    }

    /// Calls `f` with pointer, token and rule of each value that a rule names.
    fn values(&self, resource: &Resource, mut f: impl FnMut(&str, &str, &Member)) {
        let Some(compiled) = self.compiled(&resource.key.kind) else { return };
        let text = resource.document.as_str();
        compiled.members.visit(text, |hit| {
            for rule in hit.rules {
                f(hit.pointer, &text[hit.value.clone()], &compiled.spec.members[*rule].is);
            }
        });
    }

    /// Whether this resource comes into being without being created.
    pub fn is_fixed(&self, key: &Key) -> bool {
        self.spec(&key.kind).is_some_and(|spec| spec.presence.is_fixed(&key.id.last()))
    }

    /// Whether a restore writes this kind; a kind without a row is not written.
    pub fn restore(&self, kind: &Kind) -> Option<Restore> {
        self.spec(kind).map(|spec| spec.restore)
    }

    /// The handles by which this kind can be matched, best first: (name, where it is unique).
    pub fn unique_handles(&self, kind: &Kind) -> impl Iterator<Item = &super::schema::HandleSpec> {
        self.spec(kind)
            .into_iter()
            .flat_map(|spec| &spec.handles)
            .filter(|handle| handle.unique != Within::Nothing)
    }
}

/// Some handles of a kind, and where their parts are.
#[derive(Debug)]
struct HandleSet {
    /// Numbers of the handles in their kind.
    handles: Vec<usize>,
    /// Which of `handles`, and which of its parts, each pattern is.
    parts: Vec<(usize, usize)>,
    matcher: Matcher,
}

impl HandleSet {
    fn new(spec: &KindSpec, wanted: impl Fn(&HandleName) -> bool) -> Self {
        let all = spec.handles.iter().enumerate();
        let handles: Vec<usize> =
            all.filter(|(_, handle)| wanted(&handle.name)).map(|(n, _)| n).collect();
        let parts_of = |(at, n): (usize, &usize)| {
            (0..spec.handles[*n].at.len()).map(move |part| (at, part)).collect::<Vec<_>>()
        };
        let parts: Vec<(usize, usize)> = handles.iter().enumerate().flat_map(parts_of).collect();
        let patterns = parts.iter().map(|(at, part)| &spec.handles[handles[*at]].at[*part]);
        Self { matcher: Matcher::new(patterns), handles, parts }
    }

    fn of(&self, spec: &KindSpec, resource: &Resource) -> Handles {
        let text = resource.document.as_str();
        let specs = self.handles.iter().map(|n| &spec.handles[*n]);
        let mut parts: Vec<Vec<Option<String>>> =
            specs.clone().map(|spec| vec![None; spec.at.len()]).collect();
        self.matcher.visit(text, |hit| {
            for rule in hit.rules {
                let (handle, part) = self.parts[*rule];
                parts[handle][part] = scalar(&text[hit.value.clone()]);
            }
        });
        let mut handles = Handles::new();
        for (spec, parts) in specs.zip(parts) {
            if spec.at.is_empty() {
                handles.insert(spec.name.clone(), resource.key.id.last().into_owned());
            } else if parts.iter().any(Option::is_some) {
                let parts: Vec<_> = parts.into_iter().map(Option::unwrap_or_default).collect();
                handles.insert(spec.name.clone(), parts.join("\0"));
            }
        }
        handles
    }
}

/// Adds the mark of a secret value that is not null and not marked.
fn mark(marks: &mut Vec<Mark>, text: &str, hit: &Hit<'_>) {
    let known = |mark: &Mark| mark.at.pointer == hit.pointer && mark.at.part == Part::Value;
    if &text[hit.value.clone()] != "null" && !marks.iter().any(known) {
        marks.push(Mark::secret(hit.pointer));
    }
}

/// Pointers at which a resource's value is not here.
pub(crate) fn absent_places(resource: &Resource) -> impl Iterator<Item = &str> {
    resource
        .marks
        .iter()
        .filter(|mark| matches!(mark.says, Says::Absent(_)) && mark.at.part == Part::Value)
        .map(|mark| mark.at.pointer.as_str())
}

/// A handle's value: the text of a string, or a number's token.
fn scalar(token: &str) -> Option<String> {
    match token.as_bytes().first() {
        Some(b'"') => Some(decode(token).into_owned()),
        Some(b'0'..=b'9' | b'-') => Some(token.to_owned()),
        _ => None,
    }
}

fn reference(spec: &RefSpec, text: &str, hit: &Hit<'_>) -> Option<Reference> {
    let token = match spec.part {
        Part::Value => &text[hit.value.clone()],
        Part::Name => &text[hit.name.clone()?],
    };
    let whole = text_of(token, Coding::Plain)?;
    let value = whole.strip_prefix(&spec.prefix)?;
    if value.is_empty() {
        return None;
    }
    let range = if spec.prefix.is_empty() {
        None
    } else {
        Some(u32::try_from(spec.prefix.len()).ok()?..u32::try_from(whole.len()).ok()?)
    };
    let kinds =
        if spec.kinds.is_empty() { named_kinds(spec, hit.pointer) } else { spec.kinds.clone() };
    if kinds.is_empty() {
        return None;
    }
    Some(Reference {
        at: Place {
            pointer: hit.pointer.to_owned(),
            part: spec.part,
            coding: Coding::Plain,
            range,
        },
        to: To::Resource {
            kinds,
            handle: spec.handle.clone(),
            value: value.to_owned(),
            within: None,
        },
        role: spec.role,
    })
}

/// The kinds that the member itself names, by the last segment that is no array index: its name,
/// then what follows each underscore (`client_certificate` may name a `certificate`).
fn named_kinds(spec: &RefSpec, pointer: &str) -> Vec<Kind> {
    // Escaped segments are as good as decoded ones: no kind's name holds what is escaped.
    let both = spec.at.split('/').zip(pointer.split('/')).skip(1);
    let named = both.filter(|(pattern, concrete)| *pattern != "*" || Kind::is_name(concrete));
    let Some((_, name)) = named.last() else { return Vec::new() };
    let endings = name.match_indices('_').filter_map(|(at, _)| name.get(at + 1..));
    std::iter::once(name).chain(endings).filter_map(|n| Kind::new(n).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{HandleName, HandleSpec, Id, MemberRule, Role};
    use super::*;

    fn rules() -> Rules {
        let kind = Kind::known("route");
        let mut spec = KindSpec::new(kind, 1);
        spec.handles.push(HandleSpec {
            name: HandleName::known("name"),
            at: vec!["/name".into()],
            unique: Within::Gateway,
            by_server: false,
        });
        spec.handles.push(HandleSpec {
            name: HandleName::known("place"),
            at: vec!["/host".into(), "/service/id".into()],
            unique: Within::Gateway,
            by_server: false,
        });
        let rule = |at: &str, is| MemberRule { at: at.into(), is };
        spec.members = vec![
            rule("/updated", Member::Volatile),
            rule("/etag", Member::ReadOnly),
            rule("/config/*/password", Member::Secret),
            rule("/tags", Member::Unordered),
            rule("/port", Member::Default(80.into())),
        ];
        spec.references = vec![RefSpec {
            at: "/service/id".into(),
            part: Part::Value,
            prefix: String::new(),
            kinds: vec![Kind::known("service")],
            handle: HandleName::id(),
            role: Role::Needs,
        }];
        let schema = Schema { id: "t".into(), kinds: vec![spec], ..Schema::default() };
        Rules::new(Arc::new(schema))
    }

    fn resource(text: &str) -> Resource {
        let key = Key::new(Kind::known("route"), Id::new("r1").unwrap());
        Resource::new(key, Document::parse(text).unwrap())
    }

    #[test]
    fn what_moves_by_itself_is_no_difference() {
        let rules = rules();
        let a = resource(r#"{"updated":1,"etag":"a","tags":["x","y"],"name":"n"}"#);
        let b = resource(r#"{"updated":2,"etag":"b","tags":["y","x"],"name":"n","port":80}"#);
        assert_eq!(rules.comparable(&a, &[], &[]), rules.comparable(&b, &[], &[]));
        let c = resource(r#"{"tags":["y","x"],"name":"n","port":81}"#);
        assert_ne!(rules.comparable(&a, &[], &[]), rules.comparable(&c, &[], &[]));
        let stable = rules.stable(&a.key.kind, &a.document);
        assert_eq!(stable.as_str(), r#"{"etag":"a","name":"n","tags":["x","y"]}"#);
    }

    #[test]
    fn a_null_is_no_secret_and_a_mark_is_made_once() {
        let rules = rules();
        let mut r = resource(r#"{"config":{"a":{"password":"p"},"b":{"password":null}}}"#);
        rules.mark(&mut r);
        rules.mark(&mut r);
        assert_eq!(r.marks, [Mark::secret("/config/a/password")]);
    }

    #[test]
    fn handles_and_references_come_from_the_table() {
        let rules = rules();
        let r = resource(r#"{"name":"n","service":{"id":"s1"}}"#);
        let handles = rules.handles(&Handles::new(), &r);
        assert_eq!(handles[&HandleName::id()], "r1");
        assert_eq!(handles[&HandleName::known("name")], "n");
        assert_eq!(handles[&HandleName::known("place")], "\0s1");
        let references = rules.references(&r);
        assert_eq!(references.len(), 1);
        assert_eq!(references[0].at, Place::value("/service/id"));
        let global = resource(r#"{"service":null,"host":"h"}"#);
        assert!(rules.references(&global).is_empty());
        assert_eq!(rules.handles(&Handles::new(), &global)[&HandleName::known("place")], "h\0");
        let nowhere = rules.handles(&Handles::new(), &resource(r#"{"service":null}"#));
        assert_eq!(nowhere.len(), 1, "{nowhere:?}");
    }
}
