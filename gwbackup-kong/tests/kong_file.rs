//! Declarative files of a real Kong and of a generator, through the public format.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gwbackup_core::connect::Settings;
use gwbackup_core::model::{Document, Key, Member, Resource, Rules};
use gwbackup_core::testing::conformance::{self, SourceFixture, TargetFixture};
use gwbackup_core::whole_file::{FileFormat as _, FileGateway};
use gwbackup_core::{ErrorKind, Result};
use gwbackup_kong::KongFile;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Value, json};

type Resources = BTreeMap<Key, Resource>;

fn fixture(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name].iter().collect();
    std::fs::read_to_string(path).unwrap()
}

fn read(format: KongFile, text: &str) -> Result<Resources> {
    let mut found = Resources::new();
    format.read(&mut text.as_bytes(), &mut |resource| {
        let old = found.insert(resource.key.clone(), resource);
        assert!(old.is_none(), "given twice");
        Ok(())
    })?;
    Ok(found)
}

fn write(format: KongFile, resources: &Resources) -> Result<String> {
    let mut out = Vec::new();
    format.write(&mut resources.values().cloned().map(Ok), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn rules() -> Rules {
    Rules::new(KongFile::Yaml.about().schema)
}

fn comparable(resources: &Resources) -> BTreeMap<String, String> {
    let rules = rules();
    let form = |r: &Resource| rules.comparable(r, &[], &[]).as_str().to_owned();
    resources.values().map(|r| (r.key.to_string(), form(r))).collect()
}

/// Fails with the first difference instead of two whole gateways.
#[track_caller]
fn assert_same(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) {
    let keys = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(a), keys(b));
    for (key, value) in a {
        assert_eq!(value, &b[key], "{key}");
    }
}

/// Every leaf of a YAML text with the name nearest to it, by the parser's events alone.
fn leaves_of_yaml(text: &str) -> Vec<(String, String)> {
    let mut leaves = Vec::new();
    // For each open collection: the name it stands under, and for mappings whether a name is next.
    let mut open: Vec<(String, Option<bool>)> = Vec::new();
    let mut name = String::new();
    for event in Parser::new_from_str(text) {
        match event.unwrap().0 {
            Event::Scalar(text, style, ..) => match open.last_mut() {
                Some((_, Some(next @ true))) => {
                    *next = false;
                    name = text.into_owned();
                }
                last => {
                    let plain = style == ScalarStyle::Plain;
                    let value = if plain && text == "~" { "null".into() } else { text };
                    let in_list = matches!(last, Some((_, None)));
                    let under = last.map(|(under, next)| {
                        *next = next.map(|_| true);
                        under.clone()
                    });
                    let nearest = if in_list { under.unwrap() } else { name.clone() };
                    leaves.push((nearest, value.into_owned()));
                }
            },
            Event::SequenceStart(..) => open.push((name.clone(), None)),
            Event::MappingStart(..) => open.push((name.clone(), Some(true))),
            Event::SequenceEnd | Event::MappingEnd => {
                let (under, _) = open.pop().unwrap();
                name = under;
                if let Some((_, Some(next))) = open.last_mut() {
                    *next = true;
                }
            }
            _ => {}
        }
    }
    leaves
}

/// The same of a resource's document; a foreign key is the leaf that it is in a file.
fn leaves_of_json(name: &str, value: &Value, leaves: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (inner, value) in map {
                let foreign = map.len() == 1 && inner == "id";
                leaves_of_json(if foreign { name } else { inner }, value, leaves);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| leaves_of_json(name, item, leaves)),
        Value::String(text) => leaves.push((name.to_owned(), text.clone())),
        other => leaves.push((name.to_owned(), other.to_string())),
    }
}

#[test]
fn an_export_survives_with_every_leaf() {
    let text = fixture("12-export.yml");
    let resources = read(KongFile::Yaml, &text).unwrap();
    // 103 entities, the cluster's id, the file's own members.
    assert_eq!(resources.len(), 105);
    let mut wanted = leaves_of_yaml(&text);
    let mut found = Vec::new();
    for resource in resources.values() {
        leaves_of_json("", &resource.document.to_value(), &mut found);
    }
    wanted.sort();
    found.sort();
    assert!(wanted.len() > 1500, "{}", wanted.len());
    assert_eq!(wanted, found);
    for format in [KongFile::Yaml, KongFile::Json] {
        let written = write(format, &resources).unwrap();
        assert_eq!(read(format, &written).unwrap(), resources);
    }
}

#[test]
fn the_settings_stand_first_and_stay() {
    let resources = read(KongFile::Yaml, &fixture("12-export.yml")).unwrap();
    let settings = &resources[&"declarative_file/settings".parse().unwrap()];
    assert_eq!(settings.document.as_str(), r#"{"_format_version":"3.0","_transform":false}"#);
    let written = write(KongFile::Yaml, &resources).unwrap();
    assert!(
        written.starts_with("_format_version: \"3.0\"\n_transform: false\n"),
        "{}",
        &written[..80]
    );
}

/// The Admin API's answers, under the names that a declarative file uses.
fn state_as_file() -> String {
    // Whoever made the recording replaced the host's name, `vm`, in the API's answers alone, and hit
    // two places inside a private key.
    let state = fixture("10-state.json").replace("kong-node-1", "vm");
    let Value::Object(state) = serde_json::from_str(&state).unwrap() else {
        panic!("no object");
    };
    let mut file = serde_json::Map::from_iter([("_format_version".to_owned(), json!("3.0"))]);
    for (collection, entities) in state {
        let name = match collection.as_str() {
            "key-sets" => "key_sets",
            "key-auths" => "keyauth_credentials",
            "basic-auths" => "basicauth_credentials",
            "jwts" => "jwt_secrets",
            "hmac-auths" => "hmacauth_credentials",
            "oauth2" => "oauth2_credentials",
            same => same,
        };
        file.insert(name.to_owned(), entities);
    }
    Value::Object(file).to_string()
}

#[test]
fn the_admin_api_and_an_export_give_the_same_entities() {
    let mut export = read(KongFile::Yaml, &fixture("12-export.yml")).unwrap();
    let mut state = read(KongFile::Json, &state_as_file()).unwrap();
    for resources in [&mut export, &mut state] {
        resources.retain(|key, _| !matches!(key.kind.as_str(), "declarative_file" | "parameter"));
    }
    assert_eq!(state.len(), 103);
    assert_same(&comparable(&state), &comparable(&export));
}

fn generated(name: &str, without: &[&str]) -> BTreeMap<String, Value> {
    let mut wanted = BTreeMap::new();
    for line in fixture(name).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let mut document = line["body"].clone();
        let id = line["id"].as_str().unwrap();
        document["id"] = json!(id);
        document["tags"] = line["tags"].clone();
        for (member, id) in line["refs"].as_object().unwrap() {
            document[member] = json!({ "id": id });
        }
        for member in without {
            document.as_object_mut().unwrap().remove(*member);
        }
        wanted.insert(format!("{}/{id}", line["kind"].as_str().unwrap()), document);
    }
    wanted
}

#[test]
fn nested_and_flat_files_hold_what_the_generator_made() {
    let rules = rules();
    for (file, set, without) in [
        // decK's form has no times.
        ("generated-nested.yml", "generated.jsonl", &["created_at", "updated_at"][..]),
        ("generated-flat.yml", "generated-strict.jsonl", &[]),
    ] {
        let mut found = read(KongFile::Yaml, &fixture(file)).unwrap();
        found.remove(&"declarative_file/settings".parse().unwrap()).unwrap();
        let wanted = generated(set, without);
        assert_eq!(wanted.len(), 200);
        let wanted = wanted.into_iter().map(|(key, document)| {
            let document = Document::from_value(&document).unwrap();
            let resource = Resource::new(key.parse().unwrap(), document);
            (key, rules.comparable(&resource, &[], &[]).as_str().to_owned())
        });
        assert_same(&comparable(&found), &wanted.collect());
        let written = write(KongFile::Yaml, &found).unwrap();
        let mut again = read(KongFile::Yaml, &written).unwrap();
        again.remove(&"declarative_file/settings".parse().unwrap()).unwrap();
        assert_eq!(again, found);
    }
}

#[test]
fn names_mean_ids_and_absent_ids_are_those_of_kong() {
    let text = r#"
_format_version: "3.0"
_info: {select_tags: [a], defaults: {}}
services:
- name: s
  host: up
  routes:
  - name: r
    plugins:
    - name: key-auth
routes:
- name: loose
  service: s
- name: looser
  service: {name: s}
consumers:
- username: c
  keyauth_credentials:
  - key: k
  acls:
  - group: g
upstreams:
- name: up
  targets:
  - target: 10.0.0.1:80
widgets:
- name: w
"#;
    let found = read(KongFile::Yaml, text).unwrap();
    let one = |kind: &str, name: &str| {
        let mut hits = found.values().filter(|r| {
            r.key.kind.as_str() == kind
                && (name.is_empty() || r.document.text("/name").as_deref() == Some(name))
        });
        let hit = hits.next().unwrap_or_else(|| panic!("{kind} {name}"));
        assert!(hits.next().is_none(), "{kind} {name}");
        hit
    };
    let id = |kind: &str, name: &str| one(kind, name).key.id.as_str().to_owned();
    // Version 5 of the name, or of all that is unique, in the entity's name space, which Kong
    // documents nowhere but always derives alike; computed with Python's uuid module.
    assert_eq!(id("service", "s"), "b268827a-8f7f-551f-8769-e6bceb2f3ec6");
    assert_eq!(id("plugin", ""), "7fb65597-f0ac-581f-967a-e1413399f0ae");
    assert_eq!(id("target", ""), "886287b8-ac7c-589a-bdf3-531d32428254");
    assert_eq!(id("acl", ""), "be48e645-515d-5215-bbb5-ee11d4ccf980");
    for route in ["r", "loose", "looser"] {
        let service = one("route", route).document.text("/service/id").unwrap().into_owned();
        assert_eq!(service, id("service", "s"), "{route}");
    }
    assert_eq!(one("plugin", "").document.text("/route/id").unwrap(), id("route", "r"));
    assert_eq!(
        one("keyauth_credential", "").document.text("/consumer/id").unwrap(),
        id("consumer", "")
    );
    assert_eq!(one("widgets", "w").document.as_str(), r#"{"name":"w"}"#);
    assert_eq!(
        one("declarative_file", "").document.get("/_info").unwrap(),
        r#"{"defaults":{},"select_tags":["a"]}"#
    );
    let again = read(KongFile::Json, &write(KongFile::Json, &found).unwrap()).unwrap();
    assert_eq!(
        again.values().map(|r| &r.document).collect::<Vec<_>>(),
        found.values().map(|r| &r.document).collect::<Vec<_>>()
    );
}

/// A file without ids that a node loaded, and the ids that it gave.
#[test]
fn absent_ids_are_those_that_a_node_gave() {
    let calls: Value = serde_json::from_str(&fixture("recordings/13-dbless.json")).unwrap();
    let is_load = |call: &&Value| {
        let (request, response) = (&call["request"], &call["response"]);
        request["method"] == "POST"
            && request["body"]["_format_version"].is_string()
            && response["status"] == 201
    };
    let call = calls.as_array().unwrap().iter().find(is_load).unwrap();
    let found = read(KongFile::Json, &call["request"]["body"].to_string()).unwrap();
    let loaded = call["response"]["body"].as_object().unwrap();
    let mut checked = 0;
    for (kind, list) in [
        ("consumer", "consumers"),
        ("service", "services"),
        ("route", "routes"),
        ("basicauth_credential", "basicauth_credentials"),
        ("plugin", "plugins"),
    ] {
        let own = found.keys().filter(|key| key.kind.as_str() == kind);
        let own: Vec<&str> = own.map(|key| key.id.as_str()).collect();
        let given: Vec<&str> = loaded[list].as_object().unwrap().keys().map(|id| &**id).collect();
        assert_eq!(own, given, "{kind}");
        checked += given.len();
    }
    // The node makes up the id of a key at each load.
    let all: usize = loaded.values().map(|list| list.as_object().unwrap().len()).sum();
    assert_eq!(all, checked + 1);
    assert_eq!(checked + 2, found.len(), "and the file's own members");
}

#[test]
fn a_bare_name_is_the_one_that_stands_in_urls() {
    let text = r#"
_format_version: "3.0"
consumers:
- {id: one, custom_id: bob}
- {id: two, username: bob}
acls:
- {group: by-name, consumer: bob}
- {group: by-object, consumer: {custom_id: bob}}
- {group: by-id, consumer: one}
- {group: elsewhere, consumer: e0a94820-6ece-58cd-883d-2839aded5a74}
"#;
    let found = read(KongFile::Yaml, text).unwrap();
    let consumers: BTreeMap<_, _> = found
        .values()
        .filter(|r| r.key.kind.as_str() == "acl")
        .map(|r| (r.document.text("/group").unwrap(), r.document.text("/consumer/id").unwrap()))
        .collect();
    assert_eq!(consumers["by-name"], "two");
    assert_eq!(consumers["by-object"], "one");
    assert_eq!(consumers["by-id"], "one");
    assert_eq!(consumers["elsewhere"], "e0a94820-6ece-58cd-883d-2839aded5a74");
}

#[test]
fn a_malformed_file_is_named_and_not_quoted() {
    let head = "_format_version: \"3.0\"\n";
    for (text, wanted) in [
        ("", "empty"),
        ("hunter2", "_format_version"),
        ("- hunter2", "_format_version"),
        ("services: []\n", "_format_version"),
        ("HEAD\"a\": [\n", "line"),
        ("HEADx: \"hunter2\n", "line"),
        ("HEADservices: hunter2\n", "no list"),
        ("HEADservices: [hunter2]\n", "no entity"),
        ("HEADservices:\n- name: a\n  name: hunter2\n", "line 4 column 3"),
        ("HEADservices:\n- name: !secret hunter2\n", "line 3 column"),
        ("HEADservices: !!map {}\n", "tag"),
        ("HEAD<<: {a: hunter2}\n", "line 2 column 1"),
        ("HEADx: on\n", "line 2 column 4"),
        ("HEADx: 0777\n", "line 2 column 4"),
        ("HEADx: *hunter2\n", "line 2"),
        ("HEAD--- \nhunter2: 1\n", "second"),
        ("HEAD? [hunter2]\n: 1\n", "line 2"),
        ("HEADroutes:\n- {name: r, service: hunter2}\n", "names no service"),
        ("HEADservices:\n- {id: x, name: hunter2}\n- {id: x}\n", "twice"),
        ("HEADservices:\n- {id: 7, name: hunter2}\n", "id is no text"),
        ("HEADHunter2:\n- {id: x}\n", "snake case"),
    ] {
        let text = text.replace("HEAD", head);
        let error = read(KongFile::Yaml, &text).expect_err(&text);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        assert!(error.to_string().contains(wanted), "{text}: {error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    for (text, wanted) in [
        ("{\"_format_version\": hunter2}", "line 1 column"),
        ("{\"_format_version\": \"3.0\", \"a\": \"hunter2\", \"a\": 1}", "twice"),
        ("{\"_format_version\": \"3.0\", \"_a\": \"hunter2\\ud800\"}", "surrogate"),
    ] {
        let error = read(KongFile::Json, text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        assert!(error.to_string().contains(wanted), "{text}: {error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn depth_and_aliases_are_bounded() {
    let nested =
        |n: usize| format!("_format_version: \"3.0\"\n_x: {}{}\n", "[".repeat(n), "]".repeat(n));
    assert!(read(KongFile::Yaml, &nested(100)).is_ok());
    assert!(read(KongFile::Yaml, &nested(128)).is_err());
    let mut laughs = String::from("_format_version: \"3.0\"\n_a0: &a0 [x, x]\n");
    for n in 1..40 {
        let before = n - 1;
        writeln!(laughs, "_a{n}: &a{n} [*a{before}, *a{before}]").unwrap();
    }
    let error = read(KongFile::Yaml, &laughs).unwrap_err();
    assert!(error.to_string().contains("alias") || error.to_string().contains("anchor"), "{error}");
    let fine = "_format_version: \"3.0\"\n_a: &a {x: [1]}\n_b: *a\n";
    let settings = read(KongFile::Yaml, fine).unwrap().into_values().next().unwrap();
    assert_eq!(settings.document.get("/_b"), Some(r#"{"x":[1]}"#));
}

#[test]
fn every_secret_is_marked() {
    let rules = rules();
    let mut text = String::new();
    for mut resource in read(KongFile::Yaml, &fixture("12-export.yml")).unwrap().into_values() {
        rules.mark(&mut resource);
        let secret = rules.members(&resource, |member| *member == Member::Secret);
        let holds = |at: &String| resource.document.get(at) != Some("null");
        assert_eq!(resource.marks.len(), secret.iter().filter(|at| holds(at)).count());
        let withheld: Vec<(String, String)> = resource
            .marks
            .iter()
            .map(|mark| (mark.at.pointer.clone(), "\"masked\"".to_owned()))
            .collect();
        text.push_str(resource.document.with_values(&withheld).unwrap().as_str());
    }
    // What the recording itself calls a secret, wherever it stands.
    for secret in [
        "PRIVATE KEY",
        "demo-key-shop-web-0001",
        "demo-jwt-secret-1",
        "demo-hmac-secret-1",
        "demo-access-token-1",
        "demo-refresh-token-1",
        "6b3f045b04cc717b50019c3d997cbd3cdf282a10",
        "$pbkdf2",
        "Bearer demo-token",
        "sets a header",
    ] {
        assert!(fixture("12-export.yml").contains(secret), "{secret}");
        assert!(!text.contains(secret), "{secret}");
    }
}

#[test]
fn a_list_of_sni_names_is_not_written() {
    let text =
        r#"{"_format_version":"3.0","certificates":[{"id":"c","cert":"x","snis":["a.example"]}]}"#;
    let found = read(KongFile::Json, text).unwrap();
    let certificate = &found[&"certificate/c".parse().unwrap()];
    assert_eq!(certificate.document.get("/snis"), Some("[\"a.example\"]"));
    assert!(!write(KongFile::Yaml, &found).unwrap().contains("a.example"));
}

#[test]
fn the_ending_of_a_path_chooses_the_form() {
    assert_eq!(KongFile::for_path(Path::new("/a/kong.JSON")), KongFile::Json);
    assert_eq!(KongFile::for_path(Path::new("/a/kong.yaml")), KongFile::Yaml);
    assert_eq!(KongFile::for_path(Path::new("/a/kong")), KongFile::Yaml);
}

#[tokio::test]
async fn a_url_or_a_path_opens_a_gateway() {
    let connectors = gwbackup_kong::connectors();
    let none = Settings::new();
    for bad in ["kong-file://host/a.yml", "kong-file:a.yml", "/a/kong.txt"] {
        let error = connectors.target(bad, &none).await.err().map(|error| error.kind());
        assert_eq!(error, Some(ErrorKind::Invalid), "{bad}");
    }
    for good in ["kong-file:///a%20b/kong.yml", "/a b/kong.yml"] {
        let gateway = connectors.source(good, &none).await.unwrap();
        assert_eq!(gateway.address(), "kong-file:///a b/kong.yml");
    }
}

/// A gateway in a fresh copy of the export, and the directory that it lies in.
fn gateway() -> (tempfile::TempDir, FileGateway) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kong.yml");
    std::fs::write(&path, fixture("12-export.yml")).unwrap();
    let gateway = gwbackup_kong::open(path).unwrap();
    (dir, gateway)
}

#[tokio::test]
async fn keeps_the_promises_of_a_source() {
    let dirs = std::sync::Mutex::new(Vec::new());
    conformance::source(|| {
        let (dir, gateway) = gateway();
        let path = dir.path().join("kong.yml");
        dirs.lock().unwrap().push(dir);
        let touch: conformance::Touch = Box::new(move || {
            let path = path.clone();
            Box::pin(async move {
                let text = std::fs::read_to_string(&path).unwrap();
                std::fs::write(&path, text.replace("quarry-search", "quarry-find")).unwrap();
            })
        });
        async move { SourceFixture { source: Arc::new(gateway), touch: Some(touch) } }
    })
    .await;
}

#[tokio::test]
async fn keeps_the_promises_of_a_target() {
    let dirs = std::sync::Mutex::new(Vec::new());
    conformance::target(|| {
        let (dir, gateway) = gateway();
        dirs.lock().unwrap().push(dir);
        let edit: conformance::Edit = Box::new(|resource| {
            let tags = resource.document.get("/tags")?;
            let tags = if tags == "null" { r#"["one"]"# } else { "null" };
            resource.document.with_values(&[("/tags".into(), tags.into())]).ok()
        });
        async move { TargetFixture { target: Arc::new(gateway), edit } }
    })
    .await;
}
