//! The levels of the core: a module knows lower levels, and earlier modules of its own.
//!
//! The table below is the architecture. What the test compares with it are the `crate::` paths in the
//! sources, tests and comments left out.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lowest first; within a level, a module may know those before it.
const LEVELS: &[(&str, &[&str])] = &[
    ("ground", &["error", "clock", "observe", "context", "task", "retry", "pace"]),
    ("model", &["model"]),
    (
        "seams",
        &[
            "source",
            "probe",
            "target",
            "crypt",
            "sink",
            "sort",
            "whole_file",
            "jsonl",
            "history",
            "metrics",
            "connect",
        ],
    ),
    ("stored form", &["archive", "catalog", "mapping", "plan", "policy", "vault"]),
    ("operations", &["backup", "verify", "restore", "drift", "preflight"]),
    ("reports", &["report", "drill", "runbook"]),
    ("entry", &["repository"]),
];

/// Knows everything, and is known by nothing but tests.
const BESIDE: &str = "testing";

/// What these must not know, whatever their level: they decide, and neither ask nor act.
const PURE: &[(&str, &[&str])] = &[
    ("model", &["context", "observe"]),
    ("mapping", &["context", "observe", "clock", "source", "target", "sink", "archive"]),
    ("plan", &["context", "observe", "clock", "source", "target", "sink", "archive"]),
];

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    from: String,
    to: String,
    place: String,
}

#[test]
fn no_module_knows_a_higher_one() {
    let order = order();
    let arrows = arrows();
    assert!(arrows.len() > 100, "only {} uses were found; is the reader broken?", arrows.len());
    let mut breaches = Vec::new();
    for Arrow { from, to, place } in &arrows {
        if from == BESIDE || from == to {
            continue;
        }
        if to == BESIDE {
            breaches.push(format!("{place}: {from} uses {BESIDE}, which is for tests only"));
            continue;
        }
        match (order.get(from.as_str()), order.get(to.as_str())) {
            (Some(above), Some(below)) if below < above => {}
            (Some(_), Some(_)) => breaches.push(format!("{place}: {from} uses {to}, above it")),
            _ => breaches.push(format!("{place}: {from} or {to} has no level yet")),
        }
        let forbidden = PURE.iter().find(|(pure, _)| pure == from).map_or(&[][..], |(_, not)| not);
        if forbidden.contains(&to.as_str()) {
            breaches.push(format!("{place}: {from} is pure and must not know {to}"));
        }
    }
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn every_module_has_a_level() {
    let order = order();
    let modules: BTreeSet<String> =
        files().iter().map(|file| top(file)).filter(|module| module != "lib").collect();
    let unknown: Vec<_> = modules
        .iter()
        .filter(|module| *module != BESIDE && !order.contains_key(module.as_str()))
        .collect();
    assert!(unknown.is_empty(), "give these a level: {unknown:?}");
}

#[test]
fn the_reader_sees_what_it_should() {
    let text = "\
use crate::sink::{Body, Sink};
pub(crate) use crate::{error::Error, context};
// use crate::commented::Out;
/// [`crate::documented::Thing`]
fn f() -> crate::model::Key { \"crate::quoted::text\"; unreachable }
#[cfg(test)]
mod tests {
    use crate::testing::X;
}
";
    let seen = names(text);
    let expected = [(1, "sink"), (2, "error"), (2, "context"), (5, "model")];
    assert_eq!(seen, expected.map(|(line, name)| (line, name.to_owned())));
}

/// Position of each module, from the bottom.
fn order() -> BTreeMap<&'static str, usize> {
    LEVELS.iter().flat_map(|(_, modules)| *modules).enumerate().map(|(n, m)| (*m, n)).collect()
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All sources but those of tests.
fn files() -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![source()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !is_test(&path) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Files that only tests see lie in `tests.rs`, `tests/` or are declared under `#[cfg(test)]` in the
/// file beside them.
fn is_test(path: &Path) -> bool {
    let relative = path.strip_prefix(source()).unwrap();
    if relative
        .components()
        .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
    {
        return true;
    }
    let (Some(stem), Some(folder)) = (path.file_stem(), path.parent()) else { return false };
    let declared = fs::read_to_string(folder.with_extension("rs")).unwrap_or_default();
    declared.contains(&format!("#[cfg(test)]\nmod {};", stem.display()))
}

/// The module of the crate that a file belongs to.
fn top(file: &Path) -> String {
    let relative = file.strip_prefix(source()).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn arrows() -> Vec<Arrow> {
    let mut arrows = Vec::new();
    for file in files() {
        let from = top(&file);
        if from == "lib" {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for (line, to) in names(&text) {
            // `crate::Error` and the like are what `lib.rs` re-exports of the lowest level.
            if to.starts_with(char::is_lowercase) {
                let place = format!("{}:{line}", file.strip_prefix(source()).unwrap().display());
                arrows.push(Arrow { from: from.clone(), to, place });
            }
        }
    }
    arrows
}

/// The names that follow `crate::` before the tests begin, with their lines.
fn names(text: &str) -> Vec<(usize, String)> {
    let code = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut found = Vec::new();
    for (n, line) in code.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        for (at, _) in line.match_indices("crate::") {
            let quoted = line[..at].matches('"').count() % 2 == 1;
            let after = &line[at + "crate::".len()..];
            if quoted {
                continue;
            }
            let heads = match after.strip_prefix('{') {
                None => vec![after],
                Some(list) => list.trim_end_matches("};").split(',').map(str::trim).collect(),
            };
            for head in heads {
                let end = head.find(|c: char| !c.is_alphanumeric() && c != '_');
                let name = &head[..end.unwrap_or(head.len())];
                if !name.is_empty() {
                    found.push((n + 1, name.to_owned()));
                }
            }
        }
    }
    found
}
