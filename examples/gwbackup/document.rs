//! Documents that a command writes beside its result: reports, checklists.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use gwbackup::{Error, Result};
use serde::Serialize;

use crate::session::new_file;

/// The form of a document, by the name of its file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    Json,
    Html,
    Other,
}

impl Form {
    pub(crate) fn of(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => Self::Json,
            Some("html" | "htm") => Self::Html,
            _ => Self::Other,
        }
    }
}

/// A new file for a document: one that cannot be made is known before anything else happens.
#[derive(Debug)]
pub(crate) struct Document {
    file: File,
    form: Form,
}

impl Document {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Ok(Self { file: new_file(path)?, form: Form::of(path) })
    }

    /// Writes it: as JSON, as one page, else as Markdown.
    pub(crate) fn write(
        mut self,
        value: &impl Serialize,
        html: impl FnOnce() -> String,
        markdown: impl FnOnce() -> String,
    ) -> Result<()> {
        let text = match self.form {
            Form::Json => json(value)?,
            Form::Html => html(),
            Form::Other => markdown(),
        };
        Ok(self.file.write_all(text.as_bytes())?)
    }
}

pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value)
        .map_err(|_| Error::invalid("the result cannot be written as JSON"))
}
