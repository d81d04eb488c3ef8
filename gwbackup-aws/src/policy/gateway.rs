//! Rights on the gateway.

use std::collections::BTreeSet;

use gwbackup_core::model::{Action, Id, Scope};
use gwbackup_core::plan::PlannedStep;
use gwbackup_core::restore::Plan;
use gwbackup_core::{Error, Result};

use super::{Policy, Statement, compact};
use crate::config::{checked, partition};
use crate::read::Wanted;
use crate::table::{self, Change, Make, Row, Told};
use crate::write::invoke::function;

/// One region of one account, as ARNs name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    pub(super) name: String,
    account: String,
}

/// Which roots a policy is about.
#[derive(Debug, Clone)]
enum Roots {
    Any,
    These(BTreeSet<String>),
}

/// Actions beside its verbs that a kind needs when it is made, changed or removed, since what they
/// guard is sensitive (policies of APIs, who may call a domain), or since they are steps of its own.
const GUARDED: &[(&str, &str, &[At])] = &[
    ("rest_api", "UpdateRestApiPolicy", &[At::List, At::Item]),
    ("domain_name", "AddCertificateToDomain", &[At::List, At::Item]),
    ("domain_name", "RemoveCertificateFromDomain", &[At::Item]),
    ("domain_name_access_association", "CreateAccessAssociation", &[At::Domain]),
    ("portal", "PublishPortal", &[At::Item]),
    ("portal", "DisablePortal", &[At::Item]),
];

/// Where an action is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// On the list that a new one is added to.
    List,
    /// On the thing.
    Item,
    /// On the domains that it is about.
    Domain,
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
    pub(crate) fn reading(
        &self,
        row: &Row,
        path: &[String],
        is_list: bool,
    ) -> Option<(String, String)> {
        let parts = path.iter().map(String::as_str).filter(|part| *part != "v2");
        let verb = if is_list && row.told != Told::Alone { "LIST" } else { "GET" };
        right(self, row, verb, &parts.collect::<Vec<_>>().join("/")).into_iter().next()
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
            rights.extend(alone(region, root, &first));
        }
        Self { statements: compact(rights) }
    }

    /// Restores anything, into an empty account as well as in place, and takes it back. `outside` are
    /// the ARNs of roles and functions that the backup names: no other role may be passed on, and
    /// no other function be told to let a new API call it.
    pub fn restore(region: &Region, outside: impl IntoIterator<Item = String>) -> Self {
        writer(region, table::all(), |_| Roots::Any, outside.into_iter().collect())
    }

    /// Carries out this plan, and takes it back: writes the kinds that it writes alone, below the
    /// roots that it names where nothing is made, and with the roles and functions that it needs.
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
        let makes = |step: &PlannedStep| {
            step.action == Action::Create && matches!(&*step.kind, "rest_api" | "api")
        };
        let is_new = plan.steps.iter().any(makes);
        let needed = plan.dependencies.iter().filter(|needed| match needed.class.as_str() {
            "role" => true,
            "function" => is_new,
            _ => false,
        });
        let outside = needed.map(|needed| needed.name.clone()).collect();
        writer(region, rows.into_iter(), of_root, outside)
    }
}

fn writer(
    region: &Region,
    rows: impl Iterator<Item = &'static Row>,
    roots: impl Fn(&'static Row) -> Roots,
    outside: Vec<String>,
) -> Policy {
    // The target is read whole before and after.
    let mut rights: Vec<(String, String)> =
        table::all().flat_map(|row| reads(region, row)).collect();
    let mut tagged = BTreeSet::new();
    for row in rows {
        let roots = roots(row.root());
        rights.extend(alone(region, row.root(), &roots));
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
    let functions: BTreeSet<String> = outside
        .iter()
        .filter_map(|name| function(name))
        .filter(|function| !function.is_variable())
        .map(|function| match function.qualifier {
            Some(qualifier) => format!("{}:{qualifier}", function.arn),
            None => function.arn,
        })
        .collect();
    let roles: Vec<String> = outside.into_iter().filter(|name| name.contains(":role/")).collect();
    if !roles.is_empty() {
        let pass = Statement::new(&["iam:PassRole"], roles);
        statements.push(pass.when("iam:PassedToService", "apigateway.amazonaws.com"));
    }
    if !functions.is_empty() {
        let actions = ["lambda:AddPermission", "lambda:RemovePermission"];
        statements.push(Statement::new(&actions, functions.into_iter().collect()));
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
        Roots::These(ids) if row.parent.is_empty() => ids.clone(),
        _ => BTreeSet::from(["*".to_owned()]),
    };
    lists(row, roots).into_iter().flat_map(move |list| {
        // What is alone has the address of its list.
        let own = row.told == Told::Alone;
        let each = ids.iter().filter(move |_| !own).map(|id| format!("{list}/{id}"));
        let found: Vec<String> = own.then(|| list.clone()).into_iter().chain(each).collect();
        found
    })
}

/// Reading roots by themselves.
fn alone(region: &Region, root: &'static Row, roots: &Roots) -> Vec<(String, String)> {
    if root.told == Told::Only {
        return Vec::new();
    }
    items(root, roots).flat_map(|path| right(region, root, "GET", &path)).collect()
}

fn reads(region: &Region, row: &'static Row) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // Methods come with their resources.
    if row.kind == "rest_method" {
        return found;
    }
    if row.told != Told::Alone {
        let lists = lists(row, &Roots::Any);
        found.extend(lists.iter().flat_map(|list| right(region, row, "LIST", list)));
    }
    if matches!(row.told, Told::Alone | Told::Named) {
        found.extend(items(row, &Roots::Any).flat_map(|path| right(region, row, "GET", &path)));
    }
    if row.kind == "rest_deployment" {
        let export = "restapis/*/stages/*/exports/oas30";
        found.push((action("GET"), region.arn(export, false)));
    }
    if row.kind == "api_deployment" {
        found.push((action("GET"), region.arn("apis/*/exports/OAS30", false)));
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
    // An import.
    if row.root().kind == "rest_api" || row.kind == "api_deployment" {
        found.extend(items(row.root(), roots).map(|path| ("PUT", path)));
    }
    match row.change {
        Change::Never => {}
        // Of what a list alone tells only the tags can be changed.
        _ if row.told == Told::Only => {}
        Change::Operations | Change::Members => {
            found.extend(items(row, roots).map(|path| ("PATCH", path)));
        }
        Change::Again => found.extend(items(row, roots).map(|path| ("PUT", path))),
    }
    if row.can_go {
        found.extend(items(row, roots).map(|path| ("DELETE", path)));
    }
    let mut found: Vec<_> =
        found.into_iter().flat_map(|(verb, path)| right(region, row, verb, &path)).collect();
    for (_, name, places) in GUARDED.iter().filter(|(kind, _, _)| *kind == row.kind) {
        for at in *places {
            let paths = match at {
                At::List => lists(row, roots),
                At::Item => items(row, roots).collect(),
                At::Domain => vec!["domainnames/*".to_owned()],
            };
            let own = *at == At::Domain || has_account(row);
            found.extend(paths.iter().map(|path| (action(name), region.arn(path, own))));
        }
    }
    found
}

/// Whether its ARN names the account.
fn has_account(row: &Row) -> bool {
    !row.noun.is_empty() || row.kind == "domain_name_access_association"
}

/// The rights to do this there. Newer kinds have actions of their own, on the list and its elements
/// alike.
fn right(region: &Region, row: &Row, verb: &str, path: &str) -> Vec<(String, String)> {
    if row.noun.is_empty() {
        let verb = if verb == "LIST" { "GET" } else { verb };
        let own = (action(verb), region.arn(path, has_account(row)));
        // A private domain has the account in its name, and others have not. It is read by its list.
        let private = row.kind == "domain_name" && verb != "GET" && path.contains('/');
        let named = if path.ends_with('*') { path.to_owned() } else { format!("{path}+*") };
        let other = private.then(|| (action(verb), region.arn(&named, true)));
        return std::iter::once(own).chain(other).collect();
    }
    let name = match verb {
        "LIST" => format!("List{}s", row.noun),
        "GET" => format!("Get{}", row.noun),
        "POST" => format!("Create{}", row.noun),
        "DELETE" => format!("Delete{}", row.noun),
        "PUT" if row.told == Told::Alone => format!("Put{}", row.noun),
        _ => format!("Update{}", row.noun),
    };
    let all = format!("{}*", path.trim_end_matches("/*"));
    vec![(action(&name), region.arn(&all, true))]
}

/// The first segment of an id.
fn first(id: &Id) -> Option<String> {
    id.segments().next().map(std::borrow::Cow::into_owned)
}
