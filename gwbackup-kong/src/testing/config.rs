//! `/config` of a node without a database, and `kong config db_import` and `db_export` of one with.

use std::sync::Arc;

use gwbackup_core::{Error, ErrorKind};
use serde_json::{Map, Value, json};

use super::api::Request;
use super::declarative::{Entity, File, Reader};
use super::node::{Mode, Node};
use super::reply::{Body, Reply, lua};
use super::secret::sha256;
use super::store::{Store, parent};
use super::validate::Errors;
use super::write::{Way, Write};
use crate::node::Node as Tree;
use crate::yaml;

type Data = Map<String, Value>;

/// Reads YAML, of which JSON is a part.
fn parse(text: &str) -> Option<Data> {
    let json = yaml::parse(text).ok()?.json();
    serde_json::from_str(&json).ok()
}

impl Node {
    /// `GET /config`.
    pub(super) fn config_file(&self) -> Reply {
        Reply::json(200, &json!({ "config": self.export() }))
    }

    /// `POST /config`: replaces everything, or nothing.
    pub(super) fn load(&mut self, request: &Request<'_>) -> Result<Reply, Reply> {
        let no_json = || Reply::message(400, "Cannot parse JSON body");
        let flag = |name: &str| {
            let mut pairs = url::form_urlencoded::parse(request.query.as_bytes());
            pairs.any(|(own, value)| own == name && matches!(&*value, "1" | "true"))
        };
        let sent = std::str::from_utf8(request.body).map_err(|_| no_json())?;
        let (members, text) = match serde_json::from_str::<Value>(sent) {
            Ok(Value::Object(mut members)) => match members.remove("config") {
                Some(Value::String(text)) => (parse(&text), Some(text)),
                _ => (Some(members), None),
            },
            Ok(_) | Err(_) if request.json => return Err(no_json()),
            Ok(_) | Err(_) => (parse(sent), Some(sent.to_owned())),
        };
        let text_hash = text.as_ref().map(|text| sha256(text.as_bytes()));
        if flag("check_hash") && text_hash.is_some() && text_hash == self.loaded.1 {
            return Ok(Reply::empty(304));
        }
        let members = members.ok_or_else(|| {
            let why = json!({ "error": "failed parsing declarative configuration" });
            invalid(&why, None)
        })?;
        let hash = sha256(Value::Object(members.clone()).to_string().as_bytes());
        let file = self.read_file(members);
        // The new configuration is built beside the old one.
        let store = std::mem::replace(&mut self.store, Store::new(&self.schemas));
        match self.take_in(&file) {
            Ok(shown) => {
                self.loaded = (hash[..32].to_owned(), text_hash);
                self.cached.clear();
                Ok(Reply::json(201, &Value::Object(shown)))
            }
            Err(wrong) => {
                self.store = store;
                Err(refusal(file.errors.clone(), wrong, flag("flatten_errors")))
            }
        }
    }

    /// A file that a test gives to a node without a database.
    pub(super) fn load_file(&mut self, text: &str) -> Result<(), Error> {
        let body = json!({ "config": text }).to_string();
        let (method, path, query) = ("POST", "/config", "");
        let body = body.as_bytes();
        match self.load(&Request { method, path, query, form: false, json: true, body }) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(ErrorKind::Invalid, "the node refuses this file")),
        }
    }

    /// What `kong config db_import` does: creates and replaces, deletes nothing, and tells no worker.
    pub(super) fn import(&mut self, text: &str) -> Result<(), Error> {
        let refused =
            |why: &str| Error::new(ErrorKind::Invalid, format!("the import failed: {why}"));
        let members = parse(text).ok_or_else(|| refused("the file is neither YAML nor JSON"))?;
        let file = self.read_file(members);
        let before: Vec<_> = file
            .entities
            .iter()
            .filter_map(|entity| {
                let row = self.store.get(entity.kind, entity.id)?;
                let hash = row.data().get("password").cloned()?;
                let kept = self.cached.get(&entity.id.to_string()).cloned();
                Some((entity.id.to_string(), kept.unwrap_or(hash)))
            })
            .collect();
        match self.take_in(&file) {
            Ok(_) => {
                self.cached.extend(before);
                Ok(())
            }
            Err(wrong) => {
                let kind = wrong.first().map_or("the file", |(entity, _)| entity.kind.schema);
                Err(refused(&format!("{} entities are refused", wrong.len())).on(kind))
            }
        }
    }

    fn read_file(&mut self, members: Data) -> File {
        let schemas = Arc::clone(&self.schemas);
        let store = &self.store;
        let links = |kind: &super::kinds::Kind| store.links(kind).to_vec();
        Reader { schemas: &schemas, links: &links, ids: &mut self.ids }.read(members)
    }

    /// Stores every entity of a file; answers with all of them, or with what is wrong with which.
    fn take_in<'a>(&mut self, file: &'a File) -> Result<Data, Vec<(&'a Entity, Errors)>> {
        let mut wrong = Vec::new();
        let mut shown = Data::new();
        let way = Way::File { hashes: file.keeps_hashes };
        for entity in &file.entities {
            let mut body = entity.body.clone();
            let expired = self.time_left(entity, &mut body);
            let unhashed =
                matches!(body.get("hash_on").and_then(Value::as_str), None | Some("none"));
            if self.mode == Mode::DbLess
                && unhashed
                && body.get("algorithm").is_some_and(|algorithm| algorithm == "consistent-hashing")
            {
                // Such a node says nothing of it.
                body.insert("algorithm".into(), "round-robin".into());
            }
            match self.write_as(entity.kind, Write::Replace(entity.id), body, way) {
                Ok(_) => {}
                Err(refusal) => {
                    wrong.push((entity, fields(&refusal)));
                    continue;
                }
            }
            let Some(row) = self.store.get(entity.kind, entity.id) else { continue };
            let mut data = row.data();
            // The answer shows passwords as they were sent.
            for name in ["password", "client_secret"] {
                if let Some(sent) = entity.body.get(name).filter(|_| data.contains_key(name)) {
                    data.insert(name.to_owned(), sent.clone());
                }
            }
            let all = shown.entry(entity.kind.schema).or_insert_with(|| json!({}));
            if let Value::Object(all) = all {
                all.insert(entity.id.to_string(), Value::Object(data));
            }
            if expired {
                self.store.remove(entity.kind, entity.id);
            }
        }
        for (name, key, value) in &file.others {
            if let Value::Object(all) = shown.entry(name).or_insert_with(|| json!({})) {
                all.insert(key.clone(), value.clone());
            }
        }
        if wrong.is_empty() && file.errors.is_empty() { Ok(shown) } else { Err(wrong) }
    }

    /// Files hold moments of expiry, in seconds since the epoch. Tells whether it has passed.
    fn time_left(&self, entity: &Entity, body: &mut Data) -> bool {
        let Some(ttl) = body.remove("ttl").filter(|_| entity.kind.ttl) else { return false };
        let Some(at) = ttl.as_i64() else { return false };
        let left = at - self.now().div_euclid(1000);
        if self.mode == Mode::DbLess && left > 0 {
            body.insert("ttl".into(), left.into());
        }
        // The import forgets it, a node in memory forgets the entity.
        self.mode == Mode::DbLess && left <= 0
    }

    /// Everything as a declarative file.
    pub(super) fn export(&self) -> String {
        let mut text = String::from("_format_version: '3.0'\n_transform: false\n");
        for kind in self.kinds() {
            let rows = self.store.after(kind, None).map(|(id, row)| {
                let mut data = row.data();
                for link in self.store.links(kind) {
                    if let Some(id) = parent(&data, &link.member) {
                        data.insert(link.member.clone(), id.to_string().into());
                    }
                }
                match (kind.ttl, row.expires, self.mode) {
                    (false, ..) | (true, None, Mode::DbLess) => {}
                    (true, Some(at), Mode::DbLess) => {
                        let left = (at - self.now()).div_euclid(1000);
                        data.insert("ttl".into(), left.into());
                    }
                    (true, at, Mode::Database) => {
                        let at = at.map_or(Value::Null, |at| at.div_euclid(1000).into());
                        data.insert("ttl".into(), at);
                    }
                }
                if kind.schema == "certificates" && self.mode == Mode::Database {
                    data.insert("snis".into(), Value::Null);
                }
                data.entry("id").or_insert_with(|| id.to_string().into());
                Value::Object(data)
            });
            let rows: Vec<Value> = rows.collect();
            if rows.is_empty() {
                continue;
            }
            let list = json!({ kind.schema: rows }).to_string();
            if let Ok(Tree::Map(list)) = Tree::parse_json(&list) {
                yaml::write_members(&list, 0, &mut text);
            }
        }
        text
    }
}

/// The members that a refusal of one entity complains of.
fn fields(refusal: &Reply) -> Errors {
    let Body::Json(text) = &refusal.body else { return Errors::new() };
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    match body.get("fields").cloned() {
        Some(Value::Object(fields)) => fields,
        _ => Errors::from_iter([("@entity".to_owned(), json!([body["message"]]))]),
    }
}

/// Code 14.
fn refusal(mut errors: Data, wrong: Vec<(&Entity, Errors)>, flatten: bool) -> Reply {
    if flatten {
        let flat = wrong.into_iter().map(|(entity, errors)| flattened(entity, &errors)).collect();
        return invalid(&Value::Object(errors), Some(Value::Array(flat)));
    }
    for (entity, fields) in wrong {
        place(&mut errors, &entity.place, fields);
    }
    invalid(&Value::Object(errors), None)
}

/// Puts complaints where their entity stands in the file.
fn place(errors: &mut Data, at: &[(&'static str, usize)], fields: Errors) {
    let Some(((list, number), rest)) = at.split_first() else {
        errors.extend(fields);
        return;
    };
    let Value::Array(items) = errors.entry(*list).or_insert_with(|| json!([])) else { return };
    if items.len() <= *number {
        items.resize(*number + 1, Value::Null);
    }
    if items[*number].is_null() {
        items[*number] = json!({});
    }
    if let Value::Object(inner) = &mut items[*number] {
        place(inner, rest, fields);
    }
}

fn invalid(errors: &Value, flattened: Option<Value>) -> Reply {
    let mut body = json!({
        "code": 14,
        "name": "invalid declarative configuration",
        "message": format!("declarative config is invalid: {}", lua(errors)),
        "fields": errors,
    });
    if let Some(flattened) = flattened {
        body["flattened_errors"] = flattened;
    }
    Reply::json(400, &body)
}

/// One entity with everything that is wrong with it.
fn flattened(entity: &Entity, errors: &Errors) -> Value {
    fn walk(path: &str, value: &Value, out: &mut Vec<Value>) {
        match value {
            Value::String(why) => {
                out.push(json!({ "type": "field", "field": path, "message": why }));
            }
            Value::Array(all) if path == "@entity" => {
                out.extend(all.iter().map(|why| json!({ "type": "entity", "message": why })));
            }
            Value::Array(all) => {
                for (at, why) in all.iter().enumerate() {
                    walk(&format!("{path}.{}", at + 1), why, out);
                }
            }
            Value::Object(members) => {
                for (name, why) in members {
                    let path =
                        if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    walk(&path, why, out);
                }
            }
            _ => {}
        }
    }
    let mut said = Vec::new();
    walk("", &Value::Object(errors.clone()), &mut said);
    let kind = entity.kind.schema;
    let mut out = json!({
        "entity": entity.body,
        "entity_type": kind.strip_suffix('s').unwrap_or(kind),
        "errors": said,
    });
    if entity.own_id {
        out["entity_id"] = entity.id.to_string().into();
    }
    for name in ["name", "tags"] {
        if let Some(value) = entity.body.get(name) {
            out[format!("entity_{name}")] = value.clone();
        }
    }
    out
}
