//! The adapters' own view of the two vendors: their [`Schema`]s, as a provider crate writes them.

use std::sync::Arc;

use super::text::{Mention, mentions};
use crate::model::{
    HandleName, HandleSpec, Handles, Kind, KindSpec, Member, MemberRule, OutsideSpec, Part, Place,
    Presence, RefSpec, Reference, Replace, Resource, Restore, Role, Schema, TextScan, To, Verbs,
    Within,
};

fn kind(name: &'static str, rank: u16) -> KindSpec {
    KindSpec::new(Kind::known(name), rank)
}

fn handle(name: &'static str, at: &[&str], unique: Within) -> HandleSpec {
    HandleSpec {
        name: HandleName::known(name),
        at: at.iter().map(|at| (*at).to_owned()).collect(),
        unique,
        by_server: false,
    }
}

fn refers(at: &str, prefix: &str, to: &[&'static str], role: Role) -> RefSpec {
    RefSpec {
        at: at.to_owned(),
        part: Part::Value,
        prefix: prefix.to_owned(),
        kinds: to.iter().map(|name| Kind::known(name)).collect(),
        handle: HandleName::id(),
        role,
    }
}

fn members(rules: &[(&str, Member)]) -> Vec<MemberRule> {
    rules.iter().map(|(at, is)| MemberRule { at: (*at).to_owned(), is: is.clone() }).collect()
}

/// The table of the Kong-like vendor.
pub(super) fn kong() -> Schema {
    use Member::{Default, ReadOnly, Secret, Unordered, Volatile};
    let stamped = |mut spec: KindSpec, more: &[(&str, Member)]| {
        // The id stands in the address; a thing found under another id keeps that.
        spec.members =
            members(&[("/id", ReadOnly), ("/updated_at", Volatile), ("/tags", Unordered)]);
        spec.members.extend(members(more));
        spec
    };
    let named = |name: &'static str, rank, handles: &[&'static str], more: &[(&str, Member)]| {
        let mut spec = stamped(kind(name, rank), more);
        let handles = handles.iter().map(|h| (*h, format!("/{h}")));
        spec.handles.extend(handles.map(|(h, at)| handle(h, &[&at], Within::Gateway)));
        spec
    };
    let mut service = named(
        "service",
        10,
        &["name"],
        &[
            ("/port", Default(80.into())),
            ("/protocol", Default("http".into())),
            ("/retries", Default(5.into())),
        ],
    );
    service.aliases = vec!["services".to_owned()];
    service.outside = vec![OutsideSpec::at("host", "/host")];
    let mut route = named(
        "route",
        20,
        &["name"],
        &[
            ("/strip_path", Default(true.into())),
            ("/preserve_host", Default(false.into())),
            ("/methods", Unordered),
        ],
    );
    route.references = vec![refers("/service/id", "", &["service"], Role::Needs)];
    let consumer = named("consumer", 10, &["username", "custom_id"], &[]);
    let mut credential = named("credential", 20, &[], &[("/key", Secret)]);
    credential.references = vec![refers("/consumer/id", "", &["consumer"], Role::Owner)];
    let mut plugin = named(
        "plugin",
        30,
        &["instance_name"],
        &[
            ("/enabled", Default(true.into())),
            ("/config", Default(serde_json::json!({}))),
            ("/config/secret", Secret),
        ],
    );
    plugin.references = vec![
        refers("/service/id", "", &["service"], Role::Owner),
        refers("/route/id", "", &["route"], Role::Owner),
        refers("/consumer/id", "", &["consumer"], Role::Owner),
    ];
    let upstream = named(
        "upstream",
        10,
        &["name"],
        &[("/algorithm", Default("round-robin".into())), ("/slots", Default(10_000.into()))],
    );
    let mut target = stamped(kind("target", 20), &[("/weight", Default(100.into()))]);
    target.handles.push(handle("target", &["/target"], Within::Parent));
    Schema {
        id: "memory-kong/1".to_owned(),
        id_scheme: 1,
        kinds: vec![service, route, consumer, credential, plugin, upstream, target],
        other: None,
        text: None,
    }
}

/// The table of the AWS-like vendor.
pub(super) fn aws() -> Schema {
    use Member::{Default, Immutable, ReadOnly, Secret, Unordered, Volatile};
    let assigned = |name: &'static str, rank, more: &[(&str, Member)]| {
        let mut spec = kind(name, rank);
        for handle in &mut spec.handles {
            handle.by_server = true;
        }
        spec.members = members(&[("/id", ReadOnly)]);
        spec.members.extend(members(more));
        spec
    };
    let natural = |name: &'static str, rank, unique: Within| {
        let mut spec = kind(name, rank);
        for handle in &mut spec.handles {
            handle.unique = unique;
        }
        spec
    };
    let repeated_name = || handle("name", &["/name"], Within::Nothing);

    let mut account = natural("account", 0, Within::Gateway);
    account.presence = Presence::Fixed(Vec::new());
    account.verbs.create = false;
    let mut api = assigned(
        "api",
        10,
        &[("/endpoint", ReadOnly), ("/protocol", Default("HTTP".into())), ("/protocol", Immutable)],
    );
    api.handles
        .push(HandleSpec { by_server: true, ..handle("host", &["/endpoint"], Within::Gateway) });
    api.handles.push(repeated_name());
    let mut authorizer = assigned("authorizer", 20, &[("/sources", Unordered)]);
    authorizer.handles.push(handle("name", &["/name"], Within::Parent));
    let mut integration = assigned("integration", 20, &[("/timeout", Default(30_000.into()))]);
    integration.match_content = true;
    integration.outside = vec![OutsideSpec::form("function", "arn:gw:{account}:function:*")];
    let mut route = natural("route", 30, Within::Parent);
    route.references = vec![
        refers("/target", "integrations/", &["integration"], Role::Needs),
        refers("/authorizer_id", "", &["authorizer"], Role::Needs),
    ];
    let mut model = natural("model", 25, Within::Parent);
    model.presence = Presence::Born(vec!["Empty".to_owned(), "Error".to_owned()]);
    let mut deployment = assigned("deployment", 40, &[("/created", Volatile)]);
    deployment.verbs = Verbs { update: false, ..Verbs::default() };
    deployment.restore = Restore::WhenReferenced;
    deployment.replace = Replace::CreateFirst;
    deployment.match_content = true;
    let mut stage = natural("stage", 50, Within::Parent);
    stage.references = vec![refers("/deployment_id", "", &["deployment"], Role::Needs)];
    let mut plan = assigned("plan", 60, &[("/apis", Unordered)]);
    plan.handles.push(repeated_name());
    plan.references = vec![refers("/apis/*", "", &["api"], Role::Needs)];
    let mut plan_default = natural("plan_default", 61, Within::Parent);
    plan_default.presence = Presence::Born(vec!["default".to_owned()]);
    let mut api_key = assigned(
        "api_key",
        60,
        &[("/value", Secret), ("/value", Immutable), ("/enabled", Default(true.into()))],
    );
    api_key.handles.push(repeated_name());
    let mut certificate = assigned("certificate", 5, &[("/body", Immutable)]);
    certificate.handles.push(repeated_name());
    let mut domain = natural("domain", 70, Within::Gateway);
    domain.verbs.undelete = true;
    domain.references = vec![refers("/api_id", "", &["api"], Role::Needs)];
    Schema {
        id: "memory-aws/1".to_owned(),
        id_scheme: 1,
        kinds: vec![
            account,
            api,
            authorizer,
            integration,
            route,
            model,
            deployment,
            stage,
            plan,
            plan_default,
            api_key,
            certificate,
            domain,
        ],
        other: None,
        text: Some(Arc::new(Names)),
    }
}

/// What no member of the AWS-like vendor can say: a value that is kept but never given out.
pub(super) fn unreadable(kind: &Kind) -> &'static [&'static str] {
    if kind.as_str() == "certificate" { &["/private_key"] } else { &[] }
}

/// Names of apis and of the account inside policies, schemas and addresses.
#[derive(Debug)]
struct Names;

impl TextScan for Names {
    fn references(&self, resource: &Resource) -> Vec<Reference> {
        let at = match resource.key.kind.as_str() {
            "api" => "/policy",
            "model" => "/schema",
            "integration" => "/uri",
            _ => return Vec::new(),
        };
        let Some(text) = resource.document.text(at) else { return Vec::new() };
        let found = mentions(&text).into_iter().filter_map(|(range, what)| {
            let place = u32::try_from(range.start).ok()?..u32::try_from(range.end).ok()?;
            let to = match what {
                Mention::Account => To::Gateway { handle: HandleName::known("account") },
                Mention::Api => To::Resource {
                    kinds: vec![Kind::known("api")],
                    handle: HandleName::id(),
                    value: text.get(range)?.to_owned(),
                    within: None,
                },
            };
            // A name of the api that it stands in asks for nothing else to exist first.
            let own = resource.key.kind.as_str() != "integration";
            let role = if own { Role::Weak } else { Role::Needs };
            Some(Reference { at: Place::within(at, place), to, role })
        });
        found.collect()
    }

    fn handles(&self, gateway: &Handles, resource: &Resource) -> Handles {
        let account = gateway.get(&HandleName::known("account"));
        let mut handles = Handles::new();
        if let Some(account) = account.filter(|_| resource.key.kind.as_str() == "api") {
            let arn = format!("arn:gw:{account}:restapis/{}", resource.key.id.last());
            handles.insert(HandleName::known("arn"), arn);
        }
        handles
    }
}

/// Whether things of this kind are apis or live below one.
pub(super) fn is_in_api(kind: &Kind) -> bool {
    const KINDS: [&str; 7] =
        ["api", "authorizer", "integration", "route", "model", "deployment", "stage"];
    KINDS.contains(&kind.as_str())
}

/// The kind of which some come with each thing of this kind.
pub(super) fn born_below(kind: &Kind) -> Option<Kind> {
    match kind.as_str() {
        "api" => Some(Kind::known("model")),
        "plan" => Some(Kind::known("plan_default")),
        _ => None,
    }
}
