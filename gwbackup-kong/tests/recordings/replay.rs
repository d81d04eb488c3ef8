//! Makes recorded requests on a double, over HTTP.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use gwbackup_core::testing::ManualClock;
use gwbackup_kong::testing::KongDouble;
use reqwest::{Client, Method};
use serde_json::Value;
use uuid::Uuid;

use crate::compare::{MadeUp, difference};
use crate::fresh::Names;

/// Requests and their answers, in the order in which they were made.
pub(crate) struct Recording {
    pub(crate) file: String,
    pub(crate) exchanges: Vec<Value>,
}

impl Recording {
    pub(crate) fn read(file: &str) -> Self {
        let exchanges = serde_json::from_str(&text(&format!("recordings/{file}.json"))).unwrap();
        Self { file: file.to_owned(), exchanges }
    }
}

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
    std::fs::read_to_string(path).unwrap()
}

/// A double, and what it made up so far.
pub(crate) struct Replay {
    pub(crate) kong: KongDouble,
    client: Client,
    made_up: MadeUp,
    /// The ids of SNIs that come with a certificate, by certificate and name.
    snis: HashMap<(String, String), String>,
    seen: HashSet<String>,
}

/// A file, the number of a request in it, and how its answer differs.
pub(crate) type Wrong = (String, usize, String);

impl Replay {
    pub(crate) async fn start(db_less: bool) -> Self {
        let builder = KongDouble::builder();
        let builder = if db_less { builder.db_less() } else { builder };
        // The moment of the recording: what it shows with an expiry has not expired.
        let clock = ManualClock::new("2026-11-20T13:49:40Z".parse().unwrap());
        let builder = builder.clock(Arc::new(clock));
        let mut replay = Self {
            kong: builder.start().await.unwrap(),
            client: Client::new(),
            made_up: MadeUp::default(),
            snis: HashMap::new(),
            seen: HashSet::new(),
        };
        replay.note_snis(&Recording::read("01-create"), &Recording::read("02-lists-full"));
        replay
    }

    /// Expects recordings under other names.
    pub(crate) fn renamed(mut self, names: &Names) -> Self {
        self.snis.clear();
        let read = |file| names.rename(&Recording::read(file));
        self.note_snis(&read("01-create"), &read("02-lists-full"));
        self.made_up.learn_hashes();
        self
    }

    /// Makes every request of a recording and compares the answers.
    pub(crate) async fn run(&mut self, recording: &Recording) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        for (number, exchange) in recording.exchanges.iter().enumerate() {
            if let Some(why) = self.exchange(exchange).await {
                let request = &exchange["request"];
                let why = format!("{} {}: {why}", request["method"], request["path"]);
                wrong.push((recording.file.clone(), number, why));
            }
        }
        wrong
    }

    /// Makes one request. Tells how the answer differs from the recorded one.
    async fn exchange(&mut self, exchange: &Value) -> Option<String> {
        let (request, response) = (&exchange["request"], &exchange["response"]);
        let ids = self.ids(request, response);
        self.kong.next_ids(ids);
        let mut sent = request["body"].clone();
        self.made_up.rewrite(&mut sent);
        if sent["config"] == "<the text of 12-export.yml>" {
            sent["config"] = text("12-export.yml").into();
        }
        let (status, given) = self.make(request, &sent).await;
        if response["status"] != status {
            return Some(format!("{status} {given}, not {}", response["status"]));
        }
        let mut recorded = response["body"].clone();
        if request["method"] != "GET" {
            self.made_up.learn(&sent, &recorded, &given);
        }
        self.made_up.rewrite(&mut recorded);
        if let Some(time) = sent.get("created_at").filter(|_| status < 300) {
            assert_eq!(&given["created_at"], time, "a time that was sent is kept");
        }
        if let Some(counts) = recorded["keys"].as_object().filter(|_| status == 201) {
            let size = |name: &String| given[name].as_object().map_or(0, serde_json::Map::len);
            let own: Value =
                counts.keys().map(|name| (name.clone(), Value::from(size(name)))).collect();
            return difference("", &recorded["keys"], &own);
        }
        if recorded["_omitted"].is_string() {
            assert_eq!(given["configuration"]["database"], "off");
            return None;
        }
        difference("", &recorded, &given)
    }

    async fn make(&self, request: &Value, sent: &Value) -> (u16, Value) {
        let method = Method::from_bytes(request["method"].as_str().unwrap().as_bytes()).unwrap();
        let url = format!("{}{}", self.kong.url(), request["path"].as_str().unwrap());
        let mut call = self.client.request(method, url);
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            call = call.header(name, value.as_str().unwrap());
        }
        if !sent.is_null() {
            call = call.header("Content-Type", "application/json").body(sent.to_string());
        }
        if let Some(raw) = request["raw_body"].as_str() {
            let raw =
                if raw.starts_with("<11 MiB") { "x".repeat(11 << 20) } else { raw.to_owned() };
            call = call.body(raw);
        }
        let response = call.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        if text.is_empty() {
            return (status, Value::Null);
        }
        let raw = || serde_json::json!({ "_raw": text });
        (status, serde_json::from_str(&text).unwrap_or_else(|_| raw()))
    }

    /// The ids that the recorded node made up for this request: the double is told to use them, so
    /// that order and offsets come out as recorded.
    fn ids(&mut self, request: &Value, response: &Value) -> Vec<Uuid> {
        let (body, answer) = (&request["body"], &response["body"]);
        let path = request["path"].as_str().unwrap();
        if path.starts_with("/config") && response["status"] == 201 {
            let keys = answer["keyauth_credentials"].as_object();
            let own = keys.into_iter().flat_map(|keys| keys.keys());
            return own.map(|id| Uuid::parse_str(id).unwrap()).collect();
        }
        let Some(id) = answer["id"].as_str().filter(|_| request["method"] != "GET") else {
            return Vec::new();
        };
        let key = path.rsplit('/').next().unwrap();
        let chosen = if request["method"] == "POST" { !body["id"].is_null() } else { key == id };
        let mut ids = Vec::new();
        if self.seen.insert(id.to_owned()) && !chosen {
            ids.push(Uuid::parse_str(id).unwrap());
        }
        let snis = body["snis"].as_array().filter(|_| path.starts_with("/certificates"));
        for name in snis.into_iter().flatten() {
            let key = (id.to_owned(), name.as_str().unwrap().to_owned());
            let sni = self.snis.get(&key).filter(|id| self.seen.insert((*id).clone()));
            let unknown = || Uuid::new_v5(&Uuid::NAMESPACE_DNS, key.1.as_bytes());
            ids.push(sni.map_or_else(unknown, |id| Uuid::parse_str(id).unwrap()));
        }
        ids
    }

    /// Notes which SNIs the node made by itself, when it got a certificate with names.
    fn note_snis(&mut self, created: &Recording, lists: &Recording) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let sent = created.exchanges.iter().map(|e| text(&e["request"]["path"]));
        let sent: HashSet<String> = sent.collect();
        for list in lists.exchanges.iter().filter(|e| e["request"]["path"] == "/snis?size=1000") {
            for sni in list["response"]["body"]["data"].as_array().unwrap() {
                let id = text(&sni["id"]);
                if !sent.contains(&format!("/snis/{id}")) {
                    self.snis.insert((text(&sni["certificate"]["id"]), text(&sni["name"])), id);
                }
            }
        }
    }
}
