//! What the vendor holds, and the rules by which it lets itself be changed.
//!
//! Nothing here trusts the caller: references, uniqueness, ids, verbs and immutable members are
//! checked against the vendor's own [`Code`].

mod rules;

use std::collections::BTreeMap;
use std::ops::Bound;

use super::json::set;
use super::law::{Code, Ids, Law};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Document, Id, Key, Kind};

/// One thing, as the vendor keeps it.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    pub(super) parent: Option<Key>,
    /// What the vendor gives out.
    pub(super) document: Document,
    /// Members that it never gives out: name and JSON text.
    hidden: BTreeMap<String, String>,
    /// The vendor's time of the last write.
    pub(super) revision: u64,
}

/// The answer to a writing call.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) key: Key,
    /// The thing as it is now; `None` when it is gone.
    pub(super) thing: Option<Thing>,
    /// An earlier call with this token had made it.
    pub(super) existed: bool,
    /// What else came (true) or went (false).
    pub(super) also: Vec<(Key, bool)>,
}

/// What a create call asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) kind: &'a Kind,
    pub(super) parent: Option<&'a Key>,
    /// The client's id; ignored where the server chooses.
    pub(super) id: Option<&'a str>,
    pub(super) body: &'a Document,
    /// Two calls with one token make one thing.
    pub(super) token: Option<&'a str>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) code: &'static Code,
    pub(super) account: String,
    things: BTreeMap<Kind, BTreeMap<Id, Thing>>,
    lingering: BTreeMap<Key, Thing>,
    /// Values that stand once, and who holds them.
    claims: BTreeMap<String, Key>,
    tokens: BTreeMap<String, Key>,
    /// Where the sequence of server ids began and how many were given out.
    pub(super) seed: u64,
    given: u64,
    now: u64,
}

impl State {
    pub(super) fn new(code: &'static Code) -> Self {
        let mut state = Self {
            code,
            account: "000000000001".to_owned(),
            things: BTreeMap::new(),
            lingering: BTreeMap::new(),
            claims: BTreeMap::new(),
            tokens: BTreeMap::new(),
            seed: 0,
            given: 0,
            now: 1_700_000_000,
        };
        state.reset_fixed();
        state
    }

    fn reset_fixed(&mut self) {
        for (key, text) in self.code.fixed {
            if let (Ok(key), Ok(document)) = (key.parse(), Document::parse(text)) {
                self.store(&key, None, document, BTreeMap::new());
            }
        }
    }

    /// Everything goes but what is always there; ids go on where they were.
    pub(super) fn clear(&mut self) {
        self.things.clear();
        self.lingering.clear();
        self.claims.clear();
        self.tokens.clear();
        self.reset_fixed();
    }

    // ---- reading ----

    pub(super) fn get(&self, key: &Key) -> Option<&Thing> {
        self.things.get(&key.kind)?.get(&key.id)
    }

    pub(super) fn count(&self) -> usize {
        self.things.values().map(BTreeMap::len).sum()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Key, &Thing)> {
        self.things.iter().flat_map(|(kind, ids)| {
            ids.iter().map(|(id, thing)| (Key::new(kind.clone(), id.clone()), thing))
        })
    }

    pub(super) fn of_kind(&self, kind: &Kind) -> impl Iterator<Item = (Key, &Thing)> {
        self.after(kind, None)
    }

    /// The things of a kind whose ids come after this one.
    pub(super) fn after(
        &self,
        kind: &Kind,
        id: Option<&Id>,
    ) -> impl Iterator<Item = (Key, &Thing)> {
        let from = id.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (from, Bound::Unbounded);
        let found = self.things.get(kind).map(|ids| ids.range::<Id, _>(range));
        found.into_iter().flatten().map(|(id, thing)| (Key::new(kind.clone(), id.clone()), thing))
    }

    pub(super) fn lingering(&self, kind: &Kind) -> Vec<Key> {
        self.lingering.keys().filter(|key| key.kind == *kind).cloned().collect()
    }

    // ---- writing ----

    pub(super) fn create(&mut self, order: Order<'_>) -> Result<Done> {
        if let Some(key) = order.token.and_then(|token| self.tokens.get(token)).cloned()
            && let Some(thing) = self.get(&key).cloned()
        {
            return Ok(Done { key, thing: Some(thing), existed: true, also: Vec::new() });
        }
        let law = self.law(order.kind)?;
        if law.fixed {
            return Err(Error::new(ErrorKind::Unsupported, "this is never created").on(order.kind));
        }
        match (law.parent, order.parent) {
            (None, None) => {}
            (Some(kind), Some(parent)) if parent.kind.as_str() == kind => {
                if self.get(parent).is_none() {
                    return Err(Error::new(ErrorKind::NotFound, "no such parent").on(parent));
                }
            }
            _ => return Err(Error::invalid("the address has the wrong parent").on(order.kind)),
        }
        let (id, fresh) = self.new_id(law, &order)?;
        let key = Key::new(order.kind.clone(), child(order.parent, &id)?);
        if self.get(&key).is_some() {
            return Err(Error::new(ErrorKind::AlreadyExists, "it is there").on(&key));
        }
        if self.lingering.contains_key(&key) {
            let error = Error::new(ErrorKind::AlreadyExists, "it is deleted and keeps its name");
            return Err(error.on(&key).help("bring it back instead"));
        }
        let mut body = order.body.clone();
        for (name, number) in law.generated.iter().zip(1..) {
            if body.get(&format!("/{name}")).is_none() {
                body = set(&body, name, &format!("\"made-{}-{number}\"", self.now))?;
            }
        }
        let (body, hidden) = self.admitted(law, &key, order.parent, &body, None)?;
        if fresh {
            self.given += 1;
        }
        self.store(&key, order.parent.cloned(), body, hidden);
        let mut also = Vec::new();
        for (kind, text) in law.born {
            let kind = Kind::new(kind)?;
            let body = Document::parse(text)?;
            let born =
                Order { kind: &kind, parent: Some(&key), id: None, body: &body, token: None };
            also.push((self.create(born)?.key, true));
        }
        if let Some(token) = order.token {
            self.tokens.insert(token.to_owned(), key.clone());
        }
        let thing = self.get(&key).cloned();
        Ok(Done { key, thing, existed: false, also })
    }

    /// Replaces the whole document.
    pub(super) fn update(&mut self, key: &Key, body: &Document) -> Result<Done> {
        let law = self.law(&key.kind)?;
        let old = self.get(key).cloned().ok_or_else(|| missing(key))?;
        if !law.update {
            return Err(Error::new(ErrorKind::Unsupported, "this is never changed").on(key));
        }
        let (body, hidden) = self.admitted(law, key, old.parent.as_ref(), body, Some(&old))?;
        for name in law.immutable {
            let at = format!("/{name}");
            if body.get(&at) != old.document.get(&at) {
                return Err(Error::invalid("this member cannot change").on(format!("{key}#{at}")));
            }
        }
        self.store(key, old.parent, body, hidden);
        let thing = self.get(key).cloned();
        Ok(Done { key: key.clone(), thing, existed: false, also: Vec::new() })
    }

    pub(super) fn delete(&mut self, key: &Key) -> Result<Done> {
        let law = self.law(&key.kind)?;
        if self.get(key).is_none() {
            return Err(missing(key));
        }
        if law.fixed {
            self.reset_fixed();
            let thing = self.get(key).cloned();
            return Ok(Done { key: key.clone(), thing, existed: false, also: Vec::new() });
        }
        let doomed = self.doomed(key)?;
        let mut also = Vec::new();
        for gone in doomed {
            let thing = self.forget(&gone);
            if gone == *key && law.lingers {
                self.lingering.extend(thing.map(|thing| (gone.clone(), thing)));
            }
            if gone != *key {
                also.push((gone, false));
            }
        }
        Ok(Done { key: key.clone(), thing: None, existed: false, also })
    }

    pub(super) fn undelete(&mut self, key: &Key) -> Result<Done> {
        let law = self.law(&key.kind)?;
        let thing = self.lingering.get(key).cloned().ok_or_else(|| missing(key))?;
        // What it names may be gone meanwhile: it comes back as it was.
        self.check_unique(law, key, thing.parent.as_ref(), &thing.document)?;
        self.lingering.remove(key);
        self.store(key, thing.parent, thing.document, thing.hidden);
        let thing = self.get(key).cloned();
        Ok(Done { key: key.clone(), thing, existed: false, also: Vec::new() })
    }

    // ---- behind the vendor's back ----

    /// Stores without any check, as a fault of the vendor or an unknown door might.
    pub(super) fn force(&mut self, key: &Key, parent: Option<Key>, document: Document) {
        let hidden = self.forget(key).map(|old| old.hidden).unwrap_or_default();
        self.store(key, parent, document, hidden);
    }

    /// Removes without any check.
    pub(super) fn forget(&mut self, key: &Key) -> Option<Thing> {
        let thing = self.things.get_mut(&key.kind)?.remove(&key.id)?;
        for claim in self.claims_of(key, &thing) {
            self.claims.remove(&claim);
        }
        self.now += 1;
        Some(thing)
    }

    // ---- rules ----

    fn law(&self, kind: &Kind) -> Result<&'static Law> {
        self.code
            .law(kind.as_str())
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "no such collection").on(kind))
    }

    /// The id, and whether it uses up a number of the sequence.
    fn new_id(&self, law: &Law, order: &Order<'_>) -> Result<(String, bool)> {
        let asked = match law.ids {
            Ids::Server => return Ok((server_id(self.seed, self.given), true)),
            Ids::Client => order
                .id
                .map(str::to_owned)
                .or_else(|| order.body.text("/id").map(std::borrow::Cow::into_owned)),
            Ids::Natural(member) => {
                order.body.text(&format!("/{member}")).map(std::borrow::Cow::into_owned)
            }
        };
        let asked = asked.filter(|id| !id.is_empty());
        asked.map(|id| (id, false)).ok_or_else(|| Error::invalid("an id is missing").on(order.kind))
    }

    /// The document as it will be kept, and its hidden members; or why it is refused.
    fn admitted(
        &self,
        law: &Law,
        key: &Key,
        parent: Option<&Key>,
        body: &Document,
        old: Option<&Thing>,
    ) -> Result<(Document, BTreeMap<String, String>)> {
        let mut body = body.clone();
        let last = serde_json::Value::from(key.id.last()).to_string();
        match law.ids {
            Ids::Client if body.get("/id").is_some_and(|id| id != last) => {
                return Err(Error::invalid("the id differs from the address").on(key));
            }
            Ids::Client | Ids::Server => body = set(&body, "id", &last)?,
            Ids::Natural(member) if law.fixed => body = body.without([format!("/{member}")]),
            Ids::Natural(member) if body.get(&format!("/{member}")) != Some(&last) => {
                return Err(Error::invalid("the name differs from the address").on(key));
            }
            Ids::Natural(_) => {}
        }
        let mut hidden = old.map(|old| old.hidden.clone()).unwrap_or_default();
        for name in law.hidden {
            let at = format!("/{name}");
            if let Some(value) = body.get(&at) {
                hidden.insert((*name).to_owned(), value.to_owned());
                body = body.without([at]);
            }
        }
        for (name, value) in law.defaults {
            if body.get(&format!("/{name}")).is_none() {
                body = set(&body, name, value)?;
            }
        }
        for name in law.required {
            let there = body.get(&format!("/{name}")).is_some_and(|value| value != "null");
            if !there && !hidden.contains_key(*name) {
                let error = Error::invalid("a required member is missing");
                return Err(error.on(format!("{key}#/{name}")));
            }
        }
        if let Some(name) = law.stamp {
            body = set(&body, name, &(self.now + 1).to_string())?;
        }
        if law.snapshot && body.get("/snapshot").is_none() {
            body = set(&body, "snapshot", &self.snapshot(parent))?;
        }
        if key.kind.as_str() == "api" {
            let host = format!("\"https://{}.gw.example\"", key.id.last());
            body = set(&body, "endpoint", &host)?;
        }
        self.check_links(law, key, parent, &body)?;
        self.check_mentions(law, key, &body)?;
        self.check_unique(law, key, parent, &body)?;
        Ok((body, hidden))
    }

    fn store(
        &mut self,
        key: &Key,
        parent: Option<Key>,
        document: Document,
        hidden: BTreeMap<String, String>,
    ) {
        self.forget(key);
        self.now += 1;
        let thing = Thing { parent, document, hidden, revision: self.now };
        for claim in self.claims_of(key, &thing) {
            self.claims.insert(claim, key.clone());
        }
        self.things.entry(key.kind.clone()).or_default().insert(key.id.clone(), thing);
    }
}

fn missing(key: &Key) -> Error {
    Error::new(ErrorKind::NotFound, "it is not there").on(key)
}

/// The id of this raw segment below `parent`.
pub(super) fn child(parent: Option<&Key>, segment: &str) -> Result<Id> {
    match parent {
        Some(parent) => parent.id.child(segment),
        None => Id::of([segment]),
    }
}

/// The `n`-th id of a sequence: six characters in no visible order, none given twice within a
/// hundred thousand seeds and creations each.
fn server_id(seed: u64, n: u64) -> String {
    const DIGITS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    const ALL: u64 = 36_u64.pow(6);
    // Prime to 36, so that different numbers stay different.
    const STRIDE: u64 = 1_236_277_351;
    let number = (seed.wrapping_mul(20_000).wrapping_add(n) % ALL) * STRIDE % ALL;
    let mut rest = number;
    let mut id = String::new();
    for _ in 0..6 {
        let digit = usize::try_from(rest % 36).unwrap_or_default();
        id.push(char::from(*DIGITS.get(digit).unwrap_or(&b'a')));
        rest /= 36;
    }
    id
}
