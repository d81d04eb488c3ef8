//! Reading: roots by their lists, then what lies below each, as one tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::model::{
    Absence, Captured, Cause, Document, Gap, Id, Key, Kind, Mark, Resource, Revision, Scope,
};
use gwbackup_core::source::Known;
use gwbackup_core::{Context, Error, Result};

use crate::client::{ASKED, Call, Paging};
use crate::gateway::Aws;
use crate::table::{Row, Told};

/// What a reader is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) scope: Scope,
    pub(crate) known: Option<Arc<dyn Known>>,
    /// Without what stages serve.
    pub(crate) without_exports: bool,
}

impl Wanted {
    /// Whether anything of this row or below is asked for.
    pub(crate) fn has(&self, row: &'static Row) -> bool {
        let kinds = &self.scope.kinds;
        // Both versions of the API list mappings: which is which is told by the first.
        let told = |row: &Row| {
            row.kind == "base_path_mapping" && kinds.iter().any(|k| k.as_str() == "api_mapping")
        };
        kinds.is_empty() || told(row) || row.family().iter().any(|row| self.has_kind(row.kind))
    }

    pub(crate) fn has_kind(&self, name: &str) -> bool {
        let kinds = &self.scope.kinds;
        kinds.is_empty() || kinds.iter().any(|kind| kind.as_str() == name)
    }
}

/// One thing with its address.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) row: &'static Row,
    pub(crate) resource: Resource,
    pub(crate) address: Vec<String>,
}

/// A root and what lies below it.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) same: Vec<Key>,
    pub(crate) gaps: Vec<Gap>,
    /// Whether its root is an API that answers by itself.
    websocket: bool,
}

impl Aws {
    /// Every root of a row.
    pub(crate) async fn roots(&self, cx: &Context, row: &'static Row) -> Result<Vec<Node>> {
        match self.items(cx, row, &[]).await {
            Ok(items) => items.into_iter().map(|item| node(row, None, item)).collect(),
            Err(error) if row.young && error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// One root, by what stands in its address; `None` where it is not there.
    pub(crate) async fn root(
        &self,
        cx: &Context,
        row: &'static Row,
        id: &str,
    ) -> Result<Option<Node>> {
        if row.told == Told::Only {
            let is_it = |node: &Node| node.address.last().is_some_and(|own| own == id);
            return Ok(self.roots(cx, row).await?.into_iter().find(is_it));
        }
        let mut path = list_at(row, &[]);
        if row.told != Told::Alone {
            path.push(id.to_owned());
        }
        let found = self.one(cx, row, &path).await?;
        if found.is_none() && row.kind == "domain_name" {
            // A private one is not found by its name alone.
            let is_it = |node: &Node| node.resource.key.id.last() == id;
            return Ok(self.roots(cx, row).await?.into_iter().find(is_it));
        }
        found.map(|document| node(row, None, document)).transpose()
    }

    /// One thing at its address; `None` where it is not there.
    async fn one(&self, cx: &Context, row: &Row, path: &[String]) -> Result<Option<Document>> {
        let mut call = Call::get(path.iter().map(String::as_str));
        if row.kind == "api_key" {
            call = call.query("includeValue", "true");
        }
        let answer = self.0.client.get(cx, call).await?;
        if answer.is_missing() {
            return Ok(None);
        }
        let document = Document::parse(&answer.text()?)?;
        let document = if row.kind == "portal" { settled(document)? } else { document };
        Ok(Some(document))
    }

    /// A root with what lies below it. A part that cannot be read is a gap.
    pub(crate) async fn tree(&self, cx: &Context, root: Node, wanted: &Wanted) -> Result<Tree> {
        let websocket =
            root.resource.document.text("/protocolType").is_some_and(|p| p == "WEBSOCKET");
        let mut tree = Tree { websocket, ..Tree::default() };
        self.below(cx, &root, wanted, &mut tree).await?;
        tree.nodes.push(root);
        Ok(tree)
    }

    fn below<'a>(
        &'a self,
        cx: &'a Context,
        parent: &'a Node,
        wanted: &'a Wanted,
        tree: &'a mut Tree,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            for row in parent.row.children() {
                if !wanted.has(row) || !is_offered(row, parent, tree) || row.kind == "rest_method" {
                    continue;
                }
                cx.check()?;
                let items = match self.items(cx, row, &parent.address).await {
                    Ok(items) => items,
                    Err(error)
                        if error.kind() == ErrorKind::NotFound
                            && self.is_gone(cx, parent).await? =>
                    {
                        Vec::new()
                    }
                    Err(error) => {
                        let under = Some(&parent.resource.key.id);
                        tree.gaps.extend(gaps(row, under, error)?);
                        continue;
                    }
                };
                match row.kind {
                    "rest_resource" => resources(parent, row, items, tree)?,
                    _ if !row.served.is_empty() => {
                        self.deployments(cx, parent, row, items, wanted, tree).await?;
                    }
                    _ => {
                        if row.kind == "api_mapping" {
                            self.keep_second(cx, parent, &items, tree).await?;
                        }
                        let first = tree.nodes.len();
                        let found = kept(row, parent, items, tree)?;
                        tree.nodes.extend(found);
                        for n in first..tree.nodes.len() {
                            let Some(child) = tree.nodes.get(n).cloned() else { break };
                            self.below(cx, &child, wanted, tree).await?;
                        }
                    }
                }
            }
            Ok(())
        })
    }

    /// Forgets what the first version of the API says of mappings that are for an API of the
    /// second: they lead to something that the first does not have.
    async fn keep_second(
        &self,
        cx: &Context,
        domain: &Node,
        items: &[Document],
        tree: &mut Tree,
    ) -> Result<()> {
        let Some(row) = Row::named("api") else { return Ok(()) };
        if !items.iter().any(|item| tree.nodes.iter().any(|node| is_told(node, domain, item))) {
            return Ok(());
        }
        let apis = match self.items(cx, row, &[]).await {
            Ok(apis) => apis,
            // Without them the first version is as good as the second.
            Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::NotFound) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let second: BTreeSet<_> = apis.iter().filter_map(|api| api.text("/apiId")).collect();
        tree.nodes.retain(|node| {
            let told = |item: &Document| {
                item.text("/apiId").is_some_and(|id| second.contains(&id))
                    && is_told(node, domain, item)
            };
            !items.iter().any(told)
        });
        Ok(())
    }

    /// Whether it went meanwhile.
    async fn is_gone(&self, cx: &Context, node: &Node) -> Result<bool> {
        let call = Call::get(node.address.iter().map(String::as_str));
        Ok(self.0.client.get(cx, call).await?.is_missing())
    }

    /// Every element of a list.
    async fn items(&self, cx: &Context, row: &Row, below: &[String]) -> Result<Vec<Document>> {
        let mut path = list_at(row, below);
        if row.told == Told::Alone {
            return Ok(self.one(cx, row, &path).await?.into_iter().collect());
        }
        let mut call = Call::get(path.iter().map(String::as_str));
        for (name, value) in row.query {
            call = call.query(name, *value);
        }
        let items = self.0.client.list(cx, call, row.paging).await?;
        let items = items.iter().map(|item| Document::parse(item.get()));
        if row.told != Told::Named {
            return items.collect();
        }
        let mut whole = Vec::new();
        for item in items {
            path.push(item?.text(&format!("/{}", row.id)).unwrap_or_default().into_owned());
            // What went meanwhile is not there.
            whole.extend(self.one(cx, row, &path).await?);
            path.pop();
        }
        Ok(whole)
    }

    /// Deployments, each that a stage serves with its export: what the stage does when called.
    async fn deployments(
        &self,
        cx: &Context,
        api: &Node,
        row: &'static Row,
        items: Vec<Document>,
        wanted: &Wanted,
        tree: &mut Tree,
    ) -> Result<()> {
        let second = row.parent == "api";
        let unread = wanted.without_exports || items.is_empty() || tree.websocket;
        let stages = if unread { BTreeMap::new() } else { self.in_use(cx, api, row).await? };
        for item in items {
            let mut node = node(row, Some(api), item)?;
            let key = node.resource.key.clone();
            let stage = stages.get(&*key.id.last());
            // A stage of the second version that deploys by itself serves the working copy, and a
            // WebSocket API cannot be exported.
            if wanted.without_exports || (second && stage.is_none()) {
                tree.nodes.push(node);
                continue;
            }
            // It never changes; but without a stage it cannot be read, and later perhaps with one.
            let revision = Revision::new(if stage.is_some() { "read" } else { "unread" });
            if wanted.known.as_ref().is_some_and(|known| known.has(&key, &revision)) {
                tree.same.push(key);
                continue;
            }
            node.resource.revision = Some(revision);
            let export = match stage {
                Some(stage) => match self.export(cx, api, row, stage).await {
                    Ok(export) => export,
                    Err(error) => {
                        tree.gaps.extend(gaps(row, Some(&key.id), error)?);
                        continue;
                    }
                },
                None => None,
            };
            if let Some(text) = export {
                node.resource.document = node.resource.document.with_member("/export", &text)?;
            } else {
                node.resource.marks.push(Mark::absent("/export", Absence::Unreadable));
                node.resource.revision = Some(Revision::new("unread"));
            }
            tree.nodes.push(node);
        }
        Ok(())
    }

    /// A stage that serves each deployment until somebody points it to another one.
    async fn in_use(
        &self,
        cx: &Context,
        api: &Node,
        row: &Row,
    ) -> Result<BTreeMap<String, String>> {
        let Some(row) = Row::named(row.served) else { return Ok(BTreeMap::new()) };
        let mut found = BTreeMap::new();
        let stages = match self.items(cx, row, &api.address).await {
            Ok(stages) => stages,
            // That they are unread is said where they are listed.
            Err(error) => gaps(row, None, error).map(|_| Vec::new())?,
        };
        for stage in stages.iter().filter(|stage| stage.get("/autoDeploy") != Some("true")) {
            if let (Some(deployment), Some(name)) =
                (stage.text("/deploymentId"), stage.text("/stageName"))
            {
                let name = name.into_owned();
                let first = found.entry(deployment.into_owned()).or_insert_with(|| name.clone());
                if name < *first {
                    *first = name;
                }
            }
        }
        Ok(found)
    }

    async fn export(
        &self,
        cx: &Context,
        api: &Node,
        row: &Row,
        stage: &str,
    ) -> Result<Option<String>> {
        let mut address = api.address.clone();
        address.extend(["stages".to_owned(), stage.to_owned()]);
        let call = served(row, &address);
        let answer = self.0.client.get(cx, call).await?;
        match answer.status {
            // An API whose models are no JSON cannot be exported.
            400 | 403 | 404 | 409 => Ok(None),
            // Nothing else can be imported again.
            _ => answer.text().map(|text| Some(text).filter(|text| is_openapi(text))),
        }
    }
}

/// The call for what a stage serves of a row, by the stage's address.
pub(crate) fn served<'a>(row: &Row, stage: &'a [String]) -> Call<'a> {
    let parts: Vec<&str> = stage.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["v2", "apis", api, _, name] if row.parent == "api" => {
            let call = Call::get(["v2", "apis", api, "exports", "OAS30"]);
            call.query("outputType", "JSON").query("stageName", *name)
        }
        _ => {
            let call = Call::get(parts.into_iter().chain(["exports", "oas30"]));
            call.query("extensions", "apigateway,authorizers")
        }
    }
}

/// What a portal is at, once what is under way has come to its end.
fn settled(document: Document) -> Result<Document> {
    let status = match document.text("/publishStatus").as_deref() {
        Some("PUBLISH_IN_PROGRESS") => "\"PUBLISHED\"",
        Some("DISABLE_IN_PROGRESS") => "\"DISABLED\"",
        _ => return Ok(document),
    };
    document.with_member("/publishStatus", status)
}

/// Whether a thing is a mapping that the second version of the API lists as this item.
fn is_told(node: &Node, domain: &Node, item: &Document) -> bool {
    node.row.kind == "base_path_mapping"
        && node.resource.parent.as_ref() == Some(&domain.resource.key)
        && node.resource.document.text("/restApiId") == item.text("/apiId")
        && Row::named("api_mapping")
            .is_some_and(|row| node.resource.key.id.last() == called(row, item))
}

/// Whether it is what was asked for.
fn is_openapi(text: &str) -> bool {
    Document::parse(text).is_ok_and(|said| said.text("/openapi").is_some())
}

/// Whether a parent can have such things: each list that is not asked for saves a call.
fn is_offered(row: &Row, parent: &Node, tree: &Tree) -> bool {
    match row.kind {
        "api_model" | "api_integration_response" | "api_route_response" => tree.websocket,
        "routing_rule" => {
            let mode = parent.resource.document.text("/routingMode");
            mode.is_some_and(|mode| mode.contains("ROUTING_RULE"))
        }
        // The second version of the API does not find a private domain.
        "api_mapping" => parent.resource.document.get("/domainNameId").is_none(),
        _ => true,
    }
}

/// What of a list is given out.
fn kept(row: &'static Row, parent: &Node, items: Vec<Document>, tree: &Tree) -> Result<Vec<Node>> {
    let mut names = BTreeSet::new();
    let mut found = Vec::new();
    for item in items {
        let skipped = match row.kind {
            "rest_gateway_response" => item.get("/defaultResponse") == Some("true"),
            // Both versions of the API list it.
            "api_mapping" => tree.nodes.iter().any(|node| is_told(node, parent, &item)),
            _ => false,
        };
        if skipped {
            continue;
        }
        // Which deployment a stage that deploys by itself is at moves with each change.
        let moves = row.kind == "api_stage" && item.get("/autoDeploy") == Some("true");
        let item = if moves { item.without(["/deploymentId"]) } else { item };
        let mut node = node(row, Some(parent), item)?;
        if !names.insert(node.resource.key.clone()) {
            // A name that repeats is told apart by the service's own id.
            let id = node.resource.document.text(&format!("/{}", row.id)).unwrap_or_default();
            let name = format!("{}~{id}", node.resource.key.id.last());
            node.resource.key.id = parent.resource.key.id.child(&name)?;
        }
        found.push(node);
    }
    Ok(found)
}

/// Resources, each with its methods.
fn resources(api: &Node, row: &'static Row, items: Vec<Document>, tree: &mut Tree) -> Result<()> {
    let Some(below) = Row::named("rest_method") else { return Ok(()) };
    for item in items {
        let resource = node(row, Some(api), item.without(["/resourceMethods"]))?;
        let methods = item.to_value();
        let verbs = methods.get("resourceMethods").and_then(serde_json::Value::as_object);
        for verb in verbs.into_iter().flat_map(serde_json::Map::keys) {
            let text = item.get(&format!("/resourceMethods/{verb}")).unwrap_or("{}");
            let mut method = Document::parse(text)?;
            if method.get("/httpMethod").is_none() {
                method = method.with_member(
                    "/httpMethod",
                    &serde_json::Value::from(verb.as_str()).to_string(),
                )?;
            }
            tree.nodes.push(node(below, Some(&resource), method)?);
        }
        tree.nodes.push(resource);
    }
    Ok(())
}

/// Where things of a row are listed below an address. What the second version of the API keeps
/// below a thing of the first has the second's address.
pub(crate) fn list_at(row: &Row, below: &[String]) -> Vec<String> {
    let second = row.paging == Paging::Token && below.first().is_some_and(|part| part != "v2");
    let version = second.then(|| "v2".to_owned());
    let list = row.list.split('/').map(str::to_owned);
    version.into_iter().chain(below.iter().cloned()).chain(list).collect()
}

/// A thing of a list.
pub(crate) fn node(row: &'static Row, parent: Option<&Node>, document: Document) -> Result<Node> {
    let name = called(row, &document);
    let own = document.text(&format!("/{}", row.id)).unwrap_or_default().into_owned();
    if name.is_empty() {
        return Err(Error::invalid(format!("the service gives a {} without a name", row.kind)));
    }
    let id = match parent {
        Some(parent) => parent.resource.key.id.child(&name)?,
        None => Id::of([&name])?,
    };
    let mut resource = Resource::new(Key::new(Kind::known(row.kind), id), document);
    resource.parent = parent.map(|parent| parent.resource.key.clone());
    let above = parent.map(|parent| parent.address.as_slice()).unwrap_or_default();
    let mut address = list_at(row, above);
    if row.told != Told::Alone {
        address.push(match resource.document.text("/domainNameId") {
            Some(id) if row.kind == "domain_name" => format!("{own}{ASKED}domainNameId={id}"),
            _ => own,
        });
    }
    Ok(Node { row, resource, address })
}

/// What people call a thing: the last segment of its key.
pub(crate) fn called(row: &Row, document: &Document) -> String {
    let text = |member: &str| match document.get(&format!("/{member}")) {
        Some(token) if !token.starts_with('"') => token.to_owned(),
        _ => document.text(&format!("/{member}")).unwrap_or_default().into_owned(),
    };
    match row.kind {
        _ if row.told == Told::Alone => row.list.to_owned(),
        "rest_documentation_part" => {
            let parts = ["type", "path", "method", "statusCode", "name"];
            let parts = parts.map(|part| text(&format!("location/{part}")));
            let parts: Vec<&str> =
                parts.iter().map(String::as_str).filter(|p| !p.is_empty()).collect();
            parts.join(" ")
        }
        "api_mapping" if text("apiMappingKey").is_empty() => "(none)".to_owned(),
        _ if row.named.is_empty() => text(row.id),
        _ => match text(row.named) {
            name if name.is_empty() => text(row.id),
            name => name,
        },
    }
}

/// What a list that cannot be read leaves open: its kind, and all that would lie below.
pub(crate) fn gaps(row: &'static Row, under: Option<&Id>, error: Error) -> Result<Vec<Gap>> {
    let cause = match error.kind() {
        ErrorKind::Denied => Cause::Denied,
        ErrorKind::Unavailable | ErrorKind::Throttled => Cause::Unreachable,
        // A list that is not there at all, of something that is.
        ErrorKind::NotFound => Cause::NotOffered,
        ErrorKind::Cancelled | ErrorKind::Unauthenticated => return Err(error),
        _ => Cause::Failed,
    };
    let gap = |row: &&'static Row| Gap {
        kind: Some(Kind::known(row.kind)),
        under: under.cloned(),
        cause,
        detail: error.to_string(),
    };
    Ok(row.family().iter().map(gap).collect())
}

impl Tree {
    /// What of it lies in a scope, as a capture has it.
    pub(crate) fn captured(self, aws: &Aws, scope: &Scope) -> Vec<Captured> {
        let rules = &aws.0.rules;
        let nodes = self.nodes.into_iter().map(|node| node.resource);
        let nodes = nodes.filter(|resource| scope.contains(&resource.key)).map(|mut resource| {
            rules.mark(&mut resource);
            Captured::Resource(resource)
        });
        let same = self.same.into_iter().filter(|key| scope.contains(key)).map(Captured::Same);
        nodes.chain(same).chain(self.gaps.into_iter().map(Captured::Gap)).collect()
    }
}
