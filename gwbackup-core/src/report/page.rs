//! What a document for people says, before anything decides how it looks. Each rendering follows
//! from this alone.

use crate::clock::{Timestamp, rfc3339};
use crate::restore::Phase;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Doubt,
    Bad,
}

/// Text, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl Said {
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Said {
    fn from(text: T) -> Self {
        Self::new(Tone::Plain, text)
    }
}

/// A number that a reader looks for first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) name: &'static str,
    pub(crate) value: u64,
    /// How it stands if it is not zero.
    pub(crate) tone: Tone,
}

/// One change of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// A part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Begins a section.
    Heading(String),
    /// Begins a part of a section.
    Below(Said),
    Text(String),
    List(Vec<Said>),
    Facts(Vec<(String, Said)>),
    Counts(Vec<Count>),
    Table {
        head: Vec<&'static str>,
        rows: Vec<Vec<Said>>,
    },
    /// What differs: place, and the two sides under these names.
    Changes {
        sides: [&'static str; 2],
        changes: Vec<Change>,
    },
    /// What was done when.
    Timeline(Vec<Phase>),
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) verdict: Said,
    pub(crate) parts: Vec<Part>,
}

impl Page {
    pub(crate) fn new(title: impl Into<String>, verdict: Said) -> Self {
        Self { title: title.into(), verdict, parts: Vec::new() }
    }

    pub(crate) fn add(&mut self, part: Part) {
        self.parts.push(part);
    }

    pub(crate) fn heading(&mut self, text: &str) {
        self.add(Part::Heading(text.to_owned()));
    }

    /// A section with a list, or none where there is nothing to list.
    pub(crate) fn listed(&mut self, heading: &str, lines: Vec<Said>) {
        if !lines.is_empty() {
            self.heading(heading);
            self.add(Part::List(lines));
        }
    }
}

/// A character as a document may show it: what has no shape, or turns the direction of the text so
/// that it reads as something else, is replaced.
pub(crate) fn shown(c: char) -> char {
    match c {
        '\n' | '\t' => c,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// What stands where nothing was measured.
pub(crate) const NOT_MEASURED: &str = "not measured";

/// Rows of names and values, for [`Part::Facts`].
#[derive(Debug, Default)]
pub(crate) struct Facts(Vec<(String, Said)>);

impl Facts {
    pub(crate) fn row(mut self, name: &str, value: impl Into<Said>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// A row for what may not be known.
    pub(crate) fn known(self, name: &str, value: Option<impl ToString>) -> Self {
        let value = value.map_or_else(|| "not known".to_owned(), |value| value.to_string());
        self.row(name, value)
    }

    pub(crate) fn part(self) -> Part {
        Part::Facts(self.0)
    }
}

pub(crate) fn time(at: Timestamp) -> String {
    rfc3339(at)
}

/// How long it took, as people say it.
pub(crate) fn took(from: Timestamp, to: Timestamp) -> String {
    let millis = to.duration_since(from).as_millis().max(0);
    length(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// Milliseconds, as people say them.
pub(crate) fn length(millis: u64) -> String {
    let (seconds, rest) = (millis / 1000, millis % 1000);
    match seconds {
        0..60 => format!("{seconds}.{rest:03} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}
