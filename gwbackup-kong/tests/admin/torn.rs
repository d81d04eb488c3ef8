//! Edits by others while a node is read: whatever they do, what was read could have been.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gwbackup_core::model::{Cause, Key, Kind, Role, Rules, To};
use gwbackup_kong::testing::{Edit, Fault, KongDouble, Sizes};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::common::{Content, admin, described, quick, read};

/// Random numbers that a seed repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn id(&mut self) -> String {
        let high = u128::from(self.roll(u64::MAX));
        Uuid::from_u128(high << 64 | u128::from(self.roll(u64::MAX))).to_string()
    }

    fn of<'a>(&mut self, ids: &'a [String]) -> &'a str {
        let at = self.roll(ids.len().max(1) as u64);
        usize::try_from(at).ok().and_then(|at| ids.get(at)).map_or("none", String::as_str)
    }
}

type Request = (&'static str, String, Value);

/// Somebody who edits without rest.
struct Hand {
    dice: Dice,
    consumers: Vec<String>,
    services: Vec<String>,
    routes: Vec<String>,
    plugins: Vec<String>,
    upstreams: Vec<String>,
    targets: u64,
}

impl Hand {
    fn new(seed: u64) -> Self {
        let (consumers, services, routes, plugins, upstreams) = Default::default();
        Self { dice: Dice(seed), consumers, services, routes, plugins, upstreams, targets: 0 }
    }

    /// One edit; most succeed, some the node refuses.
    fn edit(&mut self) -> Vec<Request> {
        let put = |path: String, body: Value| ("PUT", path, body);
        let delete = |path: String| ("DELETE", path, Value::Null);
        match self.dice.roll(14) {
            0 => {
                let id = self.dice.id();
                self.consumers.push(id.clone());
                let name = format!("name-{}", self.dice.roll(20));
                let key = format!("/consumers/{id}/key-auth");
                vec![
                    put(format!("/consumers/{id}"), json!({ "username": name, "custom_id": id })),
                    ("POST", key, json!({})),
                ]
            }
            1 => vec![delete(format!("/consumers/{}", self.dice.of(&self.consumers)))],
            2 => {
                let id = self.dice.of(&self.consumers);
                let path = format!("/consumers/{id}/acls");
                vec![("POST", path, json!({ "group": format!("g{}", self.dice.roll(9)) }))]
            }
            // A name that another may have had a moment ago.
            3 => {
                let id = self.dice.of(&self.consumers).to_owned();
                let name = format!("name-{}", self.dice.roll(20));
                vec![("PATCH", format!("/consumers/{id}"), json!({ "username": name }))]
            }
            4 => {
                let (service, route) = (self.dice.id(), self.dice.id());
                self.services.push(service.clone());
                self.routes.push(route.clone());
                let body = json!({ "paths": ["/x"], "service": { "id": service } });
                vec![
                    put(format!("/services/{service}"), json!({ "host": "h" })),
                    put(format!("/routes/{route}"), body),
                ]
            }
            5 => vec![delete(format!("/services/{}", self.dice.of(&self.services)))],
            6 | 7 => vec![delete(format!("/routes/{}", self.dice.of(&self.routes)))],
            8 => {
                let service = self.dice.of(&self.services).to_owned();
                let path = format!("/routes/{}", self.dice.of(&self.routes));
                vec![("PATCH", path, json!({ "service": { "id": service } }))]
            }
            9 | 10 => {
                let id = self.dice.id();
                let (of, ids) = match self.dice.roll(3) {
                    0 => ("route", &self.routes),
                    1 => ("service", &self.services),
                    _ => ("consumer", &self.consumers),
                };
                let mut body = json!({ "name": "rate-limiting", "config": { "minute": 5 } });
                body[of] = json!({ "id": self.dice.of(ids) });
                self.plugins.push(id.clone());
                vec![put(format!("/plugins/{id}"), body)]
            }
            11 => vec![delete(format!("/plugins/{}", self.dice.of(&self.plugins)))],
            12 => {
                let id = self.dice.id();
                self.upstreams.push(id.clone());
                self.targets += 1;
                let target = json!({ "target": format!("10.0.0.{}:80", self.targets % 250) });
                vec![
                    put(format!("/upstreams/{id}"), json!({ "name": format!("u-{id}") })),
                    ("POST", format!("/upstreams/{id}/targets"), target),
                ]
            }
            _ => vec![delete(format!("/upstreams/{}", self.dice.of(&self.upstreams)))],
        }
    }
}

fn ids(kong: &KongDouble) -> BTreeSet<String> {
    let state = kong.state();
    let ids = state.values().flatten().map(|entity| entity["id"].as_str().unwrap().to_owned());
    ids.collect()
}

/// What a read left open, if it was honest about it.
fn breaches(content: &Content, rules: &Rules) -> Vec<String> {
    let torn =
        |key: &Key| content.gaps.iter().any(|gap| gap.cause == Cause::Torn && gap.covers(key));
    let mut found: Vec<String> = content.twice.iter().map(|key| format!("{key} twice")).collect();
    let mut names = HashSet::new();
    let read: HashSet<(&Kind, String)> =
        content.resources.keys().map(|key| (&key.kind, key.id.last().into_owned())).collect();
    for (key, resource) in &content.resources {
        for reference in rules.references(resource) {
            let To::Resource { kinds, value, .. } = &reference.to else { continue };
            let there = kinds.iter().any(|kind| read.contains(&(kind, value.clone())));
            if matches!(reference.role, Role::Owner | Role::Needs) && !there && !torn(key) {
                found.push(format!("{key} needs {value}"));
            }
        }
        for member in ["/name", "/username", "/custom_id"] {
            let name = resource.document.text(member).filter(|_| key.kind.as_str() != "plugin");
            let doubled =
                name.is_some_and(|n| !names.insert((key.kind.clone(), member, n.into_owned())));
            if doubled && !content.gaps.iter().any(|gap| gap.cause == Cause::Torn) {
                found.push(format!("{key} has the {member} of another"));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reads_under_random_edits_give_no_impossible_state() {
    let cx = quick();
    let (mut withdrawn, mut torn) = (0, 0);
    for round in 0..100 {
        let kong = KongDouble::builder().seed(round).start().await.unwrap();
        let node = admin(&kong);
        let rules = Rules::new(described(&node, &cx).await.unwrap().schema);
        for seed in round * 10..round * 10 + 10 {
            let mut hand = Hand::new(seed);
            for (method, path, body) in (0..20).flat_map(|_| hand.edit()) {
                kong.request(method, &path, &body);
            }
            let before = ids(&kong);
            kong.edits(move |_| {
                let edits = (0..hand.dice.roll(5)).flat_map(|_| hand.edit());
                edits.map(|(method, path, body)| Edit::new(method, path, body)).collect()
            });
            let content = read(&node, &cx).await.unwrap();
            kong.calm();
            let after = ids(&kong);
            assert_eq!(breaches(&content, &rules), [""; 0], "seed {seed}");
            let given: BTreeSet<_> =
                content.resources.keys().map(|key| key.id.last().into_owned()).collect();
            let lost: Vec<_> =
                before.intersection(&after).filter(|id| !given.contains(*id)).collect();
            assert!(lost.is_empty(), "seed {seed}: always there, and not read: {lost:?}");
            withdrawn += content.withdrawn;
            torn += content.gaps.iter().filter(|gap| gap.cause == Cause::Torn).count();
        }
    }
    assert!(withdrawn > 50, "{withdrawn} withdrawn, {torn} torn: too little happened");
}

#[tokio::test]
async fn a_long_list_of_targets_loses_none_while_others_go() {
    let kong = KongDouble::start().await.unwrap();
    kong.request("PUT", "/upstreams/u", &json!({}));
    for n in 0..1_200 {
        let target = json!({ "target": format!("10.0.{}.{}:80", n / 250, n % 250) });
        let (status, answer) = kong.request("POST", "/upstreams/u/targets", &target);
        assert_eq!(status, 201, "{answer}");
    }
    let (_, newest) = kong.request("GET", "/upstreams/u/targets?size=2", &Value::Null);
    let mut gone: Vec<String> = newest["data"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|target| format!("/upstreams/u/targets/{}", target["id"].as_str().unwrap()))
        .collect();
    let before = ids(&kong);
    // Rows move to the front while the pages are read.
    kong.edits(move |asked| {
        let paging = asked.path.contains("targets");
        let next = if paging { gone.pop() } else { None };
        next.map(|path| Edit::new("DELETE", path, Value::Null)).into_iter().collect()
    });
    let content = read(&admin(&kong), &quick()).await.unwrap();
    let given: BTreeSet<_> = content.resources.keys().map(|k| k.id.last().into_owned()).collect();
    let after = ids(&kong);
    assert_eq!(after.len(), before.len() - 2);
    assert!(before.intersection(&after).all(|id| given.contains(id)));
    assert_eq!(content.twice, []);
}

#[tokio::test]
async fn a_name_that_moves_between_pages_is_torn_and_not_doubled_in_silence() {
    let kong = KongDouble::start().await.unwrap();
    kong.generate(&Sizes { consumers: 1_100, ..Sizes::default() }).unwrap();
    let all = kong.state()["consumers"].clone();
    let id = |entity: &Value| format!("/consumers/{}", entity["id"].as_str().unwrap());
    let (first, last) = (all.first().unwrap().clone(), all.last().unwrap().clone());
    let mut moves = vec![
        Edit::new("PATCH", id(&first), json!({ "username": "another" })),
        Edit::new("PATCH", id(&last), json!({ "username": first["username"] })),
    ];
    let mut pages = 0;
    kong.edits(move |asked| {
        pages += u32::from(asked.path == "/consumers");
        if pages == 2 { std::mem::take(&mut moves) } else { Vec::new() }
    });
    let content = read(&admin(&kong), &quick()).await.unwrap();
    let torn: Vec<_> = content.gaps.iter().filter(|gap| gap.cause == Cause::Torn).collect();
    assert_eq!(torn.len(), 1, "{torn:?}");
    assert_eq!(id(&last), format!("/consumers/{}", torn[0].under.as_ref().unwrap()));
}

#[tokio::test]
async fn where_more_is_missing_than_can_be_looked_up_the_kind_is_torn() {
    let kong = KongDouble::start().await.unwrap();
    kong.generate(&Sizes { consumers: 3_100, key_auths: 3_100, ..Sizes::default() }).unwrap();
    let consumers = kong.state()["consumers"].clone();
    let mut gone: Vec<Edit> = consumers
        .iter()
        .map(|consumer| format!("/consumers/{}", consumer["id"].as_str().unwrap()))
        .map(|path| Edit::new("DELETE", path, Value::Null))
        .collect();
    // All consumers go, and their keys with them, once the keys were read, and not before.
    let pages = Arc::new(AtomicU32::new(0));
    let asked_keys = Arc::clone(&pages);
    kong.edits(move |asked| {
        if asked.path == "/key-auths" {
            asked_keys.fetch_add(1, Ordering::Relaxed);
        }
        let read = asked_keys.load(Ordering::Relaxed) == 4;
        if read && asked.path == "/consumers" { std::mem::take(&mut gone) } else { Vec::new() }
    });
    kong.faults(move |asked| {
        let early = asked.path == "/consumers" && pages.load(Ordering::Relaxed) < 4;
        early.then_some(Fault::RetryAfter(429, 1))
    });
    let content = read(&admin(&kong), &quick()).await.unwrap();
    assert_eq!(content.lacks(), [("keyauth_credential", Cause::Torn)]);
}
