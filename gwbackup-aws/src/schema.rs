//! The table as the core's schema.

use std::sync::Arc;

use gwbackup_core::model::{
    HandleName, HandleSpec, Kind, KindSpec, Member, MemberRule, Part, Presence, RefSpec, Replace,
    Schema, Verbs, Within,
};

use crate::names::Names;
use crate::table::{self, Change, Is, Make, Row};

/// The kinds of AWS API Gateway: REST, HTTP and WebSocket APIs and what goes with them. The same
/// for every region and account.
pub fn schema() -> Arc<Schema> {
    Arc::new(Schema {
        id: "aws-apigateway/1".to_owned(),
        id_scheme: 1,
        kinds: table::all().map(spec).collect(),
        other: None,
        text: Some(Arc::new(Names)),
    })
}

fn spec(row: &Row) -> KindSpec {
    let mut spec = KindSpec::new(Kind::known(row.kind), row.rank);
    spec.aliases = vec![format!("{}s", row.kind)];
    spec.match_content = row.nameless;
    spec.restore = row.restore;
    spec.handles = handles(row);
    spec.references = row.refs.iter().flat_map(references).collect();
    spec.presence = match row.born {
        _ if row.make == Make::Never => Presence::Fixed(Vec::new()),
        [] => Presence::Free,
        born => Presence::Born(born.iter().map(|name| (*name).to_owned()).collect()),
    };
    spec.verbs = Verbs {
        create: row.make != Make::Never,
        update: row.change != Change::Never,
        delete: row.can_go,
        undelete: false,
    };
    spec.replace = if row.nameless { Replace::CreateFirst } else { Replace::DeleteFirst };
    spec.members = row.members.iter().map(|(at, is)| rule(at, *is)).collect();
    // None is as good as an empty set.
    spec.members.push(rule("/tags", Is::Default("{}")));
    spec
}

fn handles(row: &Row) -> Vec<HandleSpec> {
    let handle = |name: &'static str, at: Option<&str>, unique, by_server| HandleSpec {
        name: HandleName::known(name),
        at: at.map(|member| format!("/{member}")).into_iter().collect(),
        unique,
        by_server,
    };
    let unique = if row.parent.is_empty() { Within::Gateway } else { Within::Parent };
    let mut handles = vec![handle("id", None, unique, row.is_assigned())];
    if row.handle() == "server_id" {
        handles.push(handle("server_id", Some(row.id), Within::Gateway, true));
    }
    if !row.arn.is_empty() {
        handles.push(handle("arn", Some(row.arn), Within::Gateway, true));
    }
    if !row.called.is_empty() {
        handles.push(handle("name", Some(row.called), Within::Nothing, false));
    }
    handles
}

/// One for each sort of handle that the kinds are named by.
fn references(reference: &crate::table::Ref) -> Vec<RefSpec> {
    let rows: Vec<&Row> = reference.kinds.iter().filter_map(|kind| Row::named(kind)).collect();
    let Some(first) = rows.first() else { return Vec::new() };
    vec![RefSpec {
        at: reference.at.to_owned(),
        part: Part::Value,
        prefix: reference.prefix.to_owned(),
        kinds: rows.iter().map(|row| Kind::known(row.kind)).collect(),
        handle: HandleName::known(if reference.by_arn { "arn" } else { first.handle() }),
        role: reference.role,
    }]
}

fn rule(at: &str, is: Is) -> MemberRule {
    let is = match is {
        Is::Own => Member::ReadOnly,
        Is::Moving => Member::Volatile,
        Is::Immutable => Member::Immutable,
        Is::Secret => Member::Secret,
        Is::Unordered => Member::Unordered,
        Is::Spare => Member::Spare,
        Is::Default(json) => Member::Default(serde_json::from_str(json).unwrap_or_default()),
    };
    MemberRule { at: at.to_owned(), is }
}
