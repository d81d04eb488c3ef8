//! The same traffic with other ids and names, and independent requests in another order: nothing of
//! the recordings can be known by heart.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Map, Value};
use uuid::{Builder, Uuid, uuid};

use crate::replay::Recording;

/// The recorded node itself, which the double is.
const NODE: Uuid = uuid!("fef48ba2-67d4-4aaf-8d79-7e563af44177");

/// Parts of names, hosts, keys, passwords and tags of the recordings.
const WORDS: &[&str] = &[
    "harbor",
    "ledger",
    "orders",
    "quarry",
    "atlas",
    "beacon",
    "tide",
    "lotse",
    "shop",
    "pier",
    "demo",
    "plant",
    "teapot",
    "kunde",
    "gold",
    "silver",
    "partner",
    "batch",
    "spaces",
    "signer",
    "born",
    "inline",
    "nameless",
    "corr-everywhere",
    "pool",
];

/// `SplitMix64`, so that a failure can be had again.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.number() % limit as u64).unwrap()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// New ids in the order of the old ones, so that lists keep their order, and new words.
pub(crate) struct Names {
    ids: BTreeMap<Uuid, Uuid>,
    words: Vec<(&'static str, String)>,
}

impl Names {
    /// New names for all that these recordings hold together.
    pub(crate) fn new(recordings: &[Recording], chance: &mut Chance) -> Self {
        let mut old = BTreeSet::new();
        for exchange in recordings.iter().flat_map(|recording| &recording.exchanges) {
            each_id(&exchange.to_string(), &mut |id| {
                old.insert(id);
            });
        }
        old.remove(&NODE);
        let mut new = BTreeSet::new();
        while new.len() < old.len() {
            let bits = u128::from(chance.number()) << 64 | u128::from(chance.number());
            new.insert(Builder::from_random_bytes(bits.to_be_bytes()).into_uuid());
        }
        let mut word = |old: &'static str| {
            // The first letter stays: names are sorted, too.
            let tail =
                (1..old.len()).map(|_| char::from(b"bcdfghjklmnpqrstvwxz"[chance.below(20)]));
            (old, old.chars().take(1).chain(tail).collect())
        };
        let words = WORDS.iter().map(|old| word(old)).collect();
        Self { ids: old.into_iter().zip(new).collect(), words }
    }

    /// A recording under the new names.
    pub(crate) fn rename(&self, recording: &Recording) -> Recording {
        let exchanges = recording.exchanges.iter().map(|exchange| self.value(exchange)).collect();
        Recording { file: recording.file.clone(), exchanges }
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::from(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(members) => {
                let member = |(name, value): (&String, &Value)| {
                    let id = Uuid::try_parse(name).ok().and_then(|id| self.ids.get(&id));
                    (id.map_or_else(|| name.clone(), Uuid::to_string), self.value(value))
                };
                Value::Object(members.iter().map(member).collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }

    fn text(&self, text: &str) -> String {
        if text.starts_with("-----BEGIN ") {
            return text.to_owned();
        }
        let mut text = self.offsets(text);
        let mut found = BTreeSet::new();
        each_id(&text, &mut |id| {
            found.insert(id);
        });
        // All at once: a new id might be an old one's text.
        let marks: Vec<(String, Uuid)> =
            found.into_iter().enumerate().map(|(n, id)| (format!("<id {n}>"), id)).collect();
        for (mark, id) in &marks {
            text = text.replace(&id.to_string(), mark);
        }
        for (mark, id) in &marks {
            text = text.replace(mark, &self.ids.get(id).unwrap_or(id).to_string());
        }
        for (old, new) in &self.words {
            text = text.replace(old, new);
        }
        text
    }

    /// Rewrites the ids inside offsets.
    fn offsets(&self, text: &str) -> String {
        let mut out = text.to_owned();
        let part = |c: char| !(c.is_ascii_alphanumeric() || c == '+' || c == '/');
        for token in text.split(part).filter(|token| is_offset(token)) {
            let Ok(bytes) = STANDARD_NO_PAD.decode(token) else { continue };
            let json = self.text(&String::from_utf8(bytes).unwrap());
            out = out.replace(token, &STANDARD_NO_PAD.encode(json));
        }
        out
    }
}

/// The base64 of `["` and a letter or a digit.
fn is_offset(token: &str) -> bool {
    token.starts_with("WyI") || token.starts_with("WyJ")
}

/// Finds every id in a text, inside offsets as well.
fn each_id(text: &str, found: &mut dyn FnMut(Uuid)) {
    for at in 0..text.len().saturating_sub(35) {
        let part = text.as_bytes().get(at..at + 36).and_then(|part| std::str::from_utf8(part).ok());
        let Some(part) = part.filter(|part| part.as_bytes()[8] == b'-') else { continue };
        if let Ok(id) = Uuid::try_parse(part) {
            found(id);
        }
    }
    let part = |c: char| !(c.is_ascii_alphanumeric() || c == '+' || c == '/');
    for token in text.split(part).filter(|token| is_offset(token)) {
        if let Ok(bytes) = STANDARD_NO_PAD.decode(token) {
            each_id(&String::from_utf8(bytes).unwrap(), found);
        }
    }
}

/// Puts requests that do not depend on each other into another order.
pub(crate) fn reorder(recording: &mut Recording, chance: &mut Chance) {
    let all = std::mem::take(&mut recording.exchanges);
    let mut runs: Vec<(String, Vec<Value>)> = Vec::new();
    for exchange in all {
        let group = group(&recording.file, &exchange);
        match runs.last_mut() {
            Some((last, run)) if *last == group => run.push(exchange),
            _ => runs.push((group, vec![exchange])),
        }
    }
    for (group, mut run) in runs {
        if !group.is_empty() {
            chance.shuffle(&mut run);
        }
        recording.exchanges.extend(run);
    }
}

/// Neighbours of one group are independent; those without a group are not.
fn group(file: &str, exchange: &Value) -> String {
    let (request, status) =
        (&exchange["request"], exchange["response"]["status"].as_u64().unwrap());
    let path = request["path"].as_str().unwrap();
    match file {
        "02-lists-full" | "03-paging" | "04-single-gets" | "05-tags" => "reads".into(),
        // What is refused has no effect.
        "08-errors" if status >= 400 => "refused".into(),
        "01-create" | "11-restore-by-put" | "15-delete-all" => {
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            let collection = *parts.get(2).unwrap_or(&parts[0]);
            // The order of targets shows.
            if collection == "targets" { String::new() } else { collection.to_owned() }
        }
        _ => String::new(),
    }
}
