//! A double of KMS: symmetric keys on a port of the loopback.
//!
//! Made from the service's published contract: keys by id, ARN and alias, their states, encryption
//! contexts, ciphertexts that say nothing and open by the key and context that made them alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use gwbackup_core::Result;
use hyper::http::request::Parts;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::http::Server;
use super::iam::{Gate, Need};
use super::json_service::{asked, told};
use super::sessions::Sessions;

/// The state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KmsState {
    /// It serves.
    Enabled,
    /// It was switched off.
    Disabled,
    /// It will be destroyed.
    PendingDeletion,
}

/// What was sealed: key, context, plain text.
type Sealed = (String, Value, Vec<u8>);

#[derive(Default)]
struct Shared {
    keys: BTreeMap<String, KmsState>,
    aliases: BTreeMap<String, String>,
    sealed: BTreeMap<Vec<u8>, Sealed>,
    calls: Vec<(String, Value)>,
    refusals: Vec<(u16, &'static str)>,
    gate: Gate,
}

/// One region of one account, `eu-central-1` of `123456789012`, served until it is dropped. Needs a
/// tokio runtime.
pub struct KmsDouble {
    shared: Arc<Mutex<Shared>>,
    server: Server,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KmsDouble {
    /// Its region.
    pub const REGION: &'static str = "eu-central-1";

    /// Without keys.
    pub async fn start() -> Result<Self> {
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let own = Arc::clone(&shared);
        let server =
            Server::start(0, move |head, body| Some(told(performed(&mut lock(&own), head, body))))
                .await?;
        Ok(Self { shared, server })
    }

    /// Its address, as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// A new key: its ARN.
    pub fn make_key(&self) -> String {
        let mut shared = lock(&self.shared);
        let number = shared.keys.len() + 1;
        let id = format!("00000000-0000-4000-8000-{number:012}");
        let arn = format!("arn:aws:kms:{}:123456789012:key/{id}", Self::REGION);
        shared.keys.insert(arn.clone(), KmsState::Enabled);
        arn
    }

    /// Names a key: `alias/NAME`.
    pub fn set_alias(&self, alias: &str, arn: &str) {
        lock(&self.shared).aliases.insert(alias.to_owned(), arn.to_owned());
    }

    /// Switches a key.
    pub fn set_state(&self, arn: &str, state: KmsState) {
        lock(&self.shared).keys.insert(arn.to_owned(), state);
    }

    /// Refuses the next calls, one with each status and code.
    pub fn refuse(&self, refusals: impl IntoIterator<Item = (u16, &'static str)>) {
        lock(&self.shared).refusals.extend(refusals);
    }

    /// From now on nobody is let in but with these.
    pub fn admit(&self, sessions: &Sessions) {
        lock(&self.shared).gate.admit(sessions);
    }

    /// From now on `guard` decides which rights there are: a request that needs another one is
    /// denied. Replaces the guard before.
    pub fn guard(&self, guard: impl Fn(&Need) -> bool + Send + 'static) {
        lock(&self.shared).gate.guard(guard);
    }

    /// The rights that the requests so far have needed, oldest first.
    pub fn needs(&self) -> Vec<Need> {
        lock(&self.shared).gate.needs()
    }

    /// The calls so far, oldest first: the operation, and its encryption context.
    pub fn calls(&self) -> Vec<(String, Value)> {
        lock(&self.shared).calls.clone()
    }
}

impl std::fmt::Debug for KmsDouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KmsDouble").field("server", &self.server).finish_non_exhaustive()
    }
}

fn performed(
    shared: &mut Shared,
    head: &Parts,
    body: &Bytes,
) -> Result<Value, (u16, &'static str)> {
    let (operation, ask) = asked(&shared.gate, head, body, "kms", "TrentService")?;
    let operation = operation.as_str();
    let anew = operation == "ReEncrypt";
    let member =
        |name: &str| ask[if anew { format!("Source{name}") } else { name.to_owned() }].clone();
    let (context, named) = (member("EncryptionContext"), member("KeyId"));
    shared.calls.push((operation.to_owned(), context.clone()));
    if !shared.refusals.is_empty() {
        return Err(shared.refusals.remove(0));
    }
    // Rotation is under one key here; the contract knows two.
    if anew
        && ["KeyId", "EncryptionContext"]
            .iter()
            .any(|name| ask[format!("Destination{name}")] != ask[format!("Source{name}")])
    {
        return Err((400, "ValidationException"));
    }
    let name = named.as_str().unwrap_or_default();
    let name = shared.aliases.get(name).map_or(name, String::as_str);
    let found = shared
        .keys
        .iter()
        .find(|(arn, _)| *arn == name || arn.rsplit('/').next().is_some_and(|id| id == name));
    let (arn, state) = found.ok_or((400, "NotFoundException"))?;
    let (arn, state) = (arn.clone(), *state);
    let need = |action: &str| {
        let need = Need::new(format!("kms:{action}"), &arn);
        context.as_object().into_iter().flatten().fold(need, |need, (name, value)| {
            let key = format!("kms:EncryptionContext:{name}");
            need.when(key, value.as_str().unwrap_or_default())
        })
    };
    let needs = if anew { vec!["ReEncryptFrom", "ReEncryptTo"] } else { vec![operation] };
    if shared.gate.lacks(needs.into_iter().map(need).collect()).is_some() {
        return Err((400, "AccessDeniedException"));
    }
    if operation == "DescribeKey" {
        return Ok(json!({ "KeyMetadata": { "Arn": arn, "Enabled": state == KmsState::Enabled } }));
    }
    match state {
        KmsState::Enabled => {}
        KmsState::Disabled => return Err((400, "DisabledException")),
        KmsState::PendingDeletion => return Err((400, "KMSInvalidStateException")),
    }
    let bytes = |member: &str| {
        let text = ask[member].as_str().unwrap_or_default();
        let bytes = BASE64.decode(text).map_err(|_| (400, "SerializationException"))?;
        if bytes.is_empty() { Err((400, "ValidationException")) } else { Ok(bytes) }
    };
    let open = |shared: &Shared| {
        let sealed = shared.sealed.get(&bytes("CiphertextBlob")?);
        let (by, of, plain) = sealed.ok_or((400, "InvalidCiphertextException"))?;
        if *by != arn {
            return Err((400, "IncorrectKeyException"));
        }
        if *of != context {
            return Err((400, "InvalidCiphertextException"));
        }
        Ok(plain.clone())
    };
    let plain = match operation {
        "Encrypt" => bytes("Plaintext")?,
        "ReEncrypt" => open(shared)?,
        "Decrypt" => {
            let plain = open(shared)?;
            return Ok(json!({ "Plaintext": BASE64.encode(plain), "KeyId": arn }));
        }
        _ => return Err((400, "UnknownOperationException")),
    };
    // Says nothing of the key, and is new each time.
    let number = shared.sealed.len().to_string();
    let sealed = Sha256::digest(number).repeat(4);
    shared.sealed.insert(sealed.clone(), (arn.clone(), context, plain));
    Ok(json!({ "CiphertextBlob": BASE64.encode(sealed), "KeyId": arn, "SourceKeyId": arn }))
}
