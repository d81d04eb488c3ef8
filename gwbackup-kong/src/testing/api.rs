//! The Admin API: from a request to an answer.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::custom::{bad_name, normal_target};
use super::kinds::{Kind, TARGETS};
use super::list::Query;
use super::node::{Mode, Node, as_id};
use super::reply::Reply;
use super::store::{Link, parent};
use super::validate::Errors;
use super::write::Write;

/// A request as the node reads it.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// `HEAD` is read as `GET`.
    pub(super) method: &'a str,
    /// As it stands in the request, percent signs and all.
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    /// The body is said to be a form.
    pub(super) form: bool,
    /// The body is said to be JSON.
    pub(super) json: bool,
    pub(super) body: &'a [u8],
}

impl Request<'_> {
    /// The members that were sent.
    fn members(&self) -> Result<Map<String, Value>, Reply> {
        if self.form {
            let pairs = url::form_urlencoded::parse(self.body);
            return Ok(pairs.map(|(name, value)| (name.into(), value.into())).collect());
        }
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(_) => Ok(Map::new()),
            Err(_) => Err(Reply::message(400, "Cannot parse JSON body")),
        }
    }
}

/// What a feature that this node lacks answers.
fn unavailable(what: &str) -> Reply {
    Reply::message(400, &format!("this endpoint is only available when {what}"))
}

impl Node {
    /// Answers a request, in the workspace that its path begins with.
    pub(super) fn handle(&mut self, request: &Request<'_>) -> Reply {
        let path = request.path.trim_start_matches('/');
        let (first, rest) = path.split_once('/').map_or((path, None), |(a, b)| (a, Some(b)));
        let default = first == "default" && !self.workspaces.is_empty();
        if !default && !self.workspaces.contains_key(first) {
            return self.answer(request);
        }
        // Answers name paths without the workspace.
        let path = rest.map_or_else(|| "/".to_owned(), |rest| format!("/{rest}"));
        let inner = Request { path: &path, ..*request };
        let Some(own) = self.workspaces.remove(first) else { return self.answer(&inner) };
        let outer = std::mem::replace(&mut self.store, own);
        let reply = self.answer(&inner);
        let own = std::mem::replace(&mut self.store, outer);
        self.workspaces.insert(first.to_owned(), own);
        reply
    }

    fn answer(&mut self, request: &Request<'_>) -> Reply {
        let now = self.now();
        self.store.expire(now);
        let path = request.path.trim_end_matches('/');
        let decoded: Vec<String> = path.split('/').skip(1).map(decode).collect();
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let answer = match (request.method, &parts[..]) {
            ("GET", []) => Ok(self.about()),
            ("GET", ["status"]) => Ok(self.status()),
            ("GET", ["endpoints"]) => Ok(self.endpoints()),
            ("GET", ["workspaces"]) if !self.workspaces.is_empty() => Ok(self.list_workspaces()),
            ("GET", ["plugins", "enabled"]) => Ok(Self::enabled()),
            ("GET", ["schemas", part @ ("plugins" | "vaults"), name]) => {
                Ok(self.schema(part, name))
            }
            ("GET", ["plugins", "schema", name]) => Ok(self.schema("plugins", name)),
            ("GET", ["schemas", name]) => Ok(self.schema("entities", name)),
            ("POST", ["schemas", schema, "validate"]) => self.validate_only(schema, request),
            (method, ["config"]) => self.config(method, request),
            ("DELETE", ["cache", ..]) => Ok(self.forget()),
            (_, ["tags", ..]) => self.tag_lists(request, &parts),
            (_, ["clustering", ..]) => {
                Ok(unavailable("Kong is configured to run as Control Plane for the cluster"))
            }
            (_, ["filter-chains", ..]) => Ok(unavailable("wasm is enabled")),
            (_, [collection, rest @ ..]) => match self.collection(collection) {
                Some(kind) => self.entities(kind, request, path, rest),
                None => Ok(Reply::not_found()),
            },
            _ => Ok(Reply::method_not_allowed()),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }

    fn collection(&self, path: &str) -> Option<&'static Kind> {
        self.kinds().find(|kind| kind.path == path && !kind.only_nested)
    }

    fn schema(&self, part: &str, name: &str) -> Reply {
        let what = match part {
            "plugins" => "plugin",
            "vaults" => "vault",
            _ => "entity",
        };
        match self.schemas.answer(part, name) {
            Some(schema) => Reply::json(200, schema),
            None => Reply::message(404, &format!("No {what} named '{name}'")),
        }
    }

    fn validate_only(&mut self, schema: &str, request: &Request<'_>) -> Result<Reply, Reply> {
        let Some(kind) = Kind::of_schema(schema) else {
            return Ok(Reply::message(404, &format!("No entity named '{schema}'")));
        };
        self.validate(kind, request.members()?)?;
        Ok(Reply::message(200, "schema validation successful"))
    }

    fn tag_lists(&self, request: &Request<'_>, parts: &[&str]) -> Result<Reply, Reply> {
        if request.method != "GET" {
            let why = "does not support insert/upsert/update/delete operations";
            let errors = Errors::from_iter([("tags".into(), Value::from(why))]);
            return Err(Reply::schema_violation(errors));
        }
        let query = Query::parse(request.query)?;
        Ok(self.tags(parts.get(1).copied(), request.path, &query))
    }

    fn entities(
        &mut self,
        kind: &'static Kind,
        request: &Request<'_>,
        path: &str,
        rest: &[&str],
    ) -> Result<Reply, Reply> {
        match (request.method, rest) {
            ("GET", []) => Ok(self.list(kind, path, &Query::parse(request.query)?)),
            ("POST", []) => self.create(kind, request.members()?),
            (_, [key]) => self.entity(kind, key, request),
            (_, [key, rest @ ..]) => match self.find(kind, key) {
                Some(id) => self.below(kind, id, request, path, rest),
                None => Ok(Reply::not_found()),
            },
            _ => Ok(Reply::method_not_allowed()),
        }
    }

    fn create(&mut self, kind: &'static Kind, body: Map<String, Value>) -> Result<Reply, Reply> {
        if let Some(refusal) = self.refuse_write("create", kind, None) {
            return Err(refusal);
        }
        let id = self.write(kind, Write::Insert, body)?;
        Ok(self.show(kind, id, 201))
    }

    /// One entity by its id or name.
    fn entity(
        &mut self,
        kind: &'static Kind,
        key: &str,
        request: &Request<'_>,
    ) -> Result<Reply, Reply> {
        let found = self.find(kind, key);
        let by = if as_id(key).is_some() { None } else { kind.name };
        match request.method {
            "GET" => Ok(match found {
                Some(id) => self.show(kind, id, 200),
                None if kind.schema == "certificates" && as_id(key).is_none() => {
                    Reply::message(404, "SNI not found")
                }
                None => Reply::not_found(),
            }),
            "PUT" => self.put(kind, key, found, request.members()?),
            "PATCH" => {
                if let Some(refusal) = self.refuse_write("update", kind, by) {
                    return Err(refusal);
                }
                let member = by.unwrap_or("id");
                let id = found.ok_or_else(|| Reply::absent(member, key))?;
                self.write(kind, Write::Change(id), request.members()?)?;
                Ok(self.show(kind, id, 200))
            }
            "DELETE" => {
                if let Some(refusal) = self.refuse_write("remove", kind, by) {
                    return Err(refusal);
                }
                // What is not there is as good as deleted.
                found.map_or(Ok(()), |id| self.delete(kind, id))?;
                Ok(Reply::empty(204))
            }
            _ => Ok(Reply::method_not_allowed()),
        }
    }

    /// Creates or replaces what a key names. A name that nobody has gets a new id.
    fn put(
        &mut self,
        kind: &'static Kind,
        key: &str,
        found: Option<Uuid>,
        mut body: Map<String, Value>,
    ) -> Result<Reply, Reply> {
        let by = if as_id(key).is_some() { None } else { kind.name };
        if let Some(refusal) = self.refuse_write("create or update", kind, by) {
            return Err(refusal);
        }
        let id = match (as_id(key), found, kind.name) {
            (Some(id), ..) | (None, Some(id), _) => id,
            (None, None, None) => return Ok(Reply::not_found()),
            (None, None, Some(_)) => self.ids.uuid(),
        };
        if let (None, Some(member)) = (as_id(key), kind.name) {
            // Only where names stand in paths for a reason are they held to their letters.
            let plain = matches!(kind.schema, "services" | "routes" | "key_sets" | "keys");
            if let Some(why) = bad_name(key).filter(|_| plain) {
                return Err(Reply::bad_name(&why));
            }
            body.insert(member.to_owned(), key.into());
        }
        self.write(kind, Write::Replace(id), body)?;
        Ok(self.show(kind, id, 200))
    }

    /// What stands below an entity: the parent that it names, or its children.
    fn below(
        &mut self,
        kind: &'static Kind,
        id: Uuid,
        request: &Request<'_>,
        path: &str,
        rest: &[&str],
    ) -> Result<Reply, Reply> {
        let query = || Query::parse(request.query);
        match (kind.schema, rest) {
            ("upstreams", ["targets"]) if request.method == "GET" => {
                return Ok(self.targets(id, path, &query()?));
            }
            ("upstreams", ["targets", "all"]) => {
                return Ok(self.children(TARGETS, ("upstream", id), path, &query()?));
            }
            ("upstreams", ["health"]) => return Ok(self.health(id)),
            _ => {}
        }
        let Some(name) = rest.first() else { return Ok(Reply::not_found()) };
        let child = self.kinds().find_map(|child| {
            let links = self.store.links(child).iter();
            let mut to_here = links.filter(|link| link.parent.at == kind.at);
            (child.nested == *name).then(|| to_here.next().cloned()).flatten().map(|l| (child, l))
        });
        if let Some((child, link)) = child {
            return self.child(child, &link, id, request, path, &rest[1..]);
        }
        let link = self.store.links(kind).iter().find(|link| link.member == *name).cloned();
        match (link, rest.len()) {
            (Some(link), 1) => self.through(kind, id, &link, request),
            _ => Ok(Reply::not_found()),
        }
    }

    /// The parent that an entity names.
    fn through(
        &mut self,
        kind: &'static Kind,
        id: Uuid,
        link: &Link,
        request: &Request<'_>,
    ) -> Result<Reply, Reply> {
        if !matches!(request.method, "GET" | "PATCH" | "PUT") {
            return Ok(Reply::method_not_allowed());
        }
        let row = self.store.get(kind, id);
        let Some(to) = row.and_then(|row| parent(&row.data(), &link.member)) else {
            return Ok(Reply::not_found());
        };
        self.entity(link.parent, &to.to_string(), request)
    }

    /// An entity's children, or one of them.
    fn child(
        &mut self,
        kind: &'static Kind,
        link: &Link,
        of: Uuid,
        request: &Request<'_>,
        path: &str,
        rest: &[&str],
    ) -> Result<Reply, Reply> {
        let owner = json!({ "id": of });
        match (request.method, rest) {
            ("GET", []) => {
                let query = Query::parse(request.query)?;
                Ok(self.children(kind, (&link.member, of), path, &query))
            }
            ("POST", []) => {
                let mut body = request.members()?;
                body.insert(link.member.clone(), owner);
                self.create(kind, body)
            }
            (_, [key]) => {
                let found = self.child_id(kind, link, of, key);
                match (request.method, found) {
                    // Targets are not created this way.
                    ("PUT", None) if kind.schema != "targets" => {
                        let mut body = request.members()?;
                        body.insert(link.member.clone(), owner);
                        self.put(kind, key, None, body)
                    }
                    (_, None) if request.method == "DELETE" => Ok(Reply::empty(204)),
                    (_, None) => Ok(Reply::not_found()),
                    ("PUT", Some(id)) => {
                        let mut body = request.members()?;
                        body.insert(link.member.clone(), owner);
                        self.put(kind, &id.to_string(), Some(id), body)
                    }
                    (_, Some(id)) => self.entity(kind, &id.to_string(), request),
                }
            }
            ("PUT" | "POST", [key, .., "healthy" | "unhealthy"]) if kind.schema == "targets" => {
                let found = self.child_id(kind, link, of, key);
                Ok(found.map_or_else(Reply::not_found, |_| Reply::empty(204)))
            }
            _ => Ok(Reply::not_found()),
        }
    }

    fn child_id(&self, kind: &'static Kind, link: &Link, of: Uuid, key: &str) -> Option<Uuid> {
        if kind.schema == "targets" && as_id(key).is_none() {
            let wanted = normal_target(key)?;
            let mut rows = self.store.children(kind, &link.member, of, None);
            return rows
                .find(|(_, row)| row.data().get("target").is_some_and(|own| *own == *wanted))
                .map(|(id, _)| id);
        }
        let id = self.find(kind, key)?;
        let row = self.store.get(kind, id)?;
        (parent(&row.data(), &link.member) == Some(of)).then_some(id)
    }

    fn config(&mut self, method: &str, request: &Request<'_>) -> Result<Reply, Reply> {
        if self.mode == Mode::Database {
            return Ok(unavailable("Kong is configured to not use a database"));
        }
        match method {
            "GET" => Ok(self.config_file()),
            "POST" => self.load(request),
            _ => Ok(Reply::method_not_allowed()),
        }
    }
}

fn decode(part: &str) -> String {
    // A plus sign stands for itself in a path.
    let part = part.replace('+', "%2B");
    let mut pairs = url::form_urlencoded::parse(part.as_bytes());
    pairs
        .next()
        .map(
            |(name, value)| {
                if value.is_empty() { name.into_owned() } else { format!("{name}={value}") }
            },
        )
        .unwrap_or_default()
}
