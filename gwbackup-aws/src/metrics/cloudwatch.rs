//! `PutMetricData`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use gwbackup_core::clock::Timestamp;
use gwbackup_core::connect::masked;
use gwbackup_core::error::{ErrorKind, Retry};
use gwbackup_core::metrics::{MetricsRecorder, Sample};
use gwbackup_core::retry::{Pauses, rest};
use gwbackup_core::{Context, Error, Result};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use url::Url;

use super::series::{NAMESPACE, checked, dimensions, namespace, unit};
use crate::config::{Identity, checked as region_of, suffix};
use crate::signed::{Ask, Signed, Told};

/// Values of one request.
const MOST: usize = 1000;
/// Bytes of one request: a megabyte, however that is counted.
const BYTES: usize = 1_000_000;
const TARGET: &str = "GraniteServiceVersion20100801.PutMetricData";
const FORM: &str = "write cloudwatch://NAMESPACE?region=REGION, and as needed endpoint=URL";

/// Sends metrics to CloudWatch, one series for each set of labels, at the resolution of a minute.
///
/// What asks for patience, and what may pass, is sent again after a pause, six times at most; an answer
/// that was lost may so count a counter twice, and a batch of more than 1,000 values, which takes
/// several requests, may arrive in part. Values of labels beyond ASCII become `\u{..}`.
///
/// It needs `cloudwatch:PutMetricData` ([`Policy::metrics`](crate::Policy::metrics)): `Denied` without.
/// `Unavailable` when CloudWatch does not answer, or asks for pauses for half a minute.
#[derive(Clone)]
pub struct CloudWatch(Arc<Inner>);

struct Inner {
    signed: Signed,
    endpoint: Url,
    namespace: String,
}

impl CloudWatch {
    /// This namespace in this region. No I/O. `Invalid` when either cannot be one.
    pub fn new(
        name_space: &str,
        region: &str,
        credentials: SharedCredentialsProvider,
    ) -> Result<Self> {
        let namespace = namespace(name_space)?.to_owned();
        let text = format!("https://monitoring.{}.{}/", region_of(region)?, suffix(region));
        let endpoint =
            Url::parse(&text).map_err(|_| Error::invalid("this is no region").on(region))?;
        let signed = Signed::new(region, credentials)?;
        Ok(Self(Arc::new(Inner { signed, endpoint, namespace })))
    }

    /// The same at another endpoint: a private one, or an emulator.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: Url) -> Self {
        // While it is made, nobody else has it.
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.endpoint = endpoint;
        }
        self
    }

    /// Of `cloudwatch://NAMESPACE?region=REGION&endpoint=URL`, of which all but the scheme may be left
    /// out (the namespace is then `gwbackup`). Credentials, and what the URL does not say, as the SDKs
    /// find them. `Invalid` when something in it cannot be. Reads files and may ask the instance it
    /// runs on.
    pub async fn from_url(url: &Url) -> Result<Self> {
        let wrong = |what: String| Error::invalid(what).on(masked(url)).help(FORM);
        let named = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
        let named = match named.trim_matches('/') {
            "" => NAMESPACE,
            named => named,
        };
        let (mut region, mut endpoint) = (None, None);
        for (query, value) in url.query_pairs() {
            match &*query {
                "region" => region = Some(value.into_owned()),
                "endpoint" => {
                    let bad = |_| wrong("the endpoint is no URL".to_owned());
                    endpoint = Some(Url::parse(&value).map_err(bad)?);
                }
                _ => return Err(wrong(format!("a CloudWatch url knows no `{query}`"))),
            }
        }
        namespace(named)?;
        let identity = Identity::find(region).await?;
        let own = Self::new(named, &identity.region, identity.credentials)?;
        Ok(match endpoint.or(identity.endpoint) {
            Some(endpoint) => own.with_endpoint(endpoint),
            None => own,
        })
    }

    /// The requests of a batch, each as large as one may be.
    fn bodies(&self, at: Timestamp, samples: &[Sample]) -> Vec<Bytes> {
        let seconds = at.as_duration().as_secs_f64();
        let around = |data: &str| {
            let namespace = Value::from(self.0.namespace.as_str());
            format!("{{\"Namespace\":{namespace},\"MetricData\":[{data}]}}")
        };
        let room = BYTES - around("").len();
        let (mut bodies, mut data, mut count) = (Vec::new(), String::new(), 0);
        for sample in samples {
            let datum = datum(seconds, sample).to_string();
            if count == MOST || data.len() + 1 + datum.len() > room {
                bodies.push(Bytes::from(around(&std::mem::take(&mut data))));
                count = 0;
            }
            if count > 0 {
                data.push(',');
            }
            data.push_str(&datum);
            count += 1;
        }
        bodies.push(Bytes::from(around(&data)));
        bodies
    }

    /// Sends one request until it is answered for good.
    async fn put(&self, cx: &Context, body: Bytes) -> Result<()> {
        let mut pauses = Pauses::new();
        loop {
            cx.check()?;
            let told = tokio::select! {
                told = self.once(cx, body.clone()) => told,
                () = cx.cancellation().cancelled() => continue,
            };
            let error = match told {
                Ok(told) if told.status.is_success() => return Ok(()),
                Ok(told) => self.refusal(&told),
                Err(error) => error,
            };
            match pauses.after(&error) {
                Some(pause) => rest(cx, pause).await?,
                None => return Err(error),
            }
        }
    }

    async fn once(&self, cx: &Context, body: Bytes) -> Result<Told> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
        headers.insert(HeaderName::from_static("x-amz-target"), HeaderValue::from_static(TARGET));
        let (service, method, url) = ("monitoring", Method::POST, self.0.endpoint.clone());
        self.0.signed.exchange(cx.now(), &Ask { service, method, url, headers, body }).await
    }

    /// What the service says, by its code.
    fn refusal(&self, told: &Told) -> Error {
        let code = told.code();
        let error = match (told.status.as_u16(), code.as_str()) {
            (_, "Throttling" | "ThrottlingException") | (429, _) => {
                Error::new(ErrorKind::Unavailable, "CloudWatch asks for pauses without end")
                    .with_retry(Retry::Later)
            }
            (500.., _) => Error::new(ErrorKind::Unavailable, "CloudWatch failed"),
            (_, "AccessDenied" | "AccessDeniedException") => {
                Error::new(ErrorKind::Denied, "the right to write metrics is missing").help(
                    format!(
                        "cloudwatch:PutMetricData on *, with cloudwatch:namespace {}",
                        self.0.namespace
                    ),
                )
            }
            (
                _,
                "InvalidClientTokenId"
                | "InvalidSignatureException"
                | "SignatureDoesNotMatch"
                | "UnrecognizedClientException",
            ) => {
                Error::new(ErrorKind::Unauthenticated, "CloudWatch does not accept the credentials")
            }
            (status, "") => Error::invalid(format!("CloudWatch refuses the metrics ({status})")),
            (_, code) => Error::invalid(format!("CloudWatch refuses the metrics ({code})")),
        };
        error.on(self)
    }
}

fn datum(seconds: f64, sample: &Sample) -> Value {
    let dimension = |(name, value)| json!({ "Name": name, "Value": value });
    json!({
        "MetricName": sample.metric().name(),
        "Dimensions": dimensions(sample).map(dimension).collect::<Vec<_>>(),
        "Timestamp": seconds,
        "Unit": unit(sample.metric()),
        "Value": sample.value(),
    })
}

#[async_trait]
impl MetricsRecorder for CloudWatch {
    async fn record(&self, cx: &Context, at: Timestamp, samples: &[Sample]) -> Result<()> {
        cx.check()?;
        checked(samples)?;
        if samples.is_empty() {
            return Ok(());
        }
        for body in self.bodies(at, samples) {
            self.put(cx, body).await?;
        }
        Ok(())
    }
}

impl fmt::Display for CloudWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cloudwatch://{}", self.0.namespace)
    }
}

impl fmt::Debug for CloudWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("CloudWatch");
        shown.field("namespace", &self.0.namespace).finish_non_exhaustive()
    }
}
