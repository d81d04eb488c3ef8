//! Kong's entities, as a table.

use std::sync::Arc;

use gwbackup_core::model::{
    HandleName, HandleSpec, Kind, KindSpec, Member, MemberRule, OutsideSpec, Part, Presence,
    RefSpec, Replace, Resource, Restore, Role, Schema, Within,
};

use crate::vault::VaultScan;

/// One kind of entity.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) kind: &'static str,
    /// The name of its list in a declarative file, and of its schema.
    pub(crate) collection: &'static str,
    /// The path of its list in the Admin API; targets have one below each upstream.
    pub(crate) path: &'static str,
    /// It may have a `ttl`, in seconds left.
    pub(crate) expires: bool,
    /// When it is created; deleted in reverse.
    rank: u16,
    /// The member that holds its primary key; empty for a link, which has none.
    pub(crate) primary: &'static str,
    /// Members that are unique, best first; the first is the one that stands in a URL and by which
    /// other entities of a file may name it.
    pub(crate) unique: &'static [&'static str],
    /// Members that together are unique, in the order in which Kong makes of them the id of an entity
    /// without one.
    pub(crate) together: &'static [&'static str],
    /// Kong makes the id of an entity without one as if its unique member stood in `together`.
    pub(crate) alone: bool,
    /// Members that hold a foreign key.
    pub(crate) foreign: &'static [Foreign],
    secrets: &'static [&'static str],
    restore: Restore,
    /// It has no name: equal content is the same thing.
    nameless: bool,
}

/// A foreign key.
#[derive(Debug)]
pub(crate) struct Foreign {
    pub(crate) member: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) role: Role,
}

/// A parent that takes its children along when it is deleted.
const fn child_of(member: &'static str, kind: &'static str) -> Foreign {
    Foreign { member, kind, role: Role::Owner }
}

/// A thing that must be there, and that cannot be deleted before.
const fn needs(member: &'static str, kind: &'static str) -> Foreign {
    Foreign { member, kind, role: Role::Needs }
}

const fn row(
    kind: &'static str,
    collection: &'static str,
    rank: u16,
    unique: &'static [&'static str],
) -> Row {
    Row {
        kind,
        collection,
        path: collection,
        expires: false,
        rank,
        primary: "id",
        unique,
        together: &[],
        alone: false,
        foreign: &[],
        secrets: &[],
        restore: Restore::Always,
        nameless: false,
    }
}

const CONSUMER: &[Foreign] = &[child_of("consumer", "consumer")];

/// Every kind, in the order of creation.
pub(crate) const ROWS: &[Row] = &[
    Row { restore: Restore::Never, primary: "key", ..row("parameter", "parameters", 0, &[]) },
    row("workspace", "workspaces", 1, &["name"]),
    Row { nameless: true, ..row("ca_certificate", "ca_certificates", 10, &["cert_digest"]) },
    Row {
        secrets: &["/key", "/key_alt"],
        nameless: true,
        ..row("certificate", "certificates", 10, &[])
    },
    Row {
        alone: true,
        secrets: &["/config/token", "/config/approle_secret_id", "/config/client_secret"],
        ..row("vault", "vaults", 10, &["prefix"])
    },
    Row { path: "key-sets", ..row("key_set", "key_sets", 10, &["name"]) },
    row("consumer", "consumers", 10, &["username", "custom_id"]),
    row("consumer_group", "consumer_groups", 10, &["name"]),
    // A link has no key of its own.
    Row {
        primary: "",
        together: &["consumer_group", "consumer"],
        foreign: &[child_of("consumer_group", "consumer_group"), child_of("consumer", "consumer")],
        ..row("consumer_group_consumer", "consumer_group_consumers", 20, &[])
    },
    Row { foreign: &[child_of("certificate", "certificate")], ..row("sni", "snis", 20, &["name"]) },
    Row {
        together: &["kid", "set"],
        foreign: &[child_of("set", "key_set")],
        secrets: &["/jwk", "/pem/private_key"],
        ..row("key", "keys", 20, &["name"])
    },
    Row {
        foreign: &[needs("client_certificate", "certificate")],
        ..row("upstream", "upstreams", 20, &["name"])
    },
    Row {
        foreign: &[needs("client_certificate", "certificate")],
        ..row("service", "services", 20, &["name"])
    },
    Row {
        path: "key-auths",
        expires: true,
        foreign: CONSUMER,
        secrets: &["/key"],
        ..row("keyauth_credential", "keyauth_credentials", 20, &["key"])
    },
    Row {
        path: "basic-auths",
        alone: true,
        foreign: CONSUMER,
        secrets: &["/password"],
        ..row("basicauth_credential", "basicauth_credentials", 20, &["username"])
    },
    Row {
        path: "jwts",
        foreign: CONSUMER,
        secrets: &["/secret"],
        ..row("jwt_secret", "jwt_secrets", 20, &["key"])
    },
    Row {
        path: "hmac-auths",
        alone: true,
        foreign: CONSUMER,
        secrets: &["/secret"],
        ..row("hmacauth_credential", "hmacauth_credentials", 20, &["username"])
    },
    Row { together: &["consumer", "group"], foreign: CONSUMER, ..row("acl", "acls", 20, &[]) },
    Row {
        path: "oauth2",
        foreign: CONSUMER,
        secrets: &["/client_secret"],
        ..row("oauth2_credential", "oauth2_credentials", 20, &["client_id"])
    },
    Row {
        path: "mtls-auths",
        foreign: &[child_of("consumer", "consumer"), needs("ca_certificate", "ca_certificate")],
        ..row("mtls_auth_credential", "mtls_auth_credentials", 20, &[])
    },
    // Its name is unique below its upstream alone.
    Row {
        together: &["upstream", "target"],
        foreign: &[child_of("upstream", "upstream")],
        ..row("target", "targets", 30, &[])
    },
    Row { foreign: &[needs("service", "service")], ..row("route", "routes", 30, &["name"]) },
    Row {
        expires: true,
        foreign: &[child_of("credential", "oauth2_credential"), child_of("service", "service")],
        secrets: &["/access_token", "/refresh_token"],
        ..row("oauth2_token", "oauth2_tokens", 30, &["access_token", "refresh_token"])
    },
    Row {
        secrets: &["/value"],
        expires: true,
        ..row("acme_storage", "acme_storage", 30, &["key"])
    },
    Row {
        together: &["name", "route", "service", "consumer"],
        foreign: &[
            child_of("route", "route"),
            child_of("service", "service"),
            child_of("consumer", "consumer"),
            child_of("consumer_group", "consumer_group"),
        ],
        secrets: PLUGIN_SECRETS,
        nameless: true,
        ..row("plugin", "plugins", 40, &["instance_name"])
    },
    Row {
        path: "filter-chains",
        together: &["route", "service"],
        foreign: &[child_of("route", "route"), child_of("service", "service")],
        ..row("filter_chain", "filter_chains", 40, &["name"])
    },
];

/// Members of a plugin's configuration that Kong's schemas mark as encrypted or as a reference into a
/// vault, and those that hold secrets without such a mark (headers, Lua code). They hold for every
/// plugin, since one name seldom means two things and too much secrecy does no harm.
const PLUGIN_SECRETS: &[&str] = &[
    // credentials
    "/config/account_email",
    "/config/apikey",
    "/config/aws_assume_role_arn",
    "/config/aws_key",
    "/config/aws_secret",
    "/config/bind_password",
    "/config/client_secret",
    "/config/clientid",
    "/config/eab_hmac_key",
    "/config/eab_kid",
    "/config/key",
    "/config/ldap_password",
    "/config/password",
    "/config/provision_key",
    "/config/secret",
    "/config/secret_v1",
    "/config/session_secret",
    "/config/token",
    "/config/auth/*",
    "/config/llm/auth/*",
    // stores
    "/config/redis/username",
    "/config/redis/password",
    "/config/redis/sentinel_username",
    "/config/redis/sentinel_password",
    "/config/redis_username",
    "/config/redis_password",
    "/config/storage_config/redis/auth",
    "/config/storage_config/redis/username",
    "/config/storage_config/redis/password",
    "/config/storage_config/consul/token",
    "/config/storage_config/vault/token",
    // addresses that may hold a token, and headers
    "/config/endpoint",
    "/config/headers",
    "/config/host",
    "/config/http_endpoint",
    "/config/logs_endpoint",
    "/config/traces_endpoint",
    // Lua
    "/config/access",
    "/config/body_filter",
    "/config/certificate",
    "/config/custom_fields_by_lua",
    "/config/functions",
    "/config/header_filter",
    "/config/log",
    "/config/rewrite",
    "/config/ws_client_frame",
    "/config/ws_close",
    "/config/ws_handshake",
    "/config/ws_upstream_frame",
];

/// Old names of plugin members that Kong gives beside the new ones since it has those (3.6 and
/// later); in versions before, the old name is the only one.
const TWINS: &[(&str, &str)] = &[
    ("/config/redis_database", "/config/redis/database"),
    ("/config/redis_host", "/config/redis/host"),
    ("/config/redis_password", "/config/redis/password"),
    ("/config/redis_port", "/config/redis/port"),
    ("/config/redis_server_name", "/config/redis/server_name"),
    ("/config/redis_ssl", "/config/redis/ssl"),
    ("/config/redis_ssl_verify", "/config/redis/ssl_verify"),
    ("/config/redis_timeout", "/config/redis/timeout"),
    ("/config/redis_username", "/config/redis/username"),
    ("/config/endpoint", "/config/traces_endpoint"),
    ("/config/storage_config/redis/auth", "/config/storage_config/redis/password"),
    (
        "/config/storage_config/redis/namespace",
        "/config/storage_config/redis/extra_options/namespace",
    ),
    (
        "/config/storage_config/redis/scan_count",
        "/config/storage_config/redis/extra_options/scan_count",
    ),
    ("/config/storage_config/redis/ssl_server_name", "/config/storage_config/redis/server_name"),
];

/// Members whose order means nothing: Kong keeps them as sets.
const SETS: &[&str] = &["/tags", "/protocols", "/methods", "/snis", "/sources", "/destinations"];

/// Where the Admin API gives out a hash in place of what it was told.
#[derive(Debug)]
pub(crate) struct Hash {
    pub(crate) kind: &'static str,
    at: &'static str,
    /// How a hash begins.
    prefix: &'static str,
    /// The reference whose id went into it.
    salt: Option<&'static str>,
}

pub(crate) const HASHED: &[Hash] = &[
    Hash { kind: "basicauth_credential", at: "/password", prefix: "", salt: Some("/consumer/id") },
    Hash { kind: "oauth2_credential", at: "/client_secret", prefix: "$pbkdf2", salt: None },
];

/// The member of an entity that holds a hash.
pub(crate) fn hashed(resource: &Resource) -> Option<&'static str> {
    let hash = HASHED.iter().find(|hash| hash.kind == resource.key.kind.as_str())?;
    let text = resource.document.text(hash.at)?;
    text.starts_with(hash.prefix).then_some(hash.at)
}

/// The kind of a file's own members, such as its format version.
pub(crate) const SETTINGS: &str = "declarative_file";

impl Row {
    /// The row of a list in a declarative file.
    pub(crate) fn of_collection(name: &str) -> Option<&'static Self> {
        ROWS.iter().find(|row| row.collection == name)
    }

    /// The row of a kind.
    pub(crate) fn of_kind(kind: &str) -> Option<&'static Self> {
        ROWS.iter().find(|row| row.kind == kind)
    }

    /// The member that names the parent of this kind.
    pub(crate) fn parent_member(&self, parent: &Self) -> Option<&'static str> {
        self.foreign.iter().find(|foreign| foreign.kind == parent.kind).map(|f| f.member)
    }

    /// Whether it only ties two others together.
    pub(crate) fn is_link(&self) -> bool {
        self.primary.is_empty()
    }

    fn spec(&self) -> KindSpec {
        let mut spec = KindSpec::new(Kind::known(self.kind), self.rank);
        let dashed = self.collection.replace('_', "-");
        spec.aliases = [self.collection, self.path, &dashed].map(str::to_owned).into();
        spec.aliases.retain(|alias| alias != self.kind);
        spec.aliases.sort_unstable();
        spec.aliases.dedup();
        let unique = |name: &'static str, at: Vec<String>| HandleSpec {
            name: HandleName::known(name),
            at,
            unique: Within::Gateway,
            by_server: false,
        };
        spec.handles.extend(
            self.unique
                .iter()
                .filter(|member| **member != "id")
                .map(|member| unique(member, vec![format!("/{member}")])),
        );
        if !self.together.is_empty() {
            // A group of consumers is a scope as well, where the edition has them.
            let group = Some(&"consumer_group").filter(|_| self.kind == "plugin");
            let at = self.together.iter().chain(group).map(|member| {
                let foreign = self.foreign.iter().any(|foreign| foreign.member == *member);
                if foreign { format!("/{member}/id") } else { format!("/{member}") }
            });
            spec.handles.push(unique("together", at.collect()));
        }
        spec.references = self
            .foreign
            .iter()
            .map(|f| reference(format!("/{}/id", f.member), f.kind, HandleName::id(), f.role))
            .chain(self.hidden())
            .collect();
        // Every member can be changed in place, so that nothing need be deleted first.
        spec.replace = Replace::Never;
        spec.match_content = self.nameless;
        spec.restore = self.restore;
        spec.members =
            common().chain(self.secrets.iter().map(|at| rule(at, Member::Secret))).collect();
        match self.kind {
            // Names of SNIs, which are entities of their own.
            "certificate" => spec.members.push(rule("/snis", Member::ReadOnly)),
            "plugin" => {
                let twin = |(old, new): &(&str, &str)| rule(old, Member::Twin((*new).to_owned()));
                spec.members.extend(TWINS.iter().map(twin));
            }
            // Computed from the certificate.
            "ca_certificate" => spec.members.push(rule("/cert_digest", Member::ReadOnly)),
            "upstream" => spec.members.extend(null("/healthchecks/*/*")),
            "route" => spec.members.extend(null("/sources/*/*").chain(null("/destinations/*/*"))),
            "key" => spec.members.extend(null("/pem/*")),
            _ => {}
        }
        spec.outside = match self.kind {
            "service" => vec![OutsideSpec::at("host", "/host")],
            "target" => vec![OutsideSpec::at("host", "/target")],
            "plugin" => vec![OutsideSpec::at("redis", "/config/redis/host")],
            _ => Vec::new(),
        };
        for Hash { at, salt, .. } in HASHED.iter().filter(|hash| hash.kind == self.kind) {
            let by = salt.map(str::to_owned);
            spec.members.extend(by.map(|by| rule(at, Member::Salted { by })));
        }
        spec
    }

    /// References that Kong does not check itself.
    fn hidden(&self) -> Vec<RefSpec> {
        let id = HandleName::id;
        let named = |at: &str, kind, handle, role| reference(at.to_owned(), kind, handle, role);
        match self.kind {
            "service" => vec![
                named("/ca_certificates/*", "ca_certificate", id(), Role::Needs),
                named("/host", "upstream", HandleName::known("name"), Role::Weak),
            ],
            // By id or by name: one of the two dangles always.
            "plugin" => vec![
                named("/config/anonymous", "consumer", id(), Role::Weak),
                named("/config/anonymous", "consumer", HandleName::known("username"), Role::Weak),
            ],
            _ => Vec::new(),
        }
    }
}

fn reference(at: String, kind: &'static str, handle: HandleName, role: Role) -> RefSpec {
    refers(at, Kind::known(kind), handle, role)
}

/// A member that names a thing of `kind`.
pub(crate) fn refers(at: String, kind: Kind, handle: HandleName, role: Role) -> RefSpec {
    let (part, prefix) = (Part::Value, String::new());
    RefSpec { at, part, prefix, kinds: vec![kind], handle, role }
}

/// What a member is.
pub(crate) fn rule(at: &str, is: Member) -> MemberRule {
    MemberRule { at: at.to_owned(), is }
}

/// Null is what an absent member means here too.
fn null(at: &str) -> impl Iterator<Item = MemberRule> + use<> {
    std::iter::once(rule(at, Member::Default(serde_json::Value::Null)))
}

/// What holds for every kind: the id stands in the key, the server sets the time of the last change
/// and counts a time to live down, null is what an absent member means, sets have no order.
pub(crate) fn common() -> impl Iterator<Item = MemberRule> {
    [
        rule("/id", Member::ReadOnly),
        rule("/updated_at", Member::Volatile),
        rule("/ttl", Member::Volatile),
        rule("/*", Member::Default(serde_json::Value::Null)),
    ]
    .into_iter()
    .chain(SETS.iter().map(|at| rule(at, Member::Unordered)))
}

/// The table without the kinds that `has` refuses, and what else a node told of itself. `keeps`:
/// there is a way to send a hash so that it is not hashed again.
pub(crate) fn schema_of(
    has: impl Fn(&Row) -> bool,
    found: Vec<KindSpec>,
    plugins: &[MemberRule],
    keeps: bool,
) -> Schema {
    let mut settings = KindSpec::new(Kind::known(SETTINGS), 0);
    settings.presence = Presence::Fixed(Vec::new());
    // A file's own members mean nothing to a node.
    settings.restore = Restore::Never;
    let kinds = ROWS.iter().filter(|row| has(row)).map(Row::spec);
    let mut kinds: Vec<KindSpec> = std::iter::once(settings).chain(kinds).chain(found).collect();
    let known: Vec<Kind> = kinds.iter().map(|spec| spec.kind.clone()).collect();
    for spec in &mut kinds {
        // A file comes back as it was, with what has ended since.
        if Row::of_kind(spec.kind.as_str()).is_some_and(|row| row.expires) {
            spec.members.push(rule("/ttl", Member::Ends));
        }
        spec.references.retain(|reference| reference.kinds.iter().all(|kind| known.contains(kind)));
        if spec.kind.as_str() == "plugin" {
            spec.members.extend_from_slice(plugins);
        }
        let hashes = HASHED.iter().filter(|hash| !keeps && hash.kind == spec.kind.as_str());
        spec.members.extend(hashes.map(|hash| {
            let prefix = hash.prefix.to_owned();
            rule(hash.at, Member::UnreadableIf { prefix })
        }));
    }
    let text = Some(Arc::new(VaultScan) as _);
    Schema { id: "kong 3".into(), id_scheme: 1, kinds, other: None, text }
}

/// The rules of Kong 3.x's entities.
///
/// A key is the kind and the entity's id (for `parameter`, its key). The document is the Admin API's,
/// with `id`. A collection that the table does not know is a kind of its own name with the rules
/// that all entities share.
pub fn schema() -> Arc<Schema> {
    let mut settings = KindSpec::new(Kind::known(SETTINGS), 0);
    settings.presence = Presence::Fixed(Vec::new());
    let mut other = KindSpec::new(Kind::known("other"), 50);
    other.members = common().collect();
    Arc::new(Schema {
        id: "kong 3".into(),
        id_scheme: 1,
        kinds: std::iter::once(settings).chain(ROWS.iter().map(Row::spec)).collect(),
        other: Some(Box::new(other)),
        text: Some(Arc::new(VaultScan)),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_is_consistent() {
        let kinds: BTreeSet<_> = ROWS.iter().map(|row| row.kind).collect();
        let collections: BTreeSet<_> = ROWS.iter().map(|row| row.collection).collect();
        assert_eq!((kinds.len(), collections.len()), (ROWS.len(), ROWS.len()));
        for row in ROWS {
            for foreign in row.foreign {
                let parent = Row::of_kind(foreign.kind).unwrap();
                assert!(parent.rank < row.rank, "{} before {}", parent.kind, row.kind);
            }
        }
    }
}
