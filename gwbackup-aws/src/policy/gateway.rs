//! Rights on the gateway.

use std::collections::BTreeSet;

use gwbackup_core::model::{Action, Id, Scope};
use gwbackup_core::restore::Plan;
use gwbackup_core::{Error, Result};

use super::{Policy, Statement, compact};
use crate::config::{checked, partition};
use crate::read::Wanted;
use crate::table::{self, Change, Make, Row};

/// One region of one account, as ARNs name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    name: String,
    account: String,
}

/// Which roots a policy is about.
#[derive(Debug, Clone)]
enum Roots {
    Any,
    These(BTreeSet<String>),
}

/// Actions beside its verbs that a root needs when it is made, changed or removed, since what they
/// guard is sensitive: policies of APIs, and who may call a domain.
const GUARDED: &[(&str, &str, &[Verb])] = &[
    ("rest_api", "UpdateRestApiPolicy", &[Verb::Post, Verb::Patch]),
    ("domain_name", "AddCertificateToDomain", &[Verb::Post, Verb::Patch]),
    ("domain_name", "RemoveCertificateFromDomain", &[Verb::Patch]),
];

/// Where an action is asked for: on the list, or on the thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Post,
    Patch,
}

impl Region {
    /// A region and the number of an account. `Invalid` when one has not the form of it.
    pub fn new(name: &str, account: &str) -> Result<Self> {
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Error::invalid("the number of an account has twelve digits").on(account));
        }
        Ok(Self { name: checked(name)?.to_owned(), account: account.to_owned() })
    }

    /// Of what the service itself has said.
    pub(crate) fn of(name: &str, account: &str) -> Self {
        Self { name: name.to_owned(), account: account.to_owned() }
    }

    /// Action and resource of reading something of a row at this path, as it is called.
    pub(crate) fn reading(&self, row: &Row, path: &[String]) -> (String, String) {
        let parts = path.iter().map(String::as_str).filter(|part| *part != "v2");
        right(self, row, "GET", &parts.collect::<Vec<_>>().join("/"))
    }

    /// The ARN of a path; what has actions of its own is named with its account.
    fn arn(&self, path: &str, with_account: bool) -> String {
        let account = if with_account { self.account.as_str() } else { "" };
        format!("arn:{}:apigateway:{}:{account}:/{path}", partition(&self.name), self.name)
    }
}

impl Policy {
    /// Reads what a backup of `scope` reads. Without the kinds `api_key` and `usage_plan_key` in it
    /// no value of a key can be read.
    pub fn backup(region: &Region, scope: &Scope) -> Self {
        let wanted = Wanted { scope: scope.clone(), ..Wanted::default() };
        let rows = table::all().filter(|row| wanted.has(row));
        let mut rights: Vec<(String, String)> = rows.flat_map(|row| reads(region, row)).collect();
        // A part is read by its root, and not by its list.
        let roots = scope.under.iter().filter_map(|key| Row::of(&key.kind)).map(Row::root);
        for (root, key) in roots.zip(&scope.under) {
            let first = Roots::These(first(&key.id).into_iter().collect());
            rights.extend(items(root, &first).map(|path| get(region, &path)));
        }
        Self { statements: compact(rights) }
    }

    /// Restores anything, into an empty account as well as in place, and takes it back. `roles` are
    /// the ARNs of the roles that the backup names, and the only ones that may be passed on.
    pub fn restore(region: &Region, roles: impl IntoIterator<Item = String>) -> Self {
        writer(region, table::all(), |_| Roots::Any, roles.into_iter().collect())
    }

    /// Carries out this plan, and takes it back: writes the kinds that it writes alone, below the
    /// roots that it names where nothing is made, and passes on the roles that it needs.
    pub fn restore_of(region: &Region, plan: &Plan) -> Self {
        let kinds: BTreeSet<&str> = plan.steps.iter().map(|step| step.kind.as_str()).collect();
        let rows: Vec<&'static Row> = table::all().filter(|row| kinds.contains(row.kind)).collect();
        let of_root = |root: &'static Row| {
            let below =
                |kind: &str| Row::named(kind).is_some_and(|row| row.root().kind == root.kind);
            let mut steps = plan.steps.iter().filter(|step| below(&step.kind));
            // What is made has another id in the target, and so may have what it is made below.
            if steps.clone().any(|step| step.action == Action::Create) {
                return Roots::Any;
            }
            let ids = steps.by_ref().filter_map(|step| first(&Id::new(&step.id).ok()?));
            Roots::These(ids.collect())
        };
        let needed = plan.dependencies.iter().filter(|needed| needed.class == "role");
        let roles = needed.map(|needed| needed.name.clone()).collect();
        writer(region, rows.into_iter(), of_root, roles)
    }
}

fn writer(
    region: &Region,
    rows: impl Iterator<Item = &'static Row>,
    roots: impl Fn(&'static Row) -> Roots,
    roles: Vec<String>,
) -> Policy {
    // The target is read whole before and after.
    let mut rights: Vec<(String, String)> =
        table::all().flat_map(|row| reads(region, row)).collect();
    let mut tagged = BTreeSet::new();
    for row in rows {
        let roots = roots(row.root());
        rights.extend(items(row.root(), &roots).map(|path| get(region, &path)));
        rights.extend(writes(region, row, &roots));
        tagged.extend(
            is_tagged(row).then_some(row.list.starts_with("v2/") || row.kind == "api_stage"),
        );
    }
    for second in tagged {
        let set: &[&str] = if second { &["POST", "PUT", "DELETE"] } else { &["PUT", "DELETE"] };
        let tags = region.arn("tags/*", false);
        rights.extend(set.iter().map(|verb| (action(verb), tags.clone())));
    }
    let mut statements = compact(rights);
    if !roles.is_empty() {
        let pass = Statement::new(&["iam:PassRole"], roles);
        statements.push(pass.when("iam:PassedToService", "apigateway.amazonaws.com"));
    }
    Policy { statements }
}

/// Every root but the account, and stages.
fn is_tagged(row: &Row) -> bool {
    (row.parent.is_empty() && row.make != Make::Never) || row.kind.ends_with("_stage")
}

fn action(name: &str) -> String {
    format!("apigateway:{name}")
}

fn get(region: &Region, path: &str) -> (String, String) {
    (action("GET"), region.arn(path, false))
}

/// The paths of a row's list, without the version of the API: ARNs have none.
fn lists(row: &'static Row, roots: &Roots) -> Vec<String> {
    let list = row.list.strip_prefix("v2/").unwrap_or(row.list);
    match Row::named(row.parent) {
        None => vec![list.to_owned()],
        Some(parent) => items(parent, roots).map(|above| format!("{above}/{list}")).collect(),
    }
}

/// The paths of its elements.
fn items(row: &'static Row, roots: &Roots) -> impl Iterator<Item = String> {
    let ids = match roots {
        _ if row.kind == "account" => BTreeSet::new(),
        Roots::These(ids) if row.parent.is_empty() => ids.clone(),
        _ => BTreeSet::from(["*".to_owned()]),
    };
    let is_single = row.kind == "account";
    lists(row, roots).into_iter().flat_map(move |list| {
        let one = is_single.then(|| list.clone());
        one.into_iter().chain(ids.clone().into_iter().map(move |id| format!("{list}/{id}")))
    })
}

fn reads(region: &Region, row: &'static Row) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // Methods come with their resources.
    if row.kind == "rest_method" {
        return found;
    }
    found.extend(lists(row, &Roots::Any).into_iter().map(|list| right(region, row, "GET", &list)));
    if row.kind == "rest_deployment" {
        found.push(get(region, "restapis/*/stages/*/exports/oas30"));
    }
    found
}

/// All that making, changing and removing such a thing may take, since a roll back does the opposite.
fn writes(region: &Region, row: &'static Row, roots: &Roots) -> Vec<(String, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    let list = || lists(row, roots).into_iter();
    match row.make {
        Make::Never => {}
        Make::Post => found.extend(list().map(|path| ("POST", path))),
        Make::Put => found.extend(items(row, roots).map(|path| ("PUT", path))),
        Make::Own if row.kind == "rest_resource" => {
            found.extend(items(row, roots).map(|path| ("POST", path)));
        }
        Make::Own if row.kind == "rest_method" => {
            found.extend(
                items(row, roots)
                    .flat_map(|path| [("PUT", path.clone()), ("PUT", format!("{path}/*"))]),
            );
        }
        // A deployment is made of what was imported before.
        Make::Own => found.extend(list().map(|path| ("POST", path))),
    }
    if row.root().kind == "rest_api" {
        found.extend(items(row.root(), roots).map(|path| ("PUT", path)));
    }
    match row.change {
        Change::Never => {}
        Change::Operations | Change::Members => {
            found.extend(items(row, roots).map(|path| ("PATCH", path)));
        }
        Change::Again => found.extend(items(row, roots).map(|path| ("PUT", path))),
    }
    if row.can_go {
        found.extend(items(row, roots).map(|path| ("DELETE", path)));
    }
    let mut found: Vec<_> =
        found.into_iter().map(|(verb, path)| right(region, row, verb, &path)).collect();
    for (_, name, verbs) in GUARDED.iter().filter(|(kind, _, _)| *kind == row.kind) {
        for verb in *verbs {
            let paths = match verb {
                Verb::Post => lists(row, roots),
                Verb::Patch => items(row, roots).collect(),
            };
            found.extend(paths.iter().map(|path| (action(name), region.arn(path, false))));
        }
    }
    found
}

/// The right to do this there. Newer kinds have actions of their own, on the list and its elements
/// alike, in the name of the account.
fn right(region: &Region, row: &Row, verb: &str, path: &str) -> (String, String) {
    let own = match verb {
        _ if row.noun.is_empty() => return (action(verb), region.arn(path, false)),
        "GET" => format!("List{}s", row.noun),
        "POST" => format!("Create{}", row.noun),
        "DELETE" => format!("Delete{}", row.noun),
        _ => format!("Update{}", row.noun),
    };
    (action(&own), region.arn(&format!("{}*", path.trim_end_matches("/*")), true))
}

/// The first segment of an id.
fn first(id: &Id) -> Option<String> {
    id.segments().next().map(std::borrow::Cow::into_owned)
}
