//! Lists: pages, offsets, filters by tag.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Value, json};
use url::form_urlencoded::{self, byte_serialize};
use uuid::Uuid;

use super::kinds::{Kind, TARGETS};
use super::node::{Mode, Node};
use super::reply::{Body, Reply};
use super::store::Row;

/// Offsets are written without padding, and read with or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The workspace that a node without a database writes into its offsets.
const WORKSPACE: &str = "0dc6f45b-8f8d-40d2-a504-473544ee190b";

/// Which tags an entity must have.
#[derive(Debug)]
enum Tags {
    All(Vec<String>),
    Any(Vec<String>),
}

/// What a list was asked for.
#[derive(Debug)]
pub(super) struct Query {
    size: usize,
    offset: Option<String>,
    tags: Option<Tags>,
    tags_text: Option<String>,
    asked_size: Option<usize>,
    pub(super) custom_id: Option<String>,
}

impl Query {
    pub(super) fn parse(query: &str) -> Result<Self, Reply> {
        let mut own = Self {
            size: 100,
            offset: None,
            tags: None,
            tags_text: None,
            asked_size: None,
            custom_id: None,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "size" => {
                    let size = value.parse::<f64>().map_err(|_| Reply::bad_size("a number"))?;
                    let fits = (1.0..=1000.0).contains(&size) && size.fract() == 0.0;
                    let size = value.parse().ok().filter(|_| fits);
                    let size =
                        size.ok_or_else(|| Reply::bad_size("an integer between 1 and 1000"))?;
                    own.size = size;
                    own.asked_size = Some(size);
                }
                "offset" => own.offset = Some(value.into_owned()),
                "tags" => {
                    own.tags = Some(tags(&value)?);
                    own.tags_text = Some(value.into_owned());
                }
                "custom_id" => own.custom_id = Some(value.into_owned()),
                _ => {}
            }
        }
        Ok(own)
    }

    /// The path of the next page. Only a collection's own list keeps the other parameters.
    fn next(&self, path: &str, offset: &str, nested: bool) -> String {
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let mut next = format!("{path}?offset={}", encoded(offset));
        if !nested {
            if let Some(size) = self.asked_size {
                next.push_str("&size=");
                next.push_str(&size.to_string());
            }
            if let Some(tags) = &self.tags_text {
                next.push_str("&tags=");
                next.push_str(&encoded(tags));
            }
        }
        next
    }
}

fn tags(text: &str) -> Result<Tags, Reply> {
    let several = |by| text.split(by).map(str::to_owned).collect::<Vec<String>>();
    match (text.contains(','), text.contains('/')) {
        _ if text.is_empty() => Err(Reply::bad_tags("cannot be null")),
        (true, true) => Err(Reply::bad_tags("invalid filter syntax")),
        (_, true) => Ok(Tags::Any(several('/'))),
        _ => Ok(Tags::All(several(','))),
    }
}

fn has_tags(row: &Row, wanted: &Tags) -> bool {
    let own = tags_of(row);
    let has = |tag: &String| own.contains(tag);
    match wanted {
        Tags::All(all) => all.iter().all(has),
        Tags::Any(any) => any.iter().any(has),
    }
}

fn tags_of(row: &Row) -> Vec<String> {
    let data = row.data();
    let tags = data.get("tags").and_then(Value::as_array);
    tags.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The JSON array in an offset.
fn decode(offset: &str) -> Result<Vec<Value>, Reply> {
    let bytes =
        BASE64.decode(offset).map_err(|_| Reply::bad_offset(offset, "bad base64 encoding"))?;
    let json = serde_json::from_slice::<Value>(&bytes).ok();
    match json {
        Some(Value::Array(parts)) => Ok(parts),
        Some(_) => Err(Reply::bad_offset(offset, "bad offset")),
        None => Err(Reply::bad_offset(offset, "bad json encoding")),
    }
}

fn encode(parts: &Value) -> String {
    BASE64.encode(parts.to_string())
}

/// A page: its items, and where the next one begins.
struct Page {
    items: Vec<String>,
    offset: Option<String>,
}

impl Page {
    fn reply(self, query: &Query, path: &str, nested: bool) -> Reply {
        let mut body = String::with_capacity(self.items.iter().map(|item| item.len() + 1).sum());
        body.push_str("{\"data\":[");
        for (n, item) in self.items.iter().enumerate() {
            if n > 0 {
                body.push(',');
            }
            body.push_str(item);
        }
        body.push_str("],\"next\":");
        match self.offset {
            None => body.push_str("null"),
            Some(offset) => {
                let next = Value::from(query.next(path, &offset, nested));
                body.push_str(&next.to_string());
                body.push_str(",\"offset\":");
                body.push_str(&Value::from(offset).to_string());
            }
        }
        body.push('}');
        Reply::new(200, Body::Json(body))
    }
}

impl Node {
    /// A page of a collection.
    pub(super) fn list(&self, kind: &'static Kind, path: &str, query: &Query) -> Reply {
        if kind.schema == "consumers"
            && let Some(wanted) = &query.custom_id
        {
            let id = self.store.find(kind, "custom_id", wanted);
            let found = id.and_then(|id| self.store.get(kind, id).map(|row| (id, row)));
            let items = found.map(|(id, row)| self.render(kind, id, row)).into_iter().collect();
            return Page { items, offset: None }.reply(query, path, false);
        }
        let rows = |after| self.store.after(kind, after);
        match self.page(kind, query, rows) {
            Ok(page) => page.reply(query, path, false),
            Err(reply) => reply,
        }
    }

    /// A page of a parent's children.
    pub(super) fn children(
        &self,
        kind: &'static Kind,
        (member, parent): (&str, Uuid),
        path: &str,
        query: &Query,
    ) -> Reply {
        let rows = |after| self.store.children(kind, member, parent, after);
        match self.page(kind, query, rows) {
            Ok(page) => page.reply(query, path, true),
            Err(reply) => reply,
        }
    }

    fn page<'a, I: Iterator<Item = (Uuid, &'a Row)>>(
        &self,
        kind: &'static Kind,
        query: &Query,
        rows: impl FnOnce(Option<Uuid>) -> I,
    ) -> Result<Page, Reply> {
        let after = query.offset.as_deref().map(|offset| self.cursor(offset)).transpose()?;
        let wanted = |(id, row): &(Uuid, &Row)| {
            query.tags.as_ref().is_none_or(|tags| self.store.is_tagged(*id) && has_tags(row, tags))
        };
        let mut rows = rows(after).filter(wanted);
        let page: Vec<(Uuid, &Row)> = rows.by_ref().take(query.size).collect();
        let last = page.last().map(|(id, _)| *id).filter(|_| rows.next().is_some());
        let items = page.iter().map(|(id, row)| self.render(kind, *id, row)).collect();
        Ok(Page { items, offset: last.map(|id| self.offset(kind, id)) })
    }

    /// The offset behind this row.
    fn offset(&self, kind: &Kind, id: Uuid) -> String {
        match self.mode {
            Mode::Database => encode(&json!([id])),
            Mode::DbLess => BASE64.encode(format!("{}|{WORKSPACE}|*|{id}\0", kind.schema)),
        }
    }

    fn cursor(&self, offset: &str) -> Result<Uuid, Reply> {
        let id = match self.mode {
            Mode::Database => {
                let parts = decode(offset)?;
                parts.first().and_then(Value::as_str).map(str::to_owned)
            }
            Mode::DbLess => {
                let bytes = BASE64.decode(offset).ok();
                let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
                text.and_then(|text| {
                    text.trim_end_matches('\0').rsplit_once('|').map(|(_, id)| id.to_owned())
                })
            }
        };
        id.and_then(|id| Uuid::try_parse(&id).ok())
            .ok_or_else(|| Reply::bad_offset(offset, "bad offset"))
    }

    /// A page of the targets that an upstream uses: newest first, and the offset counts rows.
    pub(super) fn targets(&self, upstream: Uuid, path: &str, query: &Query) -> Reply {
        let from = match query.offset.as_deref().map(str::parse::<usize>) {
            None => 0,
            Some(Ok(from)) => from,
            Some(Err(_)) => {
                let offset = query.offset.as_deref().unwrap_or_default();
                return Reply::bad_offset(offset, "bad offset");
            }
        };
        let mut rows: Vec<(Uuid, &Row)> =
            self.store.children(TARGETS, "upstream", upstream, None).collect();
        rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.order));
        let wanted =
            |(_, row): &&(Uuid, &Row)| query.tags.as_ref().is_none_or(|tags| has_tags(row, tags));
        let rows: Vec<&(Uuid, &Row)> = rows.iter().filter(wanted).collect();
        let page = rows.iter().skip(from).take(query.size);
        let items = page.map(|(id, row)| self.render(TARGETS, *id, row)).collect();
        let end = from.saturating_add(query.size);
        Page { items, offset: (rows.len() > end).then(|| end.to_string()) }.reply(query, path, true)
    }

    /// Every tag of every entity, or where one tag is used.
    pub(super) fn tags(&self, tag: Option<&str>, path: &str, query: &Query) -> Reply {
        if self.mode == Mode::DbLess {
            let page = Page { items: Vec::new(), offset: Some("oauth2_tokens|nil".into()) };
            return page.reply(query, path, tag.is_some());
        }
        let after = match query.offset.as_deref().map(decode).transpose() {
            Ok(parts) => parts.and_then(|parts| {
                let id = Uuid::try_parse(parts.first()?.as_str()?).ok()?;
                Some((id, parts.get(1)?.as_u64()?))
            }),
            Err(reply) => return reply,
        };
        let mut items = Vec::new();
        let mut last = None;
        for (id, kind) in self.store.tagged() {
            let Some(row) = self.store.get(kind, id) else { continue };
            for (own, at) in tags_of(row).into_iter().zip(1_u64..) {
                if after.is_some_and(|after| (id, at) <= after) || tag.is_some_and(|tag| tag != own)
                {
                    continue;
                }
                if items.len() == query.size {
                    let offset = last.map(|(id, at): (Uuid, u64)| encode(&json!([id, at])));
                    return Page { items, offset }.reply(query, path, tag.is_some());
                }
                // This one view shows the table's name, which for vaults is another.
                let name = if kind.schema == "vaults" { "sm_vaults" } else { kind.schema };
                let item = json!({ "entity_id": id, "entity_name": name, "tag": own });
                items.push(item.to_string());
                last = Some((id, at));
            }
        }
        Page { items, offset: None }.reply(query, path, tag.is_some())
    }
}
