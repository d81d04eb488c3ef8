//! Which region is spoken to, as whom, and how fast.

use aws_config::BehaviorVersion;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use gwbackup_core::connect::{Settings, masked};
use gwbackup_core::error::ErrorKind;
use gwbackup_core::{Error, Result};
use url::Url;

/// The part of the quotas that is used, in percent.
const BUDGET: u8 = 80;
/// Calls under way at one time.
const CALLS: u16 = 4;

/// Who speaks, and to where, as the SDKs find it: environment, profile, web identity, instance.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) region: String,
    pub(crate) endpoint: Option<Url>,
    pub(crate) credentials: SharedCredentialsProvider,
}

impl Identity {
    /// With this region before that of the environment. Reads files and may ask the instance it
    /// runs on.
    pub(crate) async fn find(region: Option<String>) -> Result<Self> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = region {
            loader = loader.region(aws_config::Region::new(region));
        }
        let sdk = loader.load().await;
        let region = sdk.region().ok_or_else(|| {
            Error::invalid("no region is named").help("name it in the url, or set AWS_REGION")
        })?;
        let credentials = sdk.credentials_provider().ok_or_else(|| {
            Error::new(ErrorKind::Unauthenticated, "no credentials are configured")
        })?;
        let endpoint = sdk.endpoint_url().map(Url::parse).transpose();
        let endpoint = endpoint.map_err(|_| {
            Error::invalid("the endpoint in the environment or the profile is no URL")
        })?;
        let region = checked(region.as_ref())?.to_owned();
        Ok(Self { region, endpoint, credentials })
    }
}

/// A region, by its form.
pub(crate) fn checked(region: &str) -> Result<&str> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if region.is_empty() || !region.bytes().all(fits) {
        return Err(Error::invalid("this is no region, such as eu-central-1").on(region));
    }
    Ok(region)
}

/// What the names of all services of a region end in.
pub(crate) fn suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// The first part of every ARN of a region.
pub(crate) fn partition(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("cn") => "aws-cn",
        Some("us") if region.contains("-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// Where the identities of a partition are kept: host, and the region in a signature.
pub(crate) fn identities(region: &str) -> (&'static str, &'static str) {
    match partition(region) {
        "aws-cn" => ("iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        "aws-us-gov" => ("iam.us-gov.amazonaws.com", "us-gov-west-1"),
        _ => ("iam.amazonaws.com", "us-east-1"),
    }
}

/// One region of one account. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) region: String,
    pub(crate) endpoint: Url,
    pub(crate) sts: Url,
    pub(crate) iam: Url,
    pub(crate) lambda: Url,
    pub(crate) credentials: SharedCredentialsProvider,
    pub(crate) budget: u8,
    pub(crate) calls: u16,
    pub(crate) unpaced: bool,
}

impl Config {
    /// This region, with these credentials, at the service's own endpoint. `Invalid` when the region
    /// has not the form of one.
    pub fn new(region: &str, credentials: SharedCredentialsProvider) -> Result<Self> {
        let region = checked(region)?;
        let at = |service: &str| {
            Url::parse(&format!("https://{service}.{region}.{}/", suffix(region)))
                .map_err(|_| Error::invalid("this is no region").on(region))
        };
        let iam = Url::parse(&format!("https://{}/", identities(region).0))
            .map_err(|_| Error::invalid("this is no region").on(region))?;
        Ok(Self {
            region: region.to_owned(),
            endpoint: at("apigateway")?,
            sts: at("sts")?,
            iam,
            lambda: at("lambda")?,
            credentials,
            budget: BUDGET,
            calls: CALLS,
            unpaced: false,
        })
    }

    /// Fixed credentials, for tests and emulators.
    pub fn fixed(access_key: &str, secret_key: &str) -> SharedCredentialsProvider {
        let credentials = Credentials::new(access_key, secret_key, None, None, "fixed");
        SharedCredentialsProvider::new(credentials)
    }

    /// The same, at another endpoint, which answers for identities and functions, too (an emulator).
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: Url) -> Self {
        self.sts = endpoint.clone();
        self.iam = endpoint.clone();
        self.lambda = endpoint.clone();
        self.endpoint = endpoint;
        self
    }

    /// The same, using this part of the quotas, in percent: 1 to 100, by default 80, since other
    /// tools of the account live on the same quotas.
    #[must_use]
    pub fn with_budget(mut self, percent: u8) -> Self {
        self.budget = percent.clamp(1, 100);
        self
    }

    /// The same, without any pace: for emulators, which have no quotas.
    #[must_use]
    pub fn unpaced(mut self) -> Self {
        self.unpaced = true;
        self
    }

    /// The same, with this many calls under way at one time: 1 to 32, by default 4.
    #[must_use]
    pub fn with_calls(mut self, calls: u16) -> Self {
        self.calls = calls.clamp(1, 32);
        self
    }

    /// Of `aws://REGION?budget=80`: credentials and endpoints as the SDKs find them (environment,
    /// profile, web identity, instance), the region of the URL before that of the environment.
    /// Settings: `endpoint` (an emulator's URL). Reads files and may ask the instance it runs on.
    pub async fn from_url(url: &Url, settings: &Settings) -> Result<Self> {
        let wrong = |what: String| {
            Error::invalid(what).on(masked(url)).help("write aws://REGION?budget=PERCENT")
        };
        let named = url.host_str().filter(|host| !host.is_empty());
        let identity = Identity::find(named.map(str::to_owned)).await?;
        let mut config = Self::new(&identity.region, identity.credentials)?;
        let endpoint = settings.value("endpoint").map(Url::parse).transpose();
        let endpoint = endpoint.map_err(|_| wrong("the endpoint is no URL".to_owned()))?;
        if let Some(endpoint) = endpoint.or(identity.endpoint) {
            config = config.with_endpoint(endpoint);
        }
        for (name, value) in url.query_pairs() {
            match (&*name, value.parse::<u8>()) {
                ("budget", Ok(percent @ 1..=100)) => config.budget = percent,
                ("budget", _) => return Err(wrong("`budget` is a number from 1 to 100".into())),
                _ => return Err(wrong(format!("an AWS url knows no `{name}`"))),
            }
        }
        Ok(config)
    }
}
