//! What is answered, and why something is refused.

use serde_json::{Value, json};

/// What is answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        Self { status, code: "", body }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let body = json!({ "message": refusal.message }).to_string().into_bytes();
        Self { status: refusal.status, code: refusal.code, body }
    }
}

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

pub(super) fn bad(message: &str) -> Refusal {
    Refusal { status: 400, code: "BadRequestException", message: message.to_owned() }
}

pub(super) fn conflict(message: &str) -> Refusal {
    Refusal { status: 409, code: "ConflictException", message: message.to_owned() }
}

pub(super) fn missing(what: &str) -> Refusal {
    let message = format!("Invalid identifier specified: {what}");
    Refusal { status: 404, code: "NotFoundException", message }
}

pub(super) type Told<T> = Result<T, Refusal>;
