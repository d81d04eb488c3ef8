//! What files say shortly, how they are written again, and exports.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here fails the test")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use gwbackup_core::clock::Timestamp;
use gwbackup_core::model::{Document, Key, Resource, Rules};
use gwbackup_core::whole_file::FileFormat;
use gwbackup_core::{ErrorKind, Result};
use gwbackup_kong::{Export, KongFile};
use serde_json::{Value, json};

type Resources = BTreeMap<Key, Resource>;

fn fixture(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name].iter().collect();
    std::fs::read_to_string(path).unwrap()
}

fn read(text: &str) -> Result<Resources> {
    let mut found = Resources::new();
    KongFile::Yaml.read(&mut text.as_bytes(), &mut |resource| {
        found.insert(resource.key.clone(), resource);
        Ok(())
    })?;
    Ok(found)
}

fn write(format: &dyn FileFormat, resources: &Resources) -> String {
    let mut out = Vec::new();
    format.write(&mut resources.values().cloned().map(Ok), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The same resources, compared as a plan compares them.
fn comparable(resources: &Resources) -> BTreeMap<String, Value> {
    let rules = Rules::new(KongFile::Yaml.about().schema);
    let form = |r: &Resource| rules.comparable(r, &[], &[]).to_value();
    resources.values().map(|r| (r.key.to_string(), form(r))).collect()
}

/// The documents of a kind.
fn all(resources: &Resources, kind: &str) -> Vec<Value> {
    let of_kind = resources.values().filter(|resource| resource.key.kind.as_str() == kind);
    of_kind.map(|resource| resource.document.to_value()).collect()
}

#[track_caller]
fn one(resources: &Resources, kind: &str) -> Value {
    let mut all = all(resources, kind);
    assert_eq!(all.len(), 1, "{kind}");
    all.remove(0)
}

#[test]
fn short_words_are_read_as_they_are_meant() {
    let found = read(&fixture("deck-short.yml")).unwrap();
    let service = one(&found, "service");
    // What the service says itself wins over its `url`, and that over the defaults.
    let wanted = [
        ("protocol", json!("https")),
        ("host", json!("pay.internal")),
        ("port", json!(8443)),
        ("path", json!("/v2")),
        ("retries", json!(3)),
        ("connect_timeout", json!(1000)),
        ("tags", json!(["own", "team-a"])),
        ("client_certificate", json!({"id": "5fc7d1f4-2a4e-4b5b-9d55-3d1c1f5a6a10"})),
    ];
    for (member, value) in wanted {
        assert_eq!(service[member], value, "{member}");
    }
    assert_eq!(service.get("url"), None);
    for route in all(&found, "route") {
        assert_eq!((&route["protocols"], &route["tags"]), (&json!(["https"]), &json!(["team-a"])));
        assert_eq!(route["service"]["id"], service["id"]);
    }
    assert_eq!(one(&found, "upstream")["slots"], 100);
    assert_eq!(one(&found, "target")["weight"], 7);
    let plugins = all(&found, "plugin");
    let limit = plugins.iter().find(|plugin| plugin["name"] == "rate-limiting").unwrap();
    assert_eq!(limit["config"], json!({"minute": 5, "policy": "redis"}));
    assert_eq!(limit.get("_config"), None);
    // Two groups may have a plugin of one name, and the id of a link says what it ties together.
    let grouped = plugins.iter().filter(|plugin| plugin["name"] == "rate-limiting-advanced");
    assert_eq!(grouped.count(), 2);
    let link = one(&found, "consumer_group_consumer");
    assert_eq!(link["consumer"]["id"], one(&found, "consumer")["id"]);
    let groups = all(&found, "consumer_group");
    let gold = groups.iter().find(|group| group["name"] == "gold").unwrap();
    assert_eq!(link["consumer_group"]["id"], gold["id"]);
    assert_eq!(one(&found, "basicauth_credential")["password"], "${{ env \"DECK_BOB\" }}");
}

#[test]
fn every_way_to_say_that_a_consumer_is_in_a_group_is_the_same() {
    let ways = [
        "consumers: [{username: bob, groups: [{name: gold}]}]\nconsumer_groups: [{name: gold}]",
        "consumers: [{username: bob}]\nconsumer_groups: [{name: gold, consumers: [{username: bob}]}]",
        "consumers: [{username: bob, groups: [{name: gold}]}]\n\
         consumer_groups: [{name: gold, consumers: [{username: bob}]}]",
        "consumers: [{username: bob}]\nconsumer_groups: [{name: gold}]\n\
         consumer_group_consumers: [{consumer: bob, consumer_group: gold}]",
    ];
    let read = |way| read(&format!("_format_version: '3.0'\n{way}\n")).unwrap();
    let first = read(ways[0]);
    assert_eq!(first.len(), 4);
    for way in ways {
        let found = read(way);
        assert_eq!(comparable(&found), comparable(&first), "{way}");
        for format in [&KongFile::Yaml as &dyn FileFormat, &Export::deck()] {
            let mut again = read_text(&write(format, &found));
            again.retain(|key, _| found.contains_key(key));
            assert_eq!(comparable(&again), comparable(&first), "{way}");
        }
    }
}

fn read_text(text: &str) -> Resources {
    read(text).unwrap()
}

#[test]
fn addresses_are_taken_apart_or_refused() {
    let service = |url: &str| {
        read(&format!("_format_version: '3.0'\nservices: [{{name: s, url: \"{url}\"}}]\n"))
            .map(|found| one(&found, "service"))
    };
    for (url, protocol, host, port, path) in [
        ("http://a", "http", "a", 80, Value::Null),
        ("https://a/", "https", "a", 443, json!("/")),
        ("grpcs://a:1/x/y?q=1#f", "grpcs", "a", 1, json!("/x/y")),
        ("http://[::1]:8080", "http", "[::1]", 8080, Value::Null),
        ("http://[::1]/p", "http", "[::1]", 80, json!("/p")),
    ] {
        let found = service(url).unwrap();
        assert_eq!(found["protocol"], protocol, "{url}");
        assert_eq!(found["host"], host, "{url}");
        assert_eq!(found["port"], port, "{url}");
        assert_eq!(found.get("path").unwrap_or(&Value::Null), &path, "{url}");
    }
    for url in ["a", "//a", "http://", "http://:80", "http://a:70000", "http://u:hunter2@a/"] {
        let error = service(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
        assert!(error.to_string().contains("service/s"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    // Nobody knows what decK's environment will say.
    let url = "${{ env \\\"DECK_URL\\\" }}";
    assert_eq!(service(url).unwrap()["url"], "${{ env \"DECK_URL\" }}");
}

#[test]
fn a_shared_configuration_must_be_there() {
    let text = "_format_version: '3.0'\nplugins: [{name: p, _config: nowhere}]\n";
    let error = read(text).unwrap_err();
    assert!(error.to_string().contains("plugin/p"), "{error}");
}

#[test]
fn a_file_keeps_its_form() {
    for (name, nested) in [
        ("12-export.yml", false),
        ("generated-flat.yml", false),
        ("generated-nested.yml", true),
        ("deck-short.yml", true),
    ] {
        let text = fixture(name);
        let found = read_text(&text);
        let like = KongFile::Yaml.like(&mut text.as_bytes()).unwrap();
        assert_eq!(like.is_some(), nested, "{name}");
        let Some(like) = like else { continue };
        let again = write(like.as_ref(), &found);
        assert_eq!(comparable(&read_text(&again)), comparable(&found), "{name}");
        let still = KongFile::Yaml.like(&mut again.as_bytes()).unwrap();
        assert!(still.is_some(), "{name}");
        // What Kong exports comes into such a file without what decK would refuse.
        let export = read_text(&fixture("12-export.yml"));
        let again = write(like.as_ref(), &export);
        assert!(!again.contains("updated_at"));
        assert_eq!(comparable(&read_text(&again)), comparable(&export), "{name}");
    }
}

/// A gateway with one resource.
fn alone(key: &str, document: &Value) -> Resources {
    let key: Key = key.parse().unwrap();
    let document = Document::from_value(document).unwrap();
    Resources::from([(key.clone(), Resource::new(key, document))])
}

#[test]
fn an_export_says_for_which_kong_it_is() {
    let service = alone("service/s", &json!({"name": "s", "host": "h"}));
    for (version, wanted) in [
        ("3.9.1", "3.0"),
        ("3.4.3.1", "3.0"),
        ("4.0", "3.0"),
        ("2.8.1.1-enterprise-edition", "2.1"),
        ("2.1", "2.1"),
        ("2.0.5", "1.1"),
        ("1.5.0", "1.1"),
        ("unknown", "3.0"),
    ] {
        let text = write(&Export::kong().version(version), &service);
        assert!(text.starts_with(&format!("_format_version: \"{wanted}\"\n")), "{version}: {text}");
    }
    // A file's own word stands.
    let own = read_text("_format_version: '1.1'\nservices: [{name: s}]\n");
    assert!(write(&Export::kong(), &own).starts_with("_format_version: \"1.1\"\n"));
}

#[test]
fn an_export_has_hashes_stored_as_they_are_and_nothing_else() {
    let hash = "6b3f045b04cc717b50019c3d997cbd3cdf282a10";
    let basic = |password: &str| {
        let document = json!({"username": "u", "password": password, "consumer": {"id": "c"}});
        alone("basicauth_credential/b", &document)
    };
    let oauth = |secret: &str, hashed: bool| {
        let document = json!({"client_id": "i", "client_secret": secret, "hash_secret": hashed});
        alone("oauth2_credential/o", &document)
    };
    for (resources, wanted) in [
        (basic(hash), true),
        (basic(&hash.to_uppercase()), false),
        (basic(&hash[1..]), false),
        (basic("{vault://env/password}"), false),
        (oauth("$pbkdf2-sha512$i=10000,l=32$a$b", true), true),
        (oauth("$pbkdf2-sha512$i=10000,l=32$a$b", false), false),
        (oauth("clear", true), false),
    ] {
        let export = write(&Export::kong(), &resources);
        assert_eq!(export.contains("\n_transform: false\n"), wanted, "{export}");
        // decK has no way to store a hash.
        let deck = Export::deck();
        let export = write(&deck, &resources);
        assert!(!export.contains("_transform"), "{export}");
        assert_eq!(deck.left_out().values().sum::<u64>(), u64::from(wanted));
    }
}

#[test]
fn a_time_to_live_becomes_what_the_reader_takes_it_for() {
    let from = Timestamp::from_second(1_795_000_000).unwrap();
    for (ttl, kong, deck) in [
        (60_i64, 1_795_000_060_i64, 60_i64),
        (1_795_000_060, 1_795_000_060, 60),
        (1_794_000_000, 1_794_000_000, 1),
    ] {
        let key = alone("keyauth_credential/k", &json!({"key": "k", "ttl": ttl}));
        for (export, wanted) in [(Export::kong(), kong), (Export::deck(), deck)] {
            let text = write(&export.clone().counted_from(from), &key);
            assert_eq!(one(&read_text(&text), "keyauth_credential")["ttl"], wanted, "{ttl}");
            let text = write(&export, &key);
            assert_eq!(one(&read_text(&text), "keyauth_credential")["ttl"], ttl);
        }
    }
}

#[test]
fn a_text_that_deck_would_fill_in_is_none() {
    let lua = "local t = '${{ not a placeholder }}'\nreturn t";
    let plugin = json!({"name": "pre-function", "config": {"access": [lua, "${{", "${{ x }}"]}});
    let resources = alone("plugin/p", &plugin);
    for format in [Export::kong(), Export::deck(), Export::kong().json()] {
        let text = write(&format, &resources);
        assert!(!text.contains("${{"), "{text}");
        assert_eq!(one(&read_text(&text), "plugin")["config"], plugin["config"]);
    }
}

#[test]
fn a_child_whose_parent_is_elsewhere_stays_at_the_top() {
    let parent = "5fc7d1f4-2a4e-4b5b-9d55-3d1c1f5a6a10";
    let route = json!({"name": "r", "paths": ["/"], "service": {"id": parent}});
    let text = write(&Export::kong(), &alone("route/r", &route));
    assert_eq!(one(&read_text(&text), "route")["service"]["id"], parent);
}
