//! Plausible content for either vendor.

use serde_json::{Value, json};

use super::{MemoryGateway, key};
use crate::error::Result;
use crate::model::Key;

/// A small generator of numbers (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.below(words.len() as u64)).unwrap_or_default();
        words.get(at).copied().unwrap_or_default()
    }

    fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(
            (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes(),
        )
        .into_uuid()
        .to_string()
    }
}

const WORDS: &[&str] =
    &["orders", "payments", "users", "search", "stock", "prices", "carts", "mail", "geo", "audit"];
const METHODS: &[&str] = &["GET", "POST", "PUT", "DELETE"];

pub(super) fn populate(gateway: &MemoryGateway, seed: u64, size: usize) -> Result<()> {
    let count = || gateway.0.vendor.with(|state| state.count());
    let wanted = count() + size;
    let mut dice = Dice(seed);
    let mut round = 0;
    loop {
        if gateway.0.aws {
            aws(gateway, &mut dice, round)?;
        } else {
            kong(gateway, &mut dice, round)?;
        }
        round += 1;
        if count() >= wanted {
            return Ok(());
        }
    }
}

/// A service with what belongs to it: nine to fifteen things.
fn kong(gateway: &MemoryGateway, dice: &mut Dice, round: u64) -> Result<()> {
    let make = |dice: &mut Dice, kind: &str, parent: Option<&Key>, body: &Value| {
        let id = dice.uuid();
        gateway.create(kind, parent, Some(&id), body)
    };
    let name = format!("{}-{:x}-{round}", dice.of(WORDS), dice.next() & 0xffff);
    let upstream = make(dice, "upstream", None, &json!({"name": format!("{name}.up")}))?;
    for n in 0..=dice.below(2) {
        let body = json!({"target": format!("10.0.{n}.{}:80", dice.below(256)), "weight": 50});
        make(dice, "target", Some(&upstream), &body)?;
    }
    let service = json!({"name": name, "host": format!("{name}.up"), "tags": ["b", "a"],
        "port": 8000 + dice.below(10)});
    let service = make(dice, "service", None, &service)?.id.last().into_owned();
    let mut routes = Vec::new();
    for n in 0..=1 + dice.below(3) {
        let body = json!({"name": format!("{name}-{n}"), "service": {"id": service},
            "paths": [format!("/{name}/{n}")], "methods": ["PUT", dice.of(&["GET", "POST"])]});
        routes.push(make(dice, "route", None, &body)?.id.last().into_owned());
    }
    let consumer = json!({"username": format!("{name}-app"), "custom_id": format!("c-{name}")});
    let consumer = make(dice, "consumer", None, &consumer)?.id.last().into_owned();
    let secret = format!("key-{:016x}", dice.next());
    make(dice, "credential", None, &json!({"consumer": {"id": consumer}, "key": secret}))?;
    let plugin = json!({"name": "rate-limiting", "instance_name": format!("{name}-limit"),
        "config": {"minute": dice.below(1000)}, "service": {"id": service}});
    make(dice, "plugin", None, &plugin)?;
    if let Some(route) = routes.first() {
        let plugin = json!({"name": "hmac", "route": {"id": route},
            "config": {"secret": format!("s-{:x}", dice.next())}, "consumer": {"id": consumer}});
        make(dice, "plugin", None, &plugin)?;
    }
    Ok(())
}

/// An api with what belongs to it: about twenty things.
fn aws(gateway: &MemoryGateway, dice: &mut Dice, round: u64) -> Result<()> {
    let account = gateway.0.vendor.with(|state| state.account.clone());
    // One name for three: names tell nothing here.
    let name = dice.of(WORDS.get(..3).unwrap_or(WORDS));
    let api = gateway.create("api", None, None, &json!({"name": name, "protocol": "HTTP"}))?;
    let id = api.id.last().into_owned();
    let policy = format!("{{\"allow\":\"arn:gw:{account}:restapis/{id}/*\"}}");
    gateway.edit(|contents| contents.set(&api, "policy", &policy.into()));
    let below = |kind: &str, body: Value| gateway.create(kind, Some(&api), None, &body);
    let authorizer = json!({"name": "jwt", "type": "JWT", "sources": ["header", "cookie"]});
    let authorizer = below("authorizer", authorizer)?.id.last().into_owned();
    for n in 0..=1 + dice.below(2) {
        let uri = format!("https://{name}-{n}.internal/{}", dice.below(3));
        // Two of the same content, told apart by nothing but their ids.
        for twin in ["a", "b"] {
            let integration = below("integration", json!({"uri": uri, "timeout": 9000}))?;
            let integration = integration.id.last().into_owned();
            let mut route = json!({"route_key": format!("{} /{name}/{n}/{twin}", dice.of(METHODS)),
                "target": format!("integrations/{integration}")});
            if dice.below(2) == 0 {
                route["authorizer_id"] = authorizer.clone().into();
            }
            below("route", route)?;
        }
    }
    let function = format!("arn:gw:{account}:function:{name}");
    below("integration", json!({"uri": function}))?;
    let schema = format!("{{\"$ref\":\"https://gw.example/restapis/{id}/models/Error\"}}");
    below("model", json!({"name": "Order", "schema": schema}))?;
    let deployment = below("deployment", json!({"description": format!("v{round}")}))?;
    let deployment = deployment.id.last().into_owned();
    for stage in ["prod", "test"] {
        let stage = json!({"name": stage, "deployment_id": deployment, "variables": {"n": "1"}});
        below("stage", stage)?;
    }
    let plan = json!({"name": dice.of(&["gold", "basic"]), "apis": [id], "quota": dice.below(99)});
    let plan = gateway.create("plan", None, None, &plan)?;
    if dice.below(2) == 0 && round > 0 {
        let default = key("plan_default", &format!("{}/default", plan.id))?;
        gateway.0.vendor.with(|state| state.delete(&default))?;
    }
    let secret = format!("v-{:016x}", dice.next());
    let api_key = json!({"name": dice.of(&["mobile", "web"]), "value": secret});
    gateway.create("api_key", None, None, &api_key)?;
    let domain = format!("{name}-{:x}-{round}.example", dice.next() & 0xffff);
    gateway.create("domain", None, None, &json!({"name": domain, "api_id": id}))?;
    if round == 0 {
        let certificate =
            json!({"name": "edge", "body": "PEM-PUBLIC", "private_key": "PEM-SECRET"});
        gateway.create("certificate", None, None, &certificate)?;
    }
    Ok(())
}
