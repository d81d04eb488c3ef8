//! Whether the identity may do what a run will do.
//!
//! What can be tried without a trace is tried. What cannot, IAM is asked about, if it lets itself be
//! asked. The rest stays open, and the finding says which statement would give the right.

mod simulated;

use std::collections::BTreeMap;

use gwbackup_core::error::ErrorKind;
use gwbackup_core::model::{Document, Finding, Scope, Verdict};
use gwbackup_core::source::Purpose;
use gwbackup_core::{Context, Error, Result};

use crate::client::Call;
use crate::gateway::Aws;
use crate::policy::{Policy, Region, Right};
use crate::read::{Node, Wanted, list_at, served};
use crate::table::{self, Row, Told};

/// Asks who it is, then goes through the rights of the role, each by itself.
pub(crate) async fn run(
    aws: &Aws,
    cx: &Context,
    purpose: Purpose,
    scope: &Scope,
) -> Result<Vec<Finding>> {
    let caller = aws.caller(cx).await?;
    let name = &aws.config().region;
    let about = format!("account {}, region {name}", caller.account);
    let mut findings = vec![Finding::new("identity", Verdict::Ok, about)];
    let region = Region::of(name, &caller.account);
    let policy = match purpose {
        Purpose::Backup => Policy::backup(&region, scope),
        _ => Policy::restore(&region, []),
    };
    let rights: Vec<Right<'_>> = policy.rights().collect();
    let mut trial = Trial { aws, cx, region: &region, rights: &rights, said: BTreeMap::new() };
    trial.read(scope).await?;
    let said = trial.said;
    let open: Vec<Right<'_>> = rights
        .iter()
        .enumerate()
        .filter(|(n, _)| !said.contains_key(n))
        .map(|(_, right)| *right)
        .collect();
    let mut answers = simulated::ask(aws, cx, caller.principal().as_deref(), &open).await?;
    for (n, right) in rights.iter().enumerate() {
        let said = said.get(&n).cloned().or_else(|| answers.pop_front());
        findings.push(finding(right, said.unwrap_or(Said::Open)));
    }
    if purpose == Purpose::Restore {
        let detail = "which roles are passed on is told by a plan: those that it needs";
        findings.push(Finding::new("iam:PassRole", Verdict::Unknown, detail));
    }
    Ok(findings)
}

/// What is known of one right.
#[derive(Debug, Clone)]
enum Said {
    Allowed(&'static str),
    Denied(String),
    Open,
}

fn finding(right: &Right<'_>, said: Said) -> Finding {
    let subject = format!("{} on {}", right.action, right.resource);
    let remedy = || format!("allow it with {}", right.statement());
    match said {
        Said::Allowed(how) => Finding::new(subject, Verdict::Ok, how),
        Said::Denied(why) => Finding::new(subject, Verdict::Failed, format!("{why}; {}", remedy())),
        Said::Open => {
            let why = "it cannot be tried without writing, or nothing is there to try it on, and IAM \
                does not say";
            Finding::new(subject, Verdict::Unknown, format!("{why}; {}", remedy()))
        }
    }
}

/// Reads that leave no trace, and the rights that they show.
struct Trial<'a> {
    aws: &'a Aws,
    cx: &'a Context,
    region: &'a Region,
    rights: &'a [Right<'a>],
    /// By the number of the right; a refusal stays.
    said: BTreeMap<usize, Said>,
}

impl Trial<'_> {
    /// Tries each list: those below a root with the first root that there is.
    async fn read(&mut self, scope: &Scope) -> Result<()> {
        let wanted = Wanted { scope: scope.clone(), ..Wanted::default() };
        for row in table::roots().filter(|row| wanted.has(row)) {
            let mut next: Vec<(&'static Row, Vec<String>)> = vec![(row, Vec::new())];
            while let Some((row, above)) = next.pop() {
                let Some(node) = self.list(row, &above).await? else { continue };
                self.item(row, &node).await?;
                let served = table::all().find(|own| own.served == row.kind);
                if let Some(served) = served.filter(|own| wanted.has_kind(own.kind)) {
                    self.export(served, &node).await?;
                }
                let below = row.children().filter(|row| row.kind != "rest_method");
                let below = below.filter(|row| wanted.has(row));
                next.extend(below.map(|row| (row, node.address.clone())));
            }
        }
        Ok(())
    }

    /// The number of the right by which something at this path is read.
    fn right(&self, row: &Row, path: &[String], is_list: bool) -> Option<usize> {
        let (action, resource) = self.region.reading(row, path, is_list)?;
        self.rights.iter().position(|right| right.covers(&action, &resource))
    }

    /// Tries one thing by itself, where a run reads it so: roots, and what a list only names.
    async fn item(&mut self, row: &'static Row, node: &Node) -> Result<()> {
        let types = node.resource.document.get("/endpointConfiguration/types").unwrap_or_default();
        // A private domain goes by another right than its list tells.
        let is_private = row.kind == "domain_name" && types.contains("PRIVATE");
        let alone = row.parent.is_empty() || row.told == Told::Named;
        if let Some(mine) = self.right(row, &node.address, false).filter(|_| alone && !is_private) {
            let call = Call::get(node.address.iter().map(String::as_str));
            self.call(Some(mine), call).await?;
        }
        Ok(())
    }

    /// Tries one list, for its first element.
    async fn list(&mut self, row: &'static Row, above: &[String]) -> Result<Option<Node>> {
        let path = list_at(row, above);
        let mut call = Call::get(path.iter().map(String::as_str));
        for (name, value) in row.query {
            call = call.query(name, *value);
        }
        let mine = self.right(row, &path, true);
        let Some(text) = self.call(mine, call).await? else { return Ok(None) };
        let Some(first) = text.page()?.items.into_iter().next() else { return Ok(None) };
        if row.told == Told::Alone {
            return Ok(None);
        }
        let mut node = crate::read::node(row, None, Document::parse(first.get())?)?;
        let id = node.resource.document.text(&format!("/{}", row.id)).unwrap_or_default();
        let own = id.into_owned();
        node.address = path;
        node.address.push(own);
        Ok(Some(node))
    }

    /// What a stage serves.
    async fn export(&mut self, row: &Row, stage: &Node) -> Result<()> {
        let call = served(row, &stage.address);
        let path: Vec<String> = call.path.iter().map(|&part| part.to_owned()).collect();
        self.call(self.right(row, &path, true), call).await.map(drop)
    }

    /// Calls, and notes what that says of the right. The answer, if it is one.
    async fn call(
        &mut self,
        mine: Option<usize>,
        call: Call<'_>,
    ) -> Result<Option<crate::answer::Answer>> {
        let answer = self.aws.0.client.get(self.cx, call).await;
        let failed = match &answer {
            Ok(answer) => answer.error(),
            Err(error) if ends(error) => return answer.map(Some),
            Err(error) => Some(Error::new(error.kind(), error.to_string())),
        };
        let Some(mine) = mine else {
            return Ok(answer.ok().filter(|_| failed.is_none()));
        };
        let refused = matches!(self.said.get(&mine), Some(Said::Denied(_)));
        match failed {
            _ if refused => Ok(None),
            None => {
                self.said.insert(mine, Said::Allowed("tried"));
                Ok(answer.ok())
            }
            // A thing that cannot be read for a reason of its own says nothing about the right.
            Some(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => {
                self.said.insert(mine, Said::Allowed("tried"));
                Ok(None)
            }
            Some(error) => {
                self.said.insert(mine, Said::Denied(error.to_string()));
                Ok(None)
            }
        }
    }
}

/// Whether no other call will be answered either.
fn ends(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Unauthenticated)
}
