//! What IAM is asked about a request: which action on which resource, as AWS's service authorization
//! reference has it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::http::request::Parts;
use serde_json::Value;
use url::form_urlencoded;

use super::sessions::{Refused, Sessions};

/// One right that a request needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Need {
    /// Such as `apigateway:GET`.
    pub action: String,
    /// The ARN of what it is about.
    pub resource: String,
    /// What conditions may ask about.
    pub context: BTreeMap<String, String>,
}

impl Need {
    pub(super) fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        let (action, resource) = (action.into(), resource.into());
        Self { action, resource, context: BTreeMap::new() }
    }

    pub(super) fn when(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.context.insert(key.into(), value.into());
        self
    }
}

/// Who decides: whether a right is there.
type Guard = Box<dyn Fn(&Need) -> bool + Send>;

/// Who is let in to a double, and what they may do. All may do everything, to begin with.
#[derive(Default)]
pub(super) struct Gate {
    sessions: Mutex<Option<Sessions>>,
    guard: Mutex<Option<Guard>>,
    needs: Mutex<Vec<Need>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    pub(super) fn admit(&self, sessions: &Sessions) {
        *lock(&self.sessions) = Some(sessions.clone());
    }

    pub(super) fn guard(&self, guard: impl Fn(&Need) -> bool + Send + 'static) {
        *lock(&self.guard) = Some(Box::new(guard));
    }

    /// Why a request is not let in at all.
    pub(super) fn refuses(&self, head: &Parts) -> Option<Refused> {
        lock(&self.sessions).as_ref().and_then(|sessions| sessions.refuses(head))
    }

    /// Whether a right is there.
    pub(super) fn allows(&self, need: &Need) -> bool {
        lock(&self.guard).as_ref().is_none_or(|guard| guard(need))
    }

    /// Notes what a request needs; the first right that is missing.
    pub(super) fn lacks(&self, needs: Vec<Need>) -> Option<Need> {
        let lacking = needs.iter().find(|need| !self.allows(need)).cloned();
        lock(&self.needs).extend(needs);
        lacking
    }

    /// What was needed so far, oldest first.
    pub(super) fn needs(&self) -> Vec<Need> {
        lock(&self.needs).clone()
    }

    pub(super) fn forget(&self) {
        lock(&self.needs).clear();
    }
}

/// Members that name a role which the service is to take on.
const ROLES: &[&str] = &[
    "cloudwatchRoleArn",
    "credentials",
    "credentialsArn",
    "authorizerCredentials",
    "authorizerCredentialsArn",
];

/// Operations that have an action of their own instead of their verb, below the account.
const OWN: &[&str] = &["RoutingRule", "Portal", "ProductPage", "ProductRestEndpointPage"];

/// A request to API Gateway.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) region: &'a str,
    pub(super) account: &'a str,
    pub(super) operation: &'a str,
    pub(super) method: &'a str,
    /// Without the query.
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
    /// What is there at its path, or right above it.
    pub(super) there: Option<&'a Value>,
}

/// The rights that it needs.
pub(super) fn needs(asked: &Asked<'_>) -> Vec<Need> {
    let Asked { region, account, operation, method, path, .. } = *asked;
    let path = path.strip_prefix("/v2/").unwrap_or(path).trim_matches('/');
    let body: Value = serde_json::from_slice(asked.body).unwrap_or_default();
    if let Some(function) = path.strip_prefix("2015-03-31/functions/") {
        return vec![permission(asked, function)];
    }
    let here = format!("arn:aws:apigateway:{region}:{account}:/{path}");
    let tagged = |action: &str| {
        let of: String = form_urlencoded::byte_serialize(here.as_bytes()).collect();
        Need::new(action, format!("arn:aws:apigateway:{region}::/tags/{of}%2Fnew"))
    };
    let tags = method == "POST" && !path.starts_with("tags") && body["tags"].is_object();
    if OWN.iter().any(|own| operation.contains(own)) {
        let action = operation.replace("PutRoutingRule", "UpdateRoutingRule");
        let mut found = vec![Need::new(format!("apigateway:{action}"), &here)];
        found.extend(tags.then(|| tagged("apigateway:POST")));
        // What a portal shows has to be readable.
        let shown = match operation {
            "CreatePortal" | "UpdatePortal" => body["includedPortalProductArns"].as_array(),
            "PublishPortal" => {
                asked.there.and_then(|there| there["includedPortalProductArns"].as_array())
            }
            _ => None,
        };
        let shown = shown.into_iter().flatten().filter_map(Value::as_str);
        found.extend(shown.map(|product| Need::new("apigateway:GetPortalProduct", product)));
        return found;
    }
    let private = asked.query.split('&').find_map(|own| own.strip_prefix("domainNameId="));
    let at = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["domainnames", name] if private.is_some() => {
            let id = private.unwrap_or_default();
            format!("arn:aws:apigateway:{region}:{account}:/domainnames/{name}+{id}")
        }
        ["domainnameaccessassociations"] => here.clone(),
        // The thing is named by its ARN, which says it all.
        ["domainnameaccessassociations", arn] => form_urlencoded::parse(arn.as_bytes())
            .next()
            .map(|(own, _)| own.into_owned())
            .unwrap_or_default(),
        _ => format!("arn:aws:apigateway:{region}::/{path}"),
    };
    let mut found = vec![Need::new(format!("apigateway:{method}"), &at)];
    let mut also = |action: &str| found.push(Need::new(format!("apigateway:{action}"), &at));
    // Paths of a patch's operations, with what they do.
    let patched = |member: &str| {
        let operations = body["patchOperations"].as_array().into_iter().flatten();
        let of = |op: &&Value| {
            let path = op["path"].as_str().unwrap_or_default();
            path == member || path.strip_prefix(member).is_some_and(|rest| rest.starts_with('/'))
        };
        operations.filter(of).map(|op| op["op"].as_str().unwrap_or_default()).collect::<Vec<_>>()
    };
    let says = |member: &str| body.get(member).is_some_and(|value| !value.is_null());
    let list = path.split('/').next().unwrap_or_default();
    let whole = path.split('/').count() <= 2;
    if list == "restapis" && whole {
        let imported = method == "PUT" && says("x-amazon-apigateway-policy");
        let created = method == "POST" && says("policy");
        if imported || created || !patched("/policy").is_empty() {
            also("UpdateRestApiPolicy");
        }
    }
    if list == "domainnames" && whole {
        let operations = patched("/mutualTlsAuthentication");
        if (method == "POST" && says("mutualTlsAuthentication"))
            || operations.iter().any(|op| *op != "remove")
        {
            also("AddCertificateToDomain");
        }
        let had = asked.there.is_some_and(|there| there["mutualTlsAuthentication"].is_object());
        if (method == "DELETE" && had) || operations.contains(&"remove") {
            also("RemoveCertificateFromDomain");
        }
        if (method == "POST" && says("policy")) || !patched("/policy").is_empty() {
            also("UpdateDomainNamePolicy");
        }
    }
    if operation == "CreateDomainNameAccessAssociation" {
        let domain = body["domainNameArn"].as_str().unwrap_or_default();
        let domain = domain.replace("::/", &format!(":{account}:/"));
        found.push(Need::new("apigateway:CreateAccessAssociation", domain));
    }
    found.extend(tags.then(|| tagged("apigateway:PUT")));
    let mut roles = Vec::new();
    passed(&body, &mut roles);
    for role in roles {
        let need = Need::new("iam:PassRole", role);
        found.push(need.when("iam:PassedToService", "apigateway.amazonaws.com"));
    }
    found
}

/// A function is told who may call it.
fn permission(asked: &Asked<'_>, path: &str) -> Need {
    let arn = path.split('/').next().unwrap_or_default();
    let arn = form_urlencoded::parse(arn.as_bytes()).next().map(|(own, _)| own.into_owned());
    let arn = arn.unwrap_or_default();
    let resource = match asked.query.strip_prefix("Qualifier=") {
        Some(qualifier) => format!("{arn}:{qualifier}"),
        None => arn,
    };
    let action = if asked.method == "POST" { "AddPermission" } else { "RemovePermission" };
    Need::new(format!("lambda:{action}"), resource)
}

/// The roles that a body names, at any depth, and in a patch's operations.
fn passed(value: &Value, found: &mut Vec<String>) {
    let is_role = |text: &str| text.starts_with("arn:") && text.contains(":role/");
    match value {
        Value::Object(members) => {
            let path = value["path"].as_str().unwrap_or_default();
            if let (true, Some(role)) = (
                ROLES.iter().any(|name| path.ends_with(&format!("/{name}"))),
                value["value"].as_str(),
            ) && is_role(role)
            {
                found.push(role.to_owned());
            }
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if ROLES.contains(&name.as_str()) && is_role(text) => {
                        found.push(text.to_owned());
                    }
                    _ => passed(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| passed(item, found)),
        _ => {}
    }
}
