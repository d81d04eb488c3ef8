//! YAML as people, editors and enemies write it. What is expected is what Kong's own reader (libyaml,
//! YAML 1.1) makes of it, or a refusal that names the place.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here fails the test")]

use gwbackup_core::whole_file::FileFormat as _;
use gwbackup_core::{ErrorKind, Result};
use gwbackup_kong::KongFile;
use serde_json::{Value, json};

/// The file's own members, which may hold any value.
fn own(text: &str) -> Result<Value> {
    let mut own = None;
    KongFile::Yaml.read(&mut text.as_bytes(), &mut |resource| {
        own.get_or_insert_with(|| resource.document.to_value());
        Ok(())
    })?;
    Ok(own.unwrap())
}

const HEAD: &str = "_format_version: \"3.0\"\n";

/// The value of `_x` in a file that ends so.
fn value(rest: &str) -> Result<Value> {
    own(&format!("{HEAD}_x: {rest}")).map(|mut own| own["_x"].take())
}

#[test]
fn values_are_what_kong_takes_them_for() {
    for (text, wanted) in [
        ("\n", json!(null)),
        ("~ # nothing\n", json!(null)),
        ("'~'\n", json!("~")),
        ("\"yes\"\n", json!("yes")),
        ("y\n", json!("y")),
        ("2001-12-14\n", json!("2001-12-14")),
        ("2001-12-14T21:59:43Z\n", json!("2001-12-14T21:59:43Z")),
        ("0x10\n", json!(16)),
        ("0o7\n", json!("0o7")),
        ("'0777'\n", json!("0777")),
        ("!!str 5\n", json!("5")),
        ("! 5\n", json!("5")),
        ("a#b # c\n", json!("a#b")),
        ("http://a:80/b\n", json!("http://a:80/b")),
        ("'it''s'\n", json!("it's")),
        ("\"\\x41\\u00e9\\U0001F600\\t\\/\"\n", json!("A\u{e9}\u{1F600}\t/")),
        // Folded, as Kong's writer does with what is longer than 80 columns.
        ("one\n  two\n\n  three\n", json!("one two\nthree")),
        ("'one\n  two'\n", json!("one two")),
        ("\"one\\\n  \\ two\"\n", json!("one two")),
        ("|\n  a\n   b\n\n  c\n", json!("a\n b\n\nc\n")),
        ("|2\n    a\n  b\n", json!("  a\nb\n")),
        ("|-\n  a\n\n", json!("a")),
        ("|+\n  a\n\n", json!("a\n\n")),
        (">\n  a\n  b\n\n  c\n", json!("a b\nc\n")),
        (">-\n  a\n    b\n", json!("a\n  b")),
        ("|\n  # no comment\n", json!("# no comment\n")),
        ("[a, 'b', \"c\", ]\n", json!(["a", "b", "c"])),
        ("[a\n  , b]\n", json!(["a", "b"])),
        ("{a: 1, \"b\": [], c: }\n", json!({"a": 1, "b": [], "c": null})),
        ("\n- - a\n  - b\n- c: d\n  e:\n  - f\n", json!([["a", "b"], {"c": "d", "e": ["f"]}])),
        ("\n  ? a\n  : b\n", json!({"a": "b"})),
        ("\n  1: a\n  true: b\n", json!({"1": "a", "true": "b"})),
        ("&a 5\n_y: *a\n", json!(5)),
        // A name may be given again; it means the nearest before.
        ("[&a 1, *a, &a 2, *a]\n", json!([1, 1, 2, 2])),
        ("a", json!("a")),
    ] {
        assert_eq!(value(text).unwrap_or_else(|e| panic!("{text}: {e}")), wanted, "{text}");
    }
}

#[test]
fn what_surrounds_a_document_is_no_part_of_it() {
    let wanted = json!({"_format_version": "3.0", "_x": ["a", "b"]});
    let plain = "_format_version: \"3.0\"\n_x:\n- a\n- b\n";
    for text in [
        plain.to_owned(),
        format!("\u{feff}{plain}"),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        format!("---\n{plain}...\n"),
        format!("# a comment\n%YAML 1.1\n---\n{plain}"),
        format!("\n\n{plain}\n \n# the end"),
        plain.replace("- ", "   -   "),
        plain.replace('\n', "   # comment\n"),
    ] {
        assert_eq!(own(&text).unwrap_or_else(|e| panic!("{text:?}: {e}")), wanted, "{text:?}");
    }
}

#[test]
fn length_alone_is_no_reason() {
    let long = "x".repeat(3 << 20);
    for text in [format!("{long}\n"), format!("'{long}'\n"), format!("|\n  {long}\n")] {
        assert_eq!(value(&text).unwrap().as_str().unwrap().trim_end(), long);
    }
    let many = "- a\n".repeat(200_000);
    assert_eq!(value(&format!("\n{many}")).unwrap().as_array().unwrap().len(), 200_000);
}

#[test]
fn what_is_not_plain_is_refused_with_its_place() {
    for (text, wanted) in [
        ("\n\t- hunter2\n", "line"),
        ("\n  a: hunter2\n\tb: 2\n", "line"),
        ("'hunter2\n", "line"),
        ("[hunter2\n", "line"),
        ("hunter2: [}\n", "line"),
        ("]\n", "line 2"),
        ("\"hunter2\\q\"\n", "line 2"),
        ("\"hunter2\\ud800\"\n", "line 2"),
        ("*hunter2\n", "line 2"),
        ("&a [*a]\n", "line 2"),
        ("@hunter2\n", "line 2"),
        ("`hunter2`\n", "line 2"),
        ("%hunter2\n", "line 2"),
        ("hun\u{0}ter2\n", "line"),
        ("hunter2: a\n", "line 2"),
        ("!!binary aHVudGVyMg==\n", "a YAML tag at line 2"),
        ("!!int 'hunter2'\n", "a YAML tag at line 2"),
        ("!!float 1\n", "a YAML tag at line 2"),
        ("!lua/function hunter2\n", "a YAML tag at line 2"),
        ("!!python/object/apply:os.system ['hunter2']\n", "a YAML tag at line 2"),
        ("{a: 1, 'a': hunter2}\n", "twice in one mapping at line 2"),
        ("{<<: [], a: hunter2}\n", "a merge key at line 2"),
        ("{[a]: hunter2}\n", "line 2"),
        ("off\n", "an unquoted yes, no, on or off at line 2 column 5"),
        ("12:30\n", "line 2 column 5"),
        ("1_000\n", "line 2 column 5"),
        ("0b11\n", "line 2 column 5"),
        (".inf\n", "line 2 column 5"),
        ("a\n---\n_x: hunter2\n", "a second YAML document"),
    ] {
        let error = value(text).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{text:?}");
        assert!(error.to_string().contains(wanted), "{text:?}: {error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{text:?}: {error:?}");
    }
}

#[test]
fn repetition_stays_cheap() {
    use std::fmt::Write as _;
    // Each line holds what came before twice: 2^40 values if somebody wrote them out.
    let mut wide = String::from("[x]\n");
    let mut deep = String::from("&a0 [x]\n");
    for n in 1..200 {
        writeln!(deep, "_a{n}: &a{n} [*a{}]", n - 1).unwrap();
    }
    let deep = value(&deep).unwrap_err();
    assert!(deep.to_string().contains("more than 128 levels"), "{deep}");
    wide = wide.replace("[x]", &format!("&b {{a: {}}}", "1".repeat(1000)));
    for n in 0..2000 {
        writeln!(wide, "_b{n}: *b").unwrap();
    }
    assert!(value(&wide).is_ok(), "an ordinary anchor");
    let list = "x, ".repeat(2000);
    let mut laughs = format!("&c [{list}]\n");
    for n in 0..2000 {
        writeln!(laughs, "_c{n}: *c").unwrap();
    }
    let error = value(&laughs).unwrap_err();
    assert!(error.to_string().contains("aliases that repeat too much"), "{error}");
}
