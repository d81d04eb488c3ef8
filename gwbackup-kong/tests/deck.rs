//! What decK, a program that we did not write, makes of our files, and we of its.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here fails the test"
)]

#[path = "support/peers.rs"]
mod peers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt as _;
use gwbackup_core::Context;
use gwbackup_core::connect::Settings;
use gwbackup_core::model::{Captured, Key, Resource, Rules, Scope};
use gwbackup_core::source::Source as _;
use gwbackup_core::whole_file::FileFormat;
use gwbackup_kong::testing::KongDouble;
use gwbackup_kong::{Export, KongAdmin, KongFile};
use serde_json::{Value, json};
use url::Url;

type Resources = BTreeMap<Key, Resource>;

fn fixture(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name].iter().collect();
    std::fs::read_to_string(path).unwrap()
}

fn read(format: KongFile, text: &str) -> Resources {
    let mut found = Resources::new();
    format
        .read(&mut text.as_bytes(), &mut |resource| {
            found.insert(resource.key.clone(), resource);
            Ok(())
        })
        .unwrap();
    found
}

fn write(format: &dyn FileFormat, resources: &Resources) -> String {
    let mut out = Vec::new();
    format.write(&mut resources.values().cloned().map(Ok), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What decK reads in a file, as it writes it again.
fn render(deck: &Path, text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (file, again) = (dir.path().join("kong.yml"), dir.path().join("again.json"));
    std::fs::write(&file, text).unwrap();
    let (file, out) = (file.to_str().unwrap(), again.to_str().unwrap());
    let mut validate = peers::call(deck, &["file", "validate", file]);
    validate.env("DECK_BOB", "a password");
    peers::run(validate);
    let render = ["file", "render", file, "--format", "json", "--output-file", out];
    peers::run(peers::call(deck, &render));
    std::fs::read_to_string(&again).unwrap()
}

fn rendered(deck: &Path, text: &str) -> Resources {
    read(KongFile::Json, &render(deck, text))
}

/// What decK keeps of entities, without the ids and times that it drops: foreign keys are the names of
/// what they mean.
fn by_name(resources: &Resources) -> Vec<(String, Value)> {
    let rules = Rules::new(KongFile::Yaml.about().schema);
    let name = |resource: &Resource| {
        let name = |at: &&str| resource.document.text(at);
        let known = ["/name", "/username", "/custom_id", "/client_id"].iter().find_map(name);
        known.map_or_else(|| resource.key.id.to_string(), std::borrow::Cow::into_owned)
    };
    let names: BTreeMap<String, String> =
        resources.values().map(|r| (r.key.id.to_string(), name(r))).collect();
    let form = |resource: &Resource| {
        let form = rules.comparable(resource, &[], &[]).to_value();
        let Value::Object(mut form) = form else { panic!("no object") };
        for member in ["created_at", "cert_alt", "key_alt"] {
            form.remove(member);
        }
        for value in form.values_mut() {
            if let Some(name) = value.get("id").and_then(|id| names.get(id.as_str()?)) {
                *value = Value::String(name.clone());
            }
        }
        Value::Object(form)
    };
    let mut all: Vec<(String, Value)> = resources
        .values()
        .filter(|resource| resource.key.kind.as_str() != "declarative_file")
        .map(|resource| (resource.key.kind.to_string(), form(resource)))
        .collect();
    all.sort_by_cached_key(|(kind, value)| format!("{kind} {value}"));
    all
}

/// Of these kinds decK cannot take hashes.
const HASHING: [&str; 2] = ["basicauth_credential", "oauth2_credential"];

fn is_hashed(resource: &Resource) -> bool {
    let document = &resource.document;
    let secret = document.text("/password").or(document.text("/client_secret"));
    secret.is_some_and(|secret| secret.starts_with("$pbkdf2") || secret.len() == 40)
}

#[test]
fn deck_reads_an_export_as_it_is_meant() {
    let Some(deck) = peers::deck() else { return };
    for name in ["12-export.yml", "generated-nested.yml", "generated-flat.yml"] {
        let mut all = read(KongFile::Yaml, &fixture(name));
        let export = Export::deck();
        let text = write(&export, &all);
        let left_out = export.left_out();
        all.retain(|key, resource| match key.kind.as_str() {
            kind if HASHING.contains(&kind) => !is_hashed(resource),
            kind => !left_out.contains_key(kind),
        });
        let (ours, decks) = (by_name(&all), by_name(&rendered(deck, &text)));
        assert!(ours.len() > 80, "{name}: {}", ours.len());
        for (ours, decks) in ours.iter().zip(&decks) {
            assert_eq!(ours, decks, "{name}");
        }
        assert_eq!(ours.len(), decks.len());
    }
}

#[test]
fn a_file_in_decks_words_means_the_same_to_deck_when_we_wrote_it_again() {
    let Some(deck) = peers::deck() else { return };
    let text = fixture("deck-short.yml");
    let mut all = read(KongFile::Yaml, &text);
    let like = KongFile::Yaml.like(&mut text.as_bytes()).unwrap().expect("it is nested");
    let again = write(like.as_ref(), &all);
    let render = |text: &str| -> Value { serde_json::from_str(&render(deck, text)).unwrap() };
    assert_eq!(render(&text), render(&again));
    // An export says the same without the short words, which Kong does not know.
    all.retain(|key, _| key.kind.as_str() != "declarative_file");
    let export = write(&Export::kong(), &all);
    assert!(!export.contains("_info") && !export.contains("_plugin_configs"), "{export}");
    let mut tagged = render(&export);
    without_tag("team-a", &mut tagged);
    assert_eq!(render(&text), tagged);
}

fn without_tag(tag: &str, value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::Array(tags)) = members.get_mut("tags") {
                let before = tags.len();
                tags.retain(|one| one != tag);
                assert_eq!(tags.len() + 1, before, "everything has the tag");
                if tags.is_empty() {
                    members.remove("tags");
                }
            }
            members.values_mut().for_each(|value| without_tag(tag, value));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| without_tag(tag, value)),
        _ => {}
    }
}

#[test]
fn deck_refuses_hashes_and_reads_the_rest_of_an_export_for_kong() {
    let Some(deck) = peers::deck() else { return };
    let text = "
_format_version: '3.0'
_transform: false
consumers:
- username: bob
  basicauth_credentials:
  - {username: bob, password: 6b3f045b04cc717b50019c3d997cbd3cdf282a10}
";
    let mut all = read(KongFile::Yaml, text);
    let export = write(&Export::kong(), &all);
    assert!(export.contains("\n_transform: false\n"), "{export}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kong.yml");
    std::fs::write(&file, &export).unwrap();
    let file = file.to_str().unwrap();
    let refused = peers::call(deck, &["file", "validate", file]).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("_transform: false"));
    all.retain(|key, _| key.kind.as_str() != "basicauth_credential");
    rendered(deck, &write(&Export::kong(), &all));
}

/// A double with the recorded entities, but for what this decK cannot say: the second pair of a
/// certificate.
async fn double() -> KongDouble {
    let double = KongDouble::start().await.unwrap();
    double.load(&fixture("12-export.yml")).unwrap();
    for certificate in &double.state()["certificates"] {
        let path = format!("/certificates/{}", certificate["id"].as_str().unwrap());
        let none = json!({ "cert_alt": null, "key_alt": null });
        assert_eq!(double.request("PATCH", &path, &none).0, 200);
    }
    double
}

/// A call of decK to a node.
fn gateway(deck: &Path, double: &KongDouble, arguments: &[&str]) -> String {
    let url = double.url();
    peers::run(peers::call(deck, &[&["gateway"], arguments, &["--kong-addr", &url]].concat()))
}

#[tokio::test(flavor = "multi_thread")]
async fn deck_takes_the_double_for_a_kong() {
    let Some(deck) = peers::deck() else { return };
    let double = double().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dump.yml");
    let file = file.to_str().unwrap();
    let before = double.state();
    assert!(gateway(deck, &double, &["ping"]).contains("3.9.1"));
    gateway(deck, &double, &["dump", "--with-id", "--output-file", file]);
    gateway(deck, &double, &["validate", file]);
    let unchanged = ["Created: 0", "Updated: 0", "Deleted: 0"];
    for command in ["diff", "sync"] {
        let said = gateway(deck, &double, &[command, file]);
        assert!(unchanged.iter().all(|line| said.contains(line)), "{command}: {said}");
    }
    assert_eq!(double.state(), before);
    // Into an empty one, twice: all there at once, then nothing to do.
    let empty = KongDouble::start().await.unwrap();
    let said = gateway(deck, &empty, &["sync", file]);
    assert!(!said.contains(unchanged[0]) && said.contains(unchanged[2]), "{said}");
    for (collection, entities) in before {
        let known = !["keys", "key-sets", "oauth2_tokens", "acme_storage"].contains(&&*collection);
        let wanted = if known { entities.len() } else { 0 };
        assert_eq!(empty.state()[&collection].len(), wanted, "{collection}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_decks_says_what_our_export_says() {
    let Some(deck) = peers::deck() else { return };
    let double = double().await;
    let url = Url::parse(&format!("kong+{}", double.url())).unwrap();
    let (kong, cx) = (KongAdmin::new(&url, &Settings::new()).unwrap(), Context::new());
    let description = kong.describe(&cx).await.unwrap();
    let captured = kong.read(&cx, &description, &Scope::everything(), None);
    let ours: Resources = captured
        .try_filter_map(async |captured| {
            Ok(match captured {
                Captured::Resource(resource) => Some((resource.key.clone(), resource)),
                _ => None,
            })
        })
        .try_collect()
        .await
        .unwrap();
    let ours = rendered(deck, &write(&Export::deck(), &ours));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dump.json");
    let path = file.to_str().unwrap();
    gateway(deck, &double, &["dump", "--with-id", "--format", "json", "--output-file", path]);
    let mut dump = read(KongFile::Json, &std::fs::read_to_string(&file).unwrap());
    // decK writes hashes that it could not bring back; our export for it leaves them out.
    dump.retain(|key, resource| !(HASHING.contains(&key.kind.as_str()) && is_hashed(resource)));
    let (ours, decks) = (by_name(&ours), by_name(&dump));
    assert!(ours.len() > 80, "{}", ours.len());
    for (ours, decks) in ours.iter().zip(&decks) {
        assert_eq!(ours, decks);
    }
    assert_eq!(ours.len(), decks.len());
}
