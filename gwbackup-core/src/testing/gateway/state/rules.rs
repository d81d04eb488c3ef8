//! What the vendor demands of a document, and what a deletion takes along.

use std::collections::BTreeSet;

use super::{State, Thing, child};
use crate::error::{Error, ErrorKind, Result};
use crate::model::scan::Matcher;
use crate::model::{Document, Id, Key, Kind};
use crate::testing::gateway::law::{Gone, Law};
use crate::testing::gateway::text::{Mention, mentions};

impl State {
    /// Which address each route of the api leads to.
    pub(super) fn snapshot(&self, api: Option<&Key>) -> String {
        let mut routes = serde_json::Map::new();
        let kind = Kind::known("route");
        let Some(api) = api else { return "{}".to_owned() };
        let near = self
            .after(&kind, Some(&api.id))
            .take_while(|(key, _)| key.id.as_str().starts_with(api.id.as_str()));
        for (key, route) in near.filter(|(key, _)| key.id.is_under(&api.id)) {
            let target = self
                .links(&key, route)
                .into_iter()
                .find_map(|(_, to)| (to.kind.as_str() == "integration").then(|| self.get(&to))?);
            let uri = target.and_then(|t| t.document.text("/uri")).unwrap_or_default();
            routes.insert(key.id.last().into_owned(), uri.into_owned().into());
        }
        serde_json::Value::Object(routes).to_string()
    }

    pub(super) fn check_links(
        &self,
        law: &Law,
        key: &Key,
        parent: Option<&Key>,
        body: &Document,
    ) -> Result<()> {
        for (_, to) in self.links_of(law, parent, body) {
            let to = to.ok_or_else(|| Error::invalid("a reference is malformed").on(key))?;
            if self.get(&to).is_none() {
                return Err(
                    Error::invalid(format!("it refers to {to}, which is not there")).on(key)
                );
            }
        }
        Ok(())
    }

    pub(super) fn check_mentions(&self, law: &Law, key: &Key, body: &Document) -> Result<()> {
        for name in law.mentions {
            let text = body.text(&format!("/{name}")).unwrap_or_default();
            for (range, what) in mentions(&text) {
                let said = text.get(range).unwrap_or_default();
                let known = match what {
                    Mention::Account => said == self.account,
                    Mention::Api => Id::of([said]).is_ok_and(|id| {
                        self.get(&Key::new(Kind::known("api"), id)).is_some()
                            || key.id.last() == said
                    }),
                };
                if !known {
                    let at = format!("{key}#/{name}");
                    return Err(Error::invalid("its text names what is not there").on(at));
                }
            }
        }
        Ok(())
    }

    pub(super) fn check_unique(
        &self,
        law: &Law,
        key: &Key,
        parent: Option<&Key>,
        body: &Document,
    ) -> Result<()> {
        for claim in claims(law, parent, body) {
            if let Some(holder) = self.claims.get(&claim).filter(|holder| *holder != key) {
                let error = Error::new(ErrorKind::AlreadyExists, "another has its name");
                return Err(error.on(key).help(format!("rename or remove {holder}")));
            }
        }
        Ok(())
    }

    /// The thing and all that goes with it, or `Conflict` when somebody else names one of them.
    pub(super) fn doomed(&self, key: &Key) -> Result<BTreeSet<Key>> {
        let mut doomed = BTreeSet::from([key.clone()]);
        let mut links: Vec<(Key, Gone, Key)> = Vec::new();
        let kinds = self.code.concerned(key.kind.as_str());
        for (from, thing) in kinds.iter().flat_map(|kind| self.of_kind(kind)) {
            let found = self.links(&from, thing).into_iter();
            links.extend(found.map(|(gone, to)| (from.clone(), gone, to)));
            links.extend(thing.parent.clone().map(|to| (from.clone(), Gone::Cascade, to)));
        }
        loop {
            let before = doomed.len();
            for (from, gone, to) in &links {
                if *gone == Gone::Cascade && doomed.contains(to) {
                    doomed.insert(from.clone());
                }
            }
            if doomed.len() == before {
                break;
            }
        }
        let holder = links.iter().find(|(from, gone, to)| {
            *gone == Gone::Refuse && doomed.contains(to) && !doomed.contains(from)
        });
        match holder {
            Some((from, ..)) => {
                Err(Error::new(ErrorKind::Conflict, format!("{from} still refers to it")).on(key))
            }
            None => Ok(doomed),
        }
    }

    fn links(&self, key: &Key, thing: &Thing) -> Vec<(Gone, Key)> {
        let Some(law) = self.code.law(key.kind.as_str()) else { return Vec::new() };
        let found = self.links_of(law, thing.parent.as_ref(), &thing.document);
        found.into_iter().filter_map(|(gone, to)| Some((gone, to?))).collect()
    }

    fn links_of(
        &self,
        law: &Law,
        parent: Option<&Key>,
        body: &Document,
    ) -> Vec<(Gone, Option<Key>)> {
        let text = body.as_str();
        let mut found = Vec::new();
        Matcher::new(law.links.iter().map(|link| link.at)).visit(text, |hit| {
            let said = body.text(hit.pointer);
            for link in hit.rules.iter().filter_map(|rule| law.links.get(*rule)) {
                if body.get(hit.pointer) == Some("null") {
                    continue;
                }
                let below = self.code.law(link.to).and_then(|to| to.parent);
                let to = said.as_deref().and_then(|said| {
                    let id = said.strip_prefix(link.prefix)?;
                    let parent = if below.is_some() { parent } else { None };
                    Some(Key::new(Kind::new(link.to).ok()?, child(parent, id).ok()?))
                });
                found.push((link.gone, to));
            }
        });
        found
    }

    pub(super) fn claims_of(&self, key: &Key, thing: &Thing) -> Vec<String> {
        let law = self.code.law(key.kind.as_str());
        law.map(|law| claims(law, thing.parent.as_ref(), &thing.document)).unwrap_or_default()
    }
}

/// What a document claims for itself alone.
fn claims(law: &Law, parent: Option<&Key>, body: &Document) -> Vec<String> {
    let claimed = law.unique.iter().enumerate().filter_map(|(n, unique)| {
        let values: Vec<&str> =
            unique.members.iter().map(|at| body.get(at).unwrap_or("null")).collect();
        if values.first() == Some(&"null") {
            return None;
        }
        let within = parent.filter(|_| unique.in_parent).map(ToString::to_string);
        Some(format!("{} {n} {within:?} {values:?}", law.kind))
    });
    claimed.collect()
}
