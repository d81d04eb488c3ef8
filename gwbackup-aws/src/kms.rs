//! KMS as a holder of keys.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gwbackup_core::connect::masked;
use gwbackup_core::crypt::{
    DataKey, KeyContext, KeyProvider, Recipient, RecipientKind, RecipientState, Right, WrapBody,
};
use gwbackup_core::error::{ErrorKind, Retry};
use gwbackup_core::{Context, Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use url::Url;
use zeroize::Zeroizing;

use crate::config::Identity;
use crate::json_service::JsonService;
use crate::signed::Told;

/// The construction's name in a wrap.
const KIND: &str = "awskms";
const FORM: &str = "write awskms://ARN, or awskms://KEY-ID?region=REGION, or \
                    awskms://alias/NAME?region=REGION";

/// A symmetric key of KMS that wraps data keys: its bytes never leave the service.
///
/// Every wrap carries an encryption context that names repository, purpose and object
/// (`gwbackup-repository`, `gwbackup-purpose`, `gwbackup-object`), so that a wrap opens for what it
/// was made for alone, and policies and the service's log can tell which. Rotation inside KMS needs
/// nothing of a repository: what older material wrapped opens. Wraps are made anew under the newest
/// by `ReEncrypt`, inside the service.
///
/// Whatever the service refuses for good is `KeyUnavailable` with its reason, so that another key of
/// the repository is tried: a key that is disabled or waits for its deletion, a right that is
/// missing, a service that does not answer or asks for pauses for half a minute.
#[derive(Clone)]
pub struct KmsKey(Arc<Inner>);

struct Inner {
    service: JsonService,
    /// As it was given: an ARN, an id, or an alias.
    name: String,
    arn: OnceCell<String>,
    rights: Vec<Right>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    key_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_blob: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_context: Option<BTreeMap<&'static str, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ReEncrypt<'a> {
    ciphertext_blob: &'a str,
    source_key_id: &'a str,
    source_encryption_context: &'a BTreeMap<&'static str, String>,
    destination_key_id: &'a str,
    destination_encryption_context: &'a BTreeMap<&'static str, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    key_metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypted {
    ciphertext_blob: String,
    key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypted {
    plaintext: String,
}

impl KmsKey {
    /// The key of this name (ARN, id, or `alias/NAME`) in this region, with every right. No I/O.
    /// `Invalid` when the region has not the form of one.
    pub fn new(
        name: &str,
        region: &str,
        credentials: aws_credential_types::provider::SharedCredentialsProvider,
    ) -> Result<Self> {
        let arn = OnceCell::new();
        if name.starts_with("arn:") && name.contains(":key/") {
            arn.set(name.to_owned()).unwrap_or_default();
        }
        let service = JsonService::new("kms", "TrentService", region, credentials)?;
        let (name, rights) = (name.to_owned(), Right::ALL.to_vec());
        Ok(Self(Arc::new(Inner { service, name, arn, rights })))
    }

    /// The same at another endpoint: a private one, or an emulator.
    #[must_use]
    pub fn with_endpoint(self, endpoint: Url) -> Self {
        self.changed(|inner| inner.service.endpoint = endpoint)
    }

    /// The same with these rights when a repository is made.
    #[must_use]
    pub fn with_rights(self, rights: Vec<Right>) -> Self {
        self.changed(|inner| inner.rights = rights)
    }

    /// While it is made, nobody else has it.
    fn changed(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            change(inner);
        }
        self
    }

    /// Of `awskms://KEY?region=REGION&endpoint=URL&rights=RIGHT,...`, where all of the query may be
    /// left out; an ARN names its region. Credentials, and what the URL does not say, as the SDKs
    /// find them. `Invalid` when something in it cannot be. Reads files and may ask the instance it
    /// runs on.
    pub async fn from_url(url: &Url) -> Result<Self> {
        let wrong = |what: String| Error::invalid(what).on(masked(url)).help(FORM);
        let name = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
        let name = name.trim_matches('/');
        if name.is_empty() {
            return Err(wrong("no key is named".to_owned()));
        }
        let (mut region, mut endpoint, mut rights) = (None, None, Right::ALL.to_vec());
        if name.starts_with("arn:") {
            let named = name.split(':').nth(3).filter(|region| !region.is_empty());
            let named = named.ok_or_else(|| wrong("this ARN names no region".to_owned()))?;
            region = Some(named.to_owned());
        }
        for (query, value) in url.query_pairs() {
            match &*query {
                "region" => region = Some(value.into_owned()),
                "endpoint" => {
                    let bad = |_| wrong("the endpoint is no URL".to_owned());
                    endpoint = Some(Url::parse(&value).map_err(bad)?);
                }
                "rights" => rights = value.split(',').map(str::parse).collect::<Result<_>>()?,
                _ => return Err(wrong(format!("a KMS url knows no `{query}`"))),
            }
        }
        let identity = Identity::find(region).await?;
        let key = Self::new(name, &identity.region, identity.credentials)?.with_rights(rights);
        Ok(match endpoint.or(identity.endpoint) {
            Some(endpoint) => key.with_endpoint(endpoint),
            None => key,
        })
    }

    /// The key's ARN; asked of the service once where an id or an alias was given.
    async fn arn(&self, cx: &Context) -> Result<&str> {
        let ask = async || {
            let described: Described = self.call(cx, "DescribeKey", &self.request()).await?;
            Ok::<_, Error>(described.key_metadata.arn)
        };
        self.0.arn.get_or_try_init(ask).await.map(String::as_str)
    }

    fn request(&self) -> Request<'_> {
        Request {
            key_id: &self.0.name,
            plaintext: None,
            ciphertext_blob: None,
            encryption_context: None,
        }
    }

    /// Every operation used here may be repeated.
    async fn call<T: DeserializeOwned>(
        &self,
        cx: &Context,
        operation: &str,
        request: &(impl Serialize + Sync),
    ) -> Result<T> {
        let refused = |told: &Told| Some(refusal(told));
        let told = self.0.service.call(cx, operation, request, refused).await;
        let told = told.map_err(|error| match error.kind() {
            ErrorKind::Cancelled => error,
            _ => self.lost(error),
        })?;
        // What does not fit is not shown: it may hold a key.
        serde_json::from_slice(&told.body).map_err(|_| malformed())
    }

    /// What the service is to open, if it was wrapped for this key.
    async fn sealed(&self, cx: &Context, to: &Recipient, body: &WrapBody) -> Result<String> {
        let own = self.recipient(cx).await?;
        if to.id != own.id || body.kind() != KIND || body.body().is_empty() {
            return Err(self.stranger());
        }
        Ok(BASE64.encode(body.body()))
    }

    /// Why the key is of no use.
    fn lost(&self, cause: Error) -> Error {
        let error = Error::new(ErrorKind::KeyUnavailable, cause.message()).on(self.address());
        let help = cause.advice().unwrap_or("give another key of the repository, or try later");
        error.help(help).with_source(cause)
    }

    fn stranger(&self) -> Error {
        Error::new(ErrorKind::KeyUnavailable, "the wrapped key does not open")
            .on(self.address())
            .help("check that key and repository belong together")
    }
}

fn wrapped(sealed: &Encrypted) -> Result<WrapBody> {
    let body = BASE64.decode(&sealed.ciphertext_blob).map_err(|_| malformed())?;
    Ok(WrapBody::new(KIND, body).with_key(&sealed.key_id))
}

fn malformed() -> Error {
    Error::invalid("the key service answers what it should not")
}

/// What the service says, by its code: its text may name what nobody should read in a log.
fn refusal(told: &Told) -> Error {
    let code = told.code();
    let status = told.status.as_u16();
    let key = |what: &str| Error::new(ErrorKind::KeyUnavailable, what);
    match (status, code.as_str()) {
        (_, "DisabledException") => {
            key("the key is disabled").help("have it enabled, or give another key")
        }
        (_, "KMSInvalidStateException") => {
            key("the key waits for its deletion, or is in another state that does not serve")
                .help("have the deletion cancelled before it is due, or give another key")
        }
        (_, "NotFoundException") => key("there is no such key in this region and account")
            .help("check id, region and account"),
        (_, "InvalidCiphertextException" | "IncorrectKeyException") => {
            key("the wrapped key does not open")
                .help("check that key and repository belong together")
        }
        (_, "InvalidKeyUsageException") => {
            key("the key is not for encryption").help("use a symmetric key")
        }
        (_, "AccessDeniedException") => key("the right to use the key is missing").help(
            "kms:Encrypt is for backups, kms:Decrypt for reading, kms:ReEncryptFrom and \
             kms:ReEncryptTo for rotation, kms:DescribeKey for aliases",
        ),
        (_, "ThrottlingException" | "LimitExceededException") | (429, _) => {
            Error::new(ErrorKind::Unavailable, "the key service asks for pauses without end")
                .with_retry(Retry::Later)
        }
        (500.., _) => Error::new(ErrorKind::Unavailable, "the key service failed"),
        (_, "UnrecognizedClientException" | "InvalidSignatureException") => Error::new(
            ErrorKind::Unauthenticated,
            "the key service does not accept the credentials",
        ),
        _ if code.is_empty() => key(&format!("the key service refuses it ({status})")),
        _ => key(&format!("the key service refuses it ({code})")),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn context(of: &KeyContext) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("gwbackup-repository", hex(&of.repository)),
        ("gwbackup-purpose", of.purpose.as_str().to_owned()),
        ("gwbackup-object", hex(&of.object)),
    ])
}

#[async_trait]
impl KeyProvider for KmsKey {
    fn address(&self) -> String {
        format!("awskms://{}", self.0.name)
    }

    async fn proves(&self, cx: &Context) -> Result<Option<String>> {
        cx.check().map(|()| None)
    }

    async fn recipient(&self, cx: &Context) -> Result<Recipient> {
        let arn = self.arn(cx).await?;
        Ok(Recipient {
            id: hex(&Sha256::digest(arn)[..8]),
            // KMS keeps what a rotation replaces, and knows by itself what opens what.
            version: 1,
            rights: self.0.rights.clone(),
            state: RecipientState::Active,
            kind: RecipientKind::AwsKms { uri: format!("awskms://{arn}") },
        })
    }

    async fn wrap(&self, cx: &Context, key: &DataKey, of: &KeyContext) -> Result<WrapBody> {
        let arn = self.arn(cx).await?;
        let plain = Zeroizing::new(BASE64.encode(key.expose()));
        let request = Request {
            key_id: arn,
            plaintext: Some(&plain),
            encryption_context: Some(context(of)),
            ..self.request()
        };
        wrapped(&self.call(cx, "Encrypt", &request).await?)
    }

    async fn unwrap(
        &self,
        cx: &Context,
        recipient: &Recipient,
        body: &WrapBody,
        of: &KeyContext,
    ) -> Result<DataKey> {
        let sealed = self.sealed(cx, recipient, body).await?;
        let request = Request {
            key_id: self.arn(cx).await?,
            ciphertext_blob: Some(&sealed),
            encryption_context: Some(context(of)),
            ..self.request()
        };
        let opened: Decrypted = self.call(cx, "Decrypt", &request).await?;
        let text = Zeroizing::new(opened.plaintext);
        let bytes = Zeroizing::new(BASE64.decode(text.as_bytes()).map_err(|_| malformed())?);
        let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| self.stranger())?;
        Ok(DataKey::new(bytes))
    }

    async fn rewrap(
        &self,
        cx: &Context,
        recipient: &Recipient,
        body: &WrapBody,
        of: &KeyContext,
    ) -> Result<WrapBody> {
        let sealed = self.sealed(cx, recipient, body).await?;
        let (arn, context) = (self.arn(cx).await?, context(of));
        let request = ReEncrypt {
            ciphertext_blob: &sealed,
            source_key_id: arn,
            source_encryption_context: &context,
            destination_key_id: arn,
            destination_encryption_context: &context,
        };
        wrapped(&self.call(cx, "ReEncrypt", &request).await?)
    }

    fn local_path(&self) -> Option<std::path::PathBuf> {
        None
    }
}

impl fmt::Debug for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsKey").field("name", &self.0.name).finish_non_exhaustive()
    }
}
