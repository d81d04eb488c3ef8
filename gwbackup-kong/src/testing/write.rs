//! Creating, replacing, changing and deleting entities.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::kinds::{Kind, SERVICES, SNIS};
use super::node::{Mode, Node};
use super::reply::Reply;
use super::schema::{NoSchema, Record, Type, echo, expand, fill, merge, strip};
use super::store::parent;
use super::validate::{self, Errors};
use super::{custom, pem, secret};

type Data = Map<String, Value>;

/// What a request does with the entity that it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    /// POST: nothing with its id may be there.
    Insert,
    /// PUT: replaces whatever has this id.
    Replace(Uuid),
    /// PATCH: changes members of what has this id.
    Change(Uuid),
}

/// Who sends an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A client of the Admin API: secrets are hashed, and what a certificate does not list is gone.
    Api,
    /// A declarative file, which may hold secrets as hashes.
    File { hashes: bool },
}

/// What is stored beside an entity's own members.
struct Beside {
    ttl: Option<i64>,
    snis: Option<Vec<String>>,
}

impl Node {
    /// Stores an entity as the Admin API does.
    pub(super) fn write(
        &mut self,
        kind: &'static Kind,
        write: Write,
        body: Data,
    ) -> Result<Uuid, Reply> {
        self.write_as(kind, write, body, Way::Api)
    }

    /// Stores an entity.
    pub(super) fn write_as(
        &mut self,
        kind: &'static Kind,
        write: Write,
        mut body: Data,
        way: Way,
    ) -> Result<Uuid, Reply> {
        let secret = match kind.schema {
            "basicauth_credentials" => body.get("password").is_some_and(|sent| !sent.is_null()),
            "oauth2_credentials" => write != Write::Insert && body.contains_key("client_secret"),
            _ => false,
        };
        let changes = matches!(write, Write::Change(_));
        let beside = self.set_aside(kind, write, &mut body)?;
        let (id, mut data, record_errors) = self.complete(kind, write, body)?;
        if !record_errors.is_empty() {
            return Err(Reply::schema_violation(record_errors));
        }
        self.parents_exist(kind, &data)?;
        if let Some(names) = &beside.snis {
            self.snis_are_free(id, names)?;
        }
        if write == Write::Insert && self.store.get(kind, id).is_some() {
            return Err(Reply::primary_key(&id.to_string()));
        }
        if let Some(key) = self.store.conflict(kind, id, &data) {
            return Err(Reply::unique(key));
        }
        let secret = secret || (!changes && kind.schema == "oauth2_credentials");
        if secret && way != (Way::File { hashes: true }) {
            self.hash(kind, &mut data);
        }
        let kept = self.store.get(kind, id).and_then(|row| row.expires).filter(|_| changes);
        let expires = beside.ttl.map(|ttl| self.now() + ttl * 1000).or(kept);
        self.cached.remove(&id.to_string());
        self.store.put(kind, id, &data, expires);
        match beside.snis {
            Some(names) => self.set_snis(id, &names),
            // What a PUT does not send is gone.
            None if kind.schema == "certificates" && !changes && way == Way::Api => {
                self.set_snis(id, &[]);
            }
            None => {}
        }
        Ok(id)
    }

    /// Whether an entity would be accepted, parents apart.
    pub(super) fn validate(&mut self, kind: &'static Kind, mut body: Data) -> Result<(), Reply> {
        self.set_aside(kind, Write::Insert, &mut body)?;
        let (_, _, errors) = self.complete(kind, Write::Insert, body)?;
        if errors.is_empty() { Ok(()) } else { Err(Reply::schema_violation(errors)) }
    }

    /// Deletes an entity unless others need it.
    pub(super) fn delete(&mut self, kind: &'static Kind, id: Uuid) -> Result<(), Reply> {
        if kind.schema == "ca_certificates" {
            let text = id.to_string();
            let lists = |data: &Data| {
                let listed = data.get("ca_certificates").and_then(Value::as_array);
                listed.is_some_and(|ids| ids.iter().any(|id| *id == *text))
            };
            let mut services = self.store.after(SERVICES, None);
            if let Some((service, _)) =
                services.find(|(_, row)| row.json.contains(&text) && lists(&row.data()))
            {
                return Err(Reply::ca_in_use(&text, &service.to_string()));
            }
        }
        if self.store.get(kind, id).is_some()
            && let Some(child) = self.store.held_by(kind, id)
        {
            return Err(Reply::has_children(kind.schema, child.schema));
        }
        self.store.remove(kind, id);
        Ok(())
    }

    /// Takes out of the body what is no member of the entity.
    fn set_aside(
        &mut self,
        kind: &'static Kind,
        write: Write,
        body: &mut Data,
    ) -> Result<Beside, Reply> {
        body.remove("updated_at");
        if write != Write::Insert {
            body.remove("id");
        }
        let mut beside = Beside { ttl: None, snis: None };
        if kind.ttl
            && let Some(ttl) = body.remove("ttl")
        {
            match ttl.as_i64() {
                Some(ttl) if (0..=100_000_000).contains(&ttl) => beside.ttl = Some(ttl),
                // Kong means to accept null, and fails.
                _ if ttl.is_null() => {
                    return Err(Reply::message(500, "An unexpected error occurred"));
                }
                _ => {
                    let why = Value::from("must be an integer between 0 and 100000000");
                    return Err(Reply::schema_violation(Errors::from_iter([("ttl".into(), why)])));
                }
            }
        }
        if kind.schema == "certificates"
            && let Some(Value::Array(names)) = body.get("snis")
        {
            let names = names.iter().filter_map(Value::as_str).map(str::to_owned);
            beside.snis = Some(names.collect());
            body.remove("snis");
        }
        if kind.schema == "certificates" && body.get("snis").is_some_and(Value::is_null) {
            body.remove("snis");
        }
        if kind.schema == "services" {
            custom::split_url(body);
        }
        for link in self.store.links(kind) {
            let Some(Value::Object(key)) = body.get(&link.member) else { continue };
            let Some(member) = link.parent.name.filter(|_| !key.contains_key("id")) else {
                continue;
            };
            let Some(name) = key.get(member).and_then(Value::as_str) else { continue };
            let Some(id) = self.store.find(link.parent, member, name) else {
                return Err(Reply::unresolved(&link.member, member, name, link.parent.schema));
            };
            body.insert(link.member.clone(), serde_json::json!({ "id": id }));
        }
        Ok(beside)
    }

    /// The whole entity that a body makes, and what is wrong with it.
    fn complete(
        &mut self,
        kind: &'static Kind,
        write: Write,
        body: Data,
    ) -> Result<(Uuid, Data, Errors), Reply> {
        let before = match write {
            Write::Change(id) => self.store.get(kind, id).map(super::store::Row::data),
            _ => None,
        };
        let named =
            if body.contains_key("name") { &body } else { before.as_ref().unwrap_or(&body) };
        let schemas = std::sync::Arc::clone(&self.schemas);
        let record = schemas.of(kind, named).map_err(no_schema)?;
        let mut errors = Errors::new();
        let mut data = body;
        expand(record, &mut data, &mut errors);
        if let Some(mut before) = before {
            strip(record, &mut before);
            merge(record, &mut before, data);
            data = before;
        }
        let id = self.automatic(kind, record, write, &mut data);
        fill(record, &mut data);
        if kind.schema == "targets"
            && let Some(target) = data.get("target").and_then(Value::as_str)
            && let Some(normal) = custom::normal_target(target)
        {
            data.insert("target".into(), normal.into());
        }
        if kind.schema == "ca_certificates"
            && let Some(der) = data.get("cert").and_then(Value::as_str).and_then(pem::certificate)
        {
            data.insert("cert_digest".into(), secret::sha256(&der).into());
        }
        for (name, error) in validate::record(record, &data) {
            errors.entry(name).or_insert(error);
        }
        custom::check(kind, &data, &mut errors);
        echo(record, &mut data);
        Ok((id, data, errors))
    }

    /// Sets the members that the node sets by itself.
    fn automatic(
        &mut self,
        kind: &'static Kind,
        record: &Record,
        write: Write,
        data: &mut Data,
    ) -> Uuid {
        let given = data.get("id").and_then(Value::as_str).and_then(super::node::as_id);
        let id = match write {
            Write::Replace(id) | Write::Change(id) => id,
            Write::Insert => given.unwrap_or_else(|| self.ids.uuid()),
        };
        let bad_id = write == Write::Insert && data.get("id").is_some_and(|id| !id.is_null());
        if given.is_some() || !bad_id {
            data.insert("id".into(), id.to_string().into());
        }
        let now = self.now();
        // Targets are the one kind with milliseconds.
        let time = if kind.schema == "targets" { millis(now) } else { (now / 1000).into() };
        let unset = |data: &Data, name: &str| data.get(name).is_none_or(Value::is_null);
        for (name, field) in record.fields().filter(|(_, field)| field.auto) {
            match name {
                "id" => {}
                "updated_at" => {
                    data.insert(name.into(), time.clone());
                }
                _ if !unset(data, name) || matches!(write, Write::Change(_)) => {}
                "created_at" => {
                    data.insert(name.into(), time.clone());
                }
                _ if field.kind == Type::String => {
                    data.insert(name.into(), self.ids.text().into());
                }
                _ => {}
            }
        }
        id
    }

    fn parents_exist(&self, kind: &'static Kind, data: &Data) -> Result<(), Reply> {
        for link in self.store.links(kind) {
            if let Some(id) = parent(data, &link.member)
                && self.store.get(link.parent, id).is_none()
            {
                return Err(Reply::no_parent(&link.member, &id.to_string(), link.parent.schema));
            }
        }
        Ok(())
    }

    fn hash(&mut self, kind: &'static Kind, data: &mut Data) {
        let text = |name: &str| data.get(name).and_then(Value::as_str).map(str::to_owned);
        if kind.schema == "basicauth_credentials" {
            let consumer = parent(data, "consumer").unwrap_or_default().to_string();
            if let Some(password) = text("password") {
                let hash = secret::basic_auth(&password, &consumer);
                data.insert("password".into(), hash.into());
            }
        } else if data.get("hash_secret") == Some(&Value::Bool(true))
            && let Some(secret) = text("client_secret")
        {
            let hash = self.ids.oauth2(&secret);
            data.insert("client_secret".into(), hash.into());
        }
    }

    fn snis_are_free(&self, certificate: Uuid, names: &[String]) -> Result<(), Reply> {
        for name in names {
            let Some(sni) = self.store.find(SNIS, "name", name) else { continue };
            let owner =
                self.store.get(SNIS, sni).and_then(|row| parent(&row.data(), "certificate"));
            if let Some(owner) = owner.filter(|owner| *owner != certificate) {
                let why = format!("{name} already associated with existing certificate '{owner}'");
                let errors = Errors::from_iter([("snis".into(), Value::from(why))]);
                return Err(Reply::schema_violation(errors));
            }
        }
        Ok(())
    }

    /// Makes a certificate's SNIs exactly these; those that it has already keep their ids.
    fn set_snis(&mut self, certificate: Uuid, names: &[String]) {
        let own: Vec<Uuid> =
            self.store.children(SNIS, "certificate", certificate, None).map(|(id, _)| id).collect();
        for id in own {
            let data = self.store.get(SNIS, id).map(super::store::Row::data).unwrap_or_default();
            let name = data.get("name").and_then(Value::as_str);
            if !name.is_some_and(|name| names.iter().any(|wanted| wanted == name)) {
                self.store.remove(SNIS, id);
            }
        }
        for name in names {
            if self.store.find(SNIS, "name", name).is_some() {
                continue;
            }
            let body = serde_json::json!({ "name": name, "certificate": { "id": certificate } });
            if let Value::Object(body) = body {
                // The names were found free, and the certificate is there.
                let _ = self.write(SNIS, Write::Insert, body);
            }
        }
    }

    /// The refusal of a write to a node without a database.
    pub(super) fn refuse_write(&self, what: &str, kind: &Kind, by: Option<&str>) -> Option<Reply> {
        (self.mode == Mode::DbLess).then(|| {
            let by = by.map(|member| format!(" by '{member}'")).unwrap_or_default();
            Reply::no_database(&format!("{what} '{}' entities{by}", kind.schema))
        })
    }
}

fn no_schema(missing: NoSchema) -> Reply {
    let why = match missing {
        NoSchema::Plugin(name) => {
            format!("plugin '{name}' not enabled; add it to the 'plugins' configuration property")
        }
        NoSchema::Vault(name) => format!("vault '{name}' is not installed"),
    };
    Reply::schema_violation(Errors::from_iter([("name".into(), Value::from(why))]))
}

/// Seconds with a fraction.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of this age are exact in a double")]
fn millis(now: i64) -> Value {
    if now % 1000 == 0 { (now / 1000).into() } else { (now as f64 / 1000.0).into() }
}
