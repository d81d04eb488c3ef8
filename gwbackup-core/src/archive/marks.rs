//! Marks, made ready once for all the lines that bear the same.
//!
//! The resources of a gateway share few sets of marks, since these follow from the kind. What is
//! costly about a set (to parse it, to write it, to compile its pointers) is kept for the next line.

use std::fmt;
use std::ops::Range;

use serde_json::value::{RawValue, to_raw_value};

use crate::error::{Error, Result};
use crate::model::{Mark, Matcher, Part, Says};

/// Sets that are kept.
const KEPT: usize = 32;
/// Bytes of the longest set that is kept: a hostile archive must not fill the memory.
const LONGEST: usize = 4096;

/// Sets that lines bore.
#[derive(Debug, Default)]
pub(crate) struct KnownMarks {
    /// The set that was used last stands first.
    recent: Vec<Marks>,
    /// The last one that was too long to be kept.
    long: Option<Marks>,
}

impl KnownMarks {
    /// These.
    pub(super) fn of(&mut self, list: &[Mark]) -> Result<&Marks> {
        if self.find(|known| known.list == list) {
            return Ok(&self.recent[0]);
        }
        Marks::new(list.to_vec()).map(|marks| self.keep(marks))
    }

    /// Those of a line. `Corrupt` when the text is none that names marks.
    pub(super) fn read(&mut self, json: &RawValue) -> Result<&Marks> {
        if self.find(|known| known.json.get() == json.get()) {
            return Ok(&self.recent[0]);
        }
        let list = serde_json::from_str(json.get())
            .map_err(|_| Error::corrupt("the marks of a stored line are malformed"))?;
        Marks::new(list).map(|marks| self.keep(marks))
    }

    /// Whether there is such a set; it stands first then.
    fn find(&mut self, wanted: impl Fn(&Marks) -> bool) -> bool {
        let Some(at) = self.recent.iter().position(wanted) else { return false };
        self.recent[..=at].rotate_right(1);
        true
    }

    fn keep(&mut self, marks: Marks) -> &Marks {
        if marks.json.get().len() > LONGEST {
            return self.long.insert(marks);
        }
        self.recent.truncate(KEPT - 1);
        self.recent.insert(0, marks);
        &self.recent[0]
    }
}

/// A set of marks.
pub(super) struct Marks {
    list: Vec<Mark>,
    json: Box<RawValue>,
    secret: Matcher,
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.list).finish()
    }
}

impl Marks {
    fn new(list: Vec<Mark>) -> Result<Self> {
        let json = to_raw_value(&list).map_err(|_| Error::invalid("the marks cannot be stored"))?;
        let secret = Matcher::new(pointers(&list));
        Ok(Self { list, json, secret })
    }

    pub(super) fn list(&self) -> &[Mark] {
        &self.list
    }

    /// As they are stored.
    pub(super) fn json(&self) -> &RawValue {
        &self.json
    }

    /// The values of a document that are secret, in text order; of nested ones the outer.
    pub(super) fn secrets(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        self.secret.visit(text, |hit| {
            let inner = found.last().is_some_and(|last| hit.value.start < last.end);
            // A pointer is not a pattern: a segment `*` is the name of a member here.
            if !inner && pointers(&self.list).any(|pointer| pointer == hit.pointer) {
                found.push(hit.value);
            }
        });
        found
    }
}

/// Of the values that are secret.
fn pointers(list: &[Mark]) -> impl Iterator<Item = &str> {
    list.iter()
        .filter(|mark| mark.says == Says::Secret && mark.at.part == Part::Value)
        .map(|mark| mark.at.pointer.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Absence;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn many_sets_are_told_apart_and_few_are_kept() {
        let mut known = KnownMarks::default();
        for round in 0..2 {
            for n in 0..3 * KEPT {
                let list = [Mark::secret(format!("/{n}")), Mark::absent("/x", Absence::Denied)];
                let made = known.of(&list).unwrap();
                assert_eq!(made.list(), list, "{round}");
                let json = made.json().to_owned();
                let read = known.read(&json).unwrap();
                assert_eq!(read.list(), list, "{round}");
                assert_eq!(read.secrets(&format!(r#"{{"{n}":12}}"#)).len(), 1);
                assert!(read.secrets(r#"{"other":12}"#).is_empty());
            }
        }
        assert_eq!(known.recent.len(), KEPT);
    }

    #[test]
    fn another_form_of_the_same_marks_is_not_written_again() {
        let mut known = KnownMarks::default();
        let wanted = known.of(&[Mark::secret("/other-form")]).unwrap().json().get().to_owned();
        let read = known.read(&raw(r#"[ {"is":"secret","new":1,"at":"/other-form"} ]"#)).unwrap();
        assert_eq!(read.json().get(), wanted);
    }

    #[test]
    fn what_names_no_marks_is_refused_and_a_large_set_is_not_kept() {
        let mut known = KnownMarks::default();
        let error = known.read(&raw(r#"[{"at":"/hunter2"}]"#)).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        let long = [Mark::secret(format!("/{}", "x".repeat(LONGEST)))];
        assert_eq!(known.of(&long).unwrap().list(), long);
        assert!(known.recent.is_empty());
    }

    #[test]
    fn a_star_in_a_pointer_is_a_name() {
        let mut known = KnownMarks::default();
        let marks = known.of(&[Mark::secret("/*/k")]).unwrap();
        let text = r#"{"*":{"k":1},"a":{"k":2}}"#;
        let found: Vec<&str> = marks.secrets(text).into_iter().map(|at| &text[at]).collect();
        assert_eq!(found, ["1"]);
    }
}
