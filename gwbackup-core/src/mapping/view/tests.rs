use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::model::{Absence, Kind, KindSpec, Mark, MemberRule, MemorySnapshot, Schema};

fn rules() -> Rules {
    let mut api = KindSpec::new(Kind::known("api"), 1);
    api.members = vec![MemberRule { at: "/coded".to_owned(), is: Member::Base64 }];
    let kinds = vec![api, KindSpec::new(Kind::known("route"), 2)];
    Rules::new(Arc::new(Schema { kinds, ..Schema::default() }))
}

fn thing(at: &str, document: &str) -> Resource {
    Resource::new(at.parse().unwrap(), Document::parse(document).unwrap())
}

fn mapped(things: Vec<Resource>, tokens: &[(&str, &str)]) -> Result<Mapped> {
    let mut mapping = Mapping::new();
    for (from, to) in tokens {
        mapping = mapping.token(*from, *to)?;
    }
    Mapped::new(Arc::new(MemorySnapshot::new(things)), &rules(), &mapping)
}

fn all(mapped: &Mapped) -> Vec<(String, String)> {
    let found = mapped.scan().unwrap().map(Result::unwrap);
    found.map(|r| (r.key.to_string(), r.document.as_str().to_owned())).collect()
}

#[test]
fn keys_change_with_the_texts_and_the_order_is_kept() {
    let things = vec![
        thing("api/a", r#"{"n":1.0}"#),
        Resource {
            parent: Some("api/b".parse().unwrap()),
            ..thing("route/b/eu%2F1", r#"{"path":"eu/1"}"#)
        },
        thing("api/b", r#"{"z":"eu","eu":9007199254740993}"#),
        thing("api/eu", "{}"),
        thing("api/us", "{}"),
    ];
    let mapped = mapped(things, &[("eu", "us"), ("us", "a0"), ("b", "x")]).unwrap();
    let found = all(&mapped);
    let wanted = [
        ("api/a", r#"{"n":1.0}"#),
        ("api/a0", "{}"),
        ("api/us", "{}"),
        ("api/x", r#"{"us":9007199254740993,"z":"us"}"#),
        ("route/x/us%2F1", r#"{"path":"us/1"}"#),
    ];
    assert_eq!(found, wanted.map(|(key, text)| (key.to_owned(), text.to_owned())));
    for (key, text) in wanted {
        let one = mapped.get(&key.parse().unwrap()).unwrap().unwrap();
        assert_eq!((one.key.to_string(), one.document.as_str()), (key.to_owned(), text));
    }
    let child = mapped.get(&"route/x/us%2F1".parse().unwrap()).unwrap().unwrap();
    assert_eq!(child.parent, Some("api/x".parse().unwrap()));
    for gone in ["api/b", "api/eu", "route/b/eu%2F1"] {
        let key: Key = gone.parse().unwrap();
        assert!(mapped.get(&key).unwrap().is_none(), "{gone}");
        assert_eq!(mapped.original(&mapped.key(&key)), key);
    }
}

#[test]
fn two_that_would_become_one_are_refused() {
    for tokens in [&[("a", "c"), ("b", "c")][..], &[("a", "b")]] {
        let error = mapped(vec![thing("api/a", "{}"), thing("api/b", "{}")], tokens).unwrap_err();
        assert!(error.to_string().contains("api/a and api/b") || error.subject() == Some("api/b"));
        assert!(error.advice().is_some());
    }
}

#[test]
fn coded_text_is_reached_and_unchanged_text_stays_to_the_byte() {
    let coded = BASE64_STANDARD.encode(r#"{"arn":"x:eu:y"}"#);
    let wanted = BASE64_STANDARD.encode(r#"{"arn":"x:us:y"}"#);
    let other = r#"{"coded":"not base64!","s":"\u0065x\/y"}"#;
    let things = vec![
        thing("api/a", &format!(r#"{{"coded":"{coded}"}}"#)),
        thing("api/b", &format!(r#"{{"plain":"{coded}"}}"#)),
        thing("api/c", other),
    ];
    let mapped = mapped(things, &[("eu", "us")]).unwrap();
    let found: Vec<String> = all(&mapped).into_iter().map(|(_, text)| text).collect();
    let same = format!(r#"{{"plain":"{coded}"}}"#);
    assert_eq!(found, [format!(r#"{{"coded":"{wanted}"}}"#), same, other.to_owned()]);
    assert_eq!(mapped.used()[0].resources, 1);
    assert_eq!(mapped.used()[0].keys, ["api/a".parse().unwrap()]);
}

#[test]
fn marks_follow_the_names() {
    let mut marked = thing("api/a", r#"{"eu":{"k":"s"},"list":["eu"]}"#);
    marked.marks = vec![Mark::secret("/eu/k"), Mark::absent("/eu/x", Absence::Unreadable)];
    let mapped = mapped(vec![marked], &[("eu", "us"), ("0", "1")]).unwrap();
    let found = mapped.get(&"api/a".parse().unwrap()).unwrap().unwrap();
    let pointers: Vec<&str> = found.marks.iter().map(|mark| mark.at.pointer.as_str()).collect();
    assert_eq!(pointers, ["/us/k", "/us/x"]);
}
