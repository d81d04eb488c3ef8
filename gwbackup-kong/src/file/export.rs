//! A backup as a file for Kong or for decK to read.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};

use gwbackup_core::clock::Timestamp;
use gwbackup_core::model::Resource;
use gwbackup_core::whole_file::{About, FileFormat};
use gwbackup_core::{Error, Result};

use super::check::{Form, MAX_TTL, form, secret_member};
use super::emit::Lists;
use super::nest::nest;
use super::{FORMAT_VERSION, KongFile};
use crate::node::{Map, Node, get, set};
use crate::schema::{Row, SETTINGS};

/// A declarative file for another program, made from any backup of Kong's entities: of a node, of
/// another file, of a `jsonl:` gateway.
///
/// Children stand inside their parents, as both Kong and decK read them, and nothing is in it that
/// Kong would set anew (`updated_at`) or take for the default anyway (members that are null). A file
/// for Kong that holds hashes says `_transform: false`, so that Kong stores them as they are; decK
/// refuses such a file, since it could only have them hashed again, so a file for decK holds none.
/// The id of the cluster is left out.
/// A `ttl` becomes the moment of expiry for Kong, seconds left for decK. A text that looks like one of
/// decK's placeholders is one.
///
/// ```
/// use gwbackup_core::model::{Document, Resource};
/// use gwbackup_core::whole_file::FileFormat;
///
/// # fn main() -> gwbackup_core::Result<()> {
/// let service = Document::parse(r#"{"host":"pay.internal","name":"pay","path":null}"#)?;
/// let service = Resource::new("service/5c3b".parse()?, service);
/// let mut file = Vec::new();
/// let mut all = std::iter::once(Ok(service));
/// gwbackup_kong::Export::kong().version("2.8.4").write(&mut all, &mut file)?;
/// let wanted = r#"_format_version: "2.1"
/// services:
/// - host: "pay.internal"
///   name: "pay"
///   id: "5c3b"
/// "#;
/// assert_eq!(String::from_utf8(file).ok().as_deref(), Some(wanted));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Export {
    format: KongFile,
    /// Only what decK knows, and as decK means it.
    deck: bool,
    /// Whether a kind that the table does not know may be one of Kong's.
    custom: bool,
    format_version: &'static str,
    counted_from: Option<Timestamp>,
    left_out: Arc<Mutex<BTreeMap<String, u64>>>,
}

/// Kinds that Kong's files have and decK's do not.
const NOT_DECKS: &[&str] =
    &["parameter", "workspace", "key_set", "key", "oauth2_token", "acme_storage", "filter_chain"];

/// Members that decK has no place for: the second pair of a certificate.
const MEMBERS_NOT_DECKS: &[(&str, &str)] =
    &[("certificate", "cert_alt"), ("certificate", "key_alt")];

/// Collections of decK's that the table does not know.
const DECKS: &[&str] = &["rbac_roles", "licenses", "service_packages"];

impl Export {
    /// For Kong: `kong config parse`, `kong config db_import`, a node without a database. decK reads
    /// it too, unless it holds what decK does not know. In YAML.
    pub fn kong() -> Self {
        Self {
            format: KongFile::Yaml,
            deck: false,
            custom: true,
            format_version: FORMAT_VERSION,
            counted_from: None,
            left_out: Arc::default(),
        }
    }

    /// For decK: without what it [has no place for](Self::left_out). In YAML.
    pub fn deck() -> Self {
        Self { deck: true, ..Self::kong() }
    }

    /// In JSON.
    #[must_use]
    pub fn json(mut self) -> Self {
        self.format = KongFile::Json;
        self
    }

    /// For this version of Kong, which says how paths of routes are to be understood.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
        self.format_version = match (parts.next().flatten(), parts.next().flatten()) {
            (Some(2), Some(minor)) if minor >= 1 => "2.1",
            (Some(..=2), _) => "1.1",
            _ => FORMAT_VERSION,
        };
        self
    }

    /// The moment from which on a `ttl` in seconds counts: when the entities were read, or when decK
    /// is to write them. Without it every `ttl` stays as it is.
    #[must_use]
    pub fn counted_from(mut self, moment: Timestamp) -> Self {
        self.counted_from = Some(moment);
        self
    }

    /// Refuses kinds that are not in Kong's table, for a backup of something else than Kong.
    #[must_use]
    pub fn only_kong(mut self) -> Self {
        self.custom = false;
        self
    }

    /// What was not written, by kind (`key_set`, `basicauth_credential` for hashed ones) or member (`certificate/cert_alt`), and how often;
    /// filled while the file, or a clone of this, is written.
    pub fn left_out(&self) -> BTreeMap<String, u64> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn leave_out(&self, what: String) {
        *self.left_out.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
    }

    fn holds(&self, kind: &str) -> bool {
        match (kind, self.deck) {
            ("parameter", _) => false,
            (_, false) => true,
            (kind, true) if Row::of_kind(kind).is_some() => !NOT_DECKS.contains(&kind),
            (kind, true) => kind == SETTINGS || DECKS.contains(&kind),
        }
    }

    /// The resource as the file takes it; `None` for what it does not hold.
    fn take(&self, resource: Result<Resource>) -> Option<Result<Resource>> {
        let resource = match resource {
            Ok(resource) => resource,
            error => return Some(error),
        };
        let kind = resource.key.kind.as_str();
        if !self.custom && kind != SETTINGS && Row::of_kind(kind).is_none() {
            return Some(Err(Error::invalid("Kong has no entities of this kind")
                .on(&resource.key)
                .help("a backup of another product can be exported as json or jsonl")));
        }
        if !self.holds(kind) {
            self.leave_out(kind.to_owned());
            return None;
        }
        Some(Ok(resource))
    }

    /// What Kong or decK would not understand as it is meant.
    fn settle(&self, all: &mut Lists) {
        let transform = get(&all.own, "_transform").is_some_and(|said| !is(said, "false"));
        if self.deck {
            all.as_the_file_says();
        }
        // Kong knows no others of the members that are decK's.
        all.own.retain(|(name, _)| match name.as_str() {
            "_format_version" | "_workspace" => true,
            "_info" | "_konnect" => self.deck,
            _ => false,
        });
        all.version(self.format_version);
        for (row, members) in all.entities() {
            out_of_line(row, members);
            if self.deck {
                members.retain(|(name, value)| {
                    let known = !MEMBERS_NOT_DECKS.contains(&(row.kind, name));
                    if !known && !value.is_null() {
                        self.leave_out(format!("{}/{name}", row.kind));
                    }
                    known
                });
            }
            self.time_to_live(members);
        }
        if self.deck {
            all.retain(|row, members| {
                let keep = !is_hashed(row, members);
                if !keep {
                    self.leave_out(row.kind.to_owned());
                }
                keep
            });
        } else if !transform && all.entities().any(|(row, members)| is_hashed(row, members)) {
            all.own.insert(1, ("_transform".into(), Node::Token("false".into())));
        }
    }

    fn time_to_live(&self, members: &mut Map) {
        let Some(from) = self.counted_from.map(Timestamp::as_second) else { return };
        let Some(Node::Token(ttl)) = get(members, "ttl") else { return };
        let Ok(ttl) = ttl.parse::<i64>() else { return };
        let moment = if ttl <= MAX_TTL { from.saturating_add(ttl) } else { ttl };
        // One that has expired gets the shortest time there is.
        let ttl = if self.deck { moment.saturating_sub(from).max(1) } else { moment };
        set(members, "ttl", Node::Token(ttl.to_string().into()));
    }
}

/// Whether it is a credential whose secret is a hash.
fn is_hashed(row: &Row, members: &Map) -> bool {
    let secret = secret_member(row.kind).and_then(|m| get(members, m)).and_then(Node::text);
    let hash_secret = get(members, "hash_secret").is_some_and(|said| is(said, "true"));
    secret.and_then(|secret| form(row.kind, secret, hash_secret)) == Some(Form::Hash)
}

fn is(node: &Node, token: &str) -> bool {
    matches!(node, Node::Token(own) if &**own == token)
}

/// The entity in a line of a `jsonl:` gateway, which has its members in `body` and its foreign keys
/// in `refs`.
fn out_of_line(row: &Row, members: &mut Map) {
    let Some(Node::Map(body)) = get(members, "body") else { return };
    let mut entity = body.clone();
    for (name, value) in std::mem::take(members) {
        match (name.as_str(), value) {
            ("body", _) => {}
            ("refs", Node::Map(refs)) => {
                for (name, id) in refs {
                    if row.foreign.iter().any(|foreign| foreign.member == name) {
                        set(&mut entity, &name, id);
                    }
                }
            }
            (_, value) => set(&mut entity, &name, value),
        }
    }
    *members = entity;
}

impl FileFormat for Export {
    fn scheme(&self) -> &str {
        self.format.scheme()
    }

    fn about(&self) -> About {
        self.format.about()
    }

    fn read(
        &self,
        input: &mut dyn BufRead,
        found: &mut dyn FnMut(Resource) -> Result<()>,
    ) -> Result<()> {
        self.format.read(input, found)
    }

    fn write(
        &self,
        resources: &mut dyn Iterator<Item = Result<Resource>>,
        out: &mut dyn Write,
    ) -> Result<()> {
        let mut all = Lists::gather(&mut resources.filter_map(|resource| self.take(resource)))?;
        self.settle(&mut all);
        nest(&mut all);
        all.write(self.format, out)
    }
}
