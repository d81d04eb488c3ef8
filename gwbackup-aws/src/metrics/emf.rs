//! Lines in the embedded metric format, which CloudWatch reads out of a log.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use gwbackup_core::clock::Timestamp;
use gwbackup_core::connect::{local_path, masked};
use gwbackup_core::error::ErrorKind;
use gwbackup_core::metrics::{MetricsRecorder, Sample};
use gwbackup_core::{Context, Error, Result};
use serde_json::{Map, Value, json};
use url::Url;

use super::series::{NAMESPACE, checked, dimensions, namespace, unit};

/// Metrics of one line.
const MOST: usize = 100;
const FORM: &str = "write emf:///PATH or emf:stderr, with ?namespace=NAME as needed";

enum To {
    Writer(Mutex<Box<dyn Write + Send>>),
    File(PathBuf),
}

/// Writes metrics as lines of JSON in CloudWatch's embedded metric format: whoever brings the lines to
/// CloudWatch Logs (an agent, a container's or a function's runtime) has them as metrics there.
///
/// Each line has the samples of one set of labels, at most 100 and none of them twice. A batch is
/// written at once and flushed. Values of labels beyond ASCII become `\u{..}`.
#[derive(Clone)]
pub struct EmfLines(Arc<Inner>);

struct Inner {
    namespace: String,
    name: String,
    to: To,
}

impl EmfLines {
    /// Writes into `to`, which messages call `name`. `Invalid` when this cannot be a namespace.
    pub fn new(
        namespace: &str,
        name: impl Into<String>,
        to: impl Write + Send + 'static,
    ) -> Result<Self> {
        Self::to(namespace, name.into(), To::Writer(Mutex::new(Box::new(to))))
    }

    /// Appends to this file, which is opened for each batch and made where it is missing. No I/O yet.
    /// `Invalid` when this cannot be a namespace.
    pub fn appending(namespace: &str, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        Self::to(namespace, format!("emf://{}", path.display()), To::File(path))
    }

    fn to(name_space: &str, name: String, to: To) -> Result<Self> {
        let namespace = namespace(name_space)?.to_owned();
        Ok(Self(Arc::new(Inner { namespace, name, to })))
    }

    /// Of `emf:///PATH` or `emf:stderr`, with `?namespace=NAME` (by default `gwbackup`). No I/O.
    /// `Invalid` when something in it cannot be.
    pub fn from_url(url: &Url) -> Result<Self> {
        let wrong = |what: String| Error::invalid(what).on(masked(url)).help(FORM);
        let mut named = NAMESPACE.to_owned();
        for (query, value) in url.query_pairs() {
            match &*query {
                "namespace" => named = value.into_owned(),
                _ => return Err(wrong(format!("an EMF url knows no `{query}`"))),
            }
        }
        if url.path() == "stderr" {
            return Self::new(&named, "emf:stderr", std::io::stderr());
        }
        Self::appending(&named, local_path(url).map_err(|e| e.help(FORM))?)
    }
}

impl Inner {
    /// The batch as lines.
    fn text(&self, at: Timestamp, samples: &[Sample]) -> String {
        let mut text = String::new();
        let mut rest = samples;
        while let Some(first) = rest.first() {
            let fits = |(n, sample): &(usize, &Sample)| {
                let before = rest.iter().take(*n);
                sample.labels() == first.labels()
                    && before.into_iter().all(|other| other.metric() != sample.metric())
            };
            let count = rest.iter().take(MOST).enumerate().take_while(fits).count();
            let (line, later) = rest.split_at(count);
            text.push_str(&self.line(at, first, line).to_string());
            text.push('\n');
            rest = later;
        }
        text
    }

    fn line(&self, at: Timestamp, first: &Sample, samples: &[Sample]) -> Value {
        let mut members = Map::new();
        let names: Vec<&str> = first.labels().keys().map(|label| label.name()).collect();
        let metrics = samples
            .iter()
            .map(|one| json!({ "Name": one.metric().name(), "Unit": unit(one.metric()) }));
        let directive = json!({
            "Namespace": self.namespace,
            "Dimensions": [names],
            "Metrics": metrics.collect::<Vec<_>>(),
        });
        let about = json!({ "Timestamp": at.as_millisecond(), "CloudWatchMetrics": [directive] });
        members.insert("_aws".to_owned(), about);
        for (name, value) in dimensions(first) {
            members.insert(name.to_owned(), value.into());
        }
        for sample in samples {
            members.insert(sample.metric().name().to_owned(), sample.value().into());
        }
        members.into()
    }

    fn write(&self, text: &[u8]) -> Result<()> {
        let written = match &self.to {
            To::Writer(to) => {
                let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
                to.write_all(text).and_then(|()| to.flush())
            }
            To::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                file.and_then(|mut file| file.write_all(text))
            }
        };
        written.map_err(|e| Error::from(e).on(&self.name))
    }
}

#[async_trait]
impl MetricsRecorder for EmfLines {
    async fn record(&self, cx: &Context, at: Timestamp, samples: &[Sample]) -> Result<()> {
        cx.check()?;
        checked(samples)?;
        if samples.is_empty() {
            return Ok(());
        }
        let (inner, text) = (Arc::clone(&self.0), self.0.text(at, samples));
        // Whoever reads the other end of a pipe may be slow.
        let written = tokio::task::spawn_blocking(move || inner.write(text.as_bytes())).await;
        written.map_err(|_| Error::new(ErrorKind::Other, "the writing did not end").on(self))?
    }
}

impl fmt::Display for EmfLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

impl fmt::Debug for EmfLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("EmfLines");
        shown.field("namespace", &self.0.namespace).field("name", &self.0.name);
        shown.finish_non_exhaustive()
    }
}
