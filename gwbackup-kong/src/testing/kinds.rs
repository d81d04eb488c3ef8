//! The collections of the Admin API, as data. What the recorded schemas say (fields, defaults,
//! foreign keys, unique members) is not repeated here.

/// One collection.
#[derive(Debug)]
pub(super) struct Kind {
    /// Its place in [`KINDS`].
    pub(super) at: usize,
    /// Its path.
    pub(super) path: &'static str,
    /// The name of its schema, of its list in a declarative file, and in errors.
    pub(super) schema: &'static str,
    /// Its path below a parent.
    pub(super) nested: &'static str,
    /// The member that may stand in a path in place of the id.
    pub(super) name: Option<&'static str>,
    /// Members that together are unique.
    pub(super) together: &'static [&'static str],
    /// Entities may expire.
    pub(super) ttl: bool,
    /// It has no list of its own.
    pub(super) only_nested: bool,
    /// The first version that has it, as major and minor.
    pub(super) since: (u32, u32),
}

const fn kind(at: usize, path: &'static str, schema: &'static str, name: &'static str) -> Kind {
    Kind {
        at,
        path,
        schema,
        nested: path,
        name: if name.is_empty() { None } else { Some(name) },
        together: &[],
        ttl: false,
        only_nested: false,
        since: (0, 0),
    }
}

pub(super) const SNIS: &Kind = &KINDS[2];
pub(super) const SERVICES: &Kind = &KINDS[8];
pub(super) const TARGETS: &Kind = &KINDS[7];
pub(super) const UPSTREAMS: &Kind = &KINDS[6];

/// Every collection, parents before children.
pub(super) static KINDS: &[Kind] = &[
    kind(0, "ca_certificates", "ca_certificates", ""),
    kind(1, "certificates", "certificates", ""),
    kind(2, "snis", "snis", "name"),
    Kind { since: (3, 0), ..kind(3, "vaults", "vaults", "prefix") },
    Kind { since: (3, 1), ..kind(4, "key-sets", "key_sets", "name") },
    Kind { since: (3, 1), together: &["kid", "set"], ..kind(5, "keys", "keys", "name") },
    kind(6, "upstreams", "upstreams", "name"),
    Kind {
        together: &["target", "upstream"],
        only_nested: true,
        ..kind(7, "targets", "targets", "target")
    },
    kind(8, "services", "services", "name"),
    kind(9, "routes", "routes", "name"),
    kind(10, "consumers", "consumers", "username"),
    Kind { nested: "key-auth", ttl: true, ..kind(11, "key-auths", "keyauth_credentials", "key") },
    Kind { nested: "basic-auth", ..kind(12, "basic-auths", "basicauth_credentials", "username") },
    Kind { nested: "jwt", ..kind(13, "jwts", "jwt_secrets", "key") },
    Kind { nested: "hmac-auth", ..kind(14, "hmac-auths", "hmacauth_credentials", "username") },
    Kind { together: &["consumer", "group"], ..kind(15, "acls", "acls", "") },
    kind(16, "oauth2", "oauth2_credentials", "client_id"),
    Kind { ttl: true, ..kind(17, "oauth2_tokens", "oauth2_tokens", "access_token") },
    Kind {
        together: &["consumer", "name", "route", "service"],
        ..kind(18, "plugins", "plugins", "instance_name")
    },
    Kind { ttl: true, ..kind(19, "acme_storage", "acme_storage", "key") },
    Kind { ttl: true, ..kind(20, "sessions", "sessions", "session_id") },
];

impl Kind {
    /// The collection with this schema.
    pub(super) fn of_schema(schema: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.schema == schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_collection_knows_its_place() {
        assert!(KINDS.iter().enumerate().all(|(n, kind)| n == kind.at));
        let named = [(SNIS, "snis"), (SERVICES, "services"), (TARGETS, "targets")];
        assert!(named.iter().all(|(kind, path)| kind.path == *path));
        assert_eq!(UPSTREAMS.path, "upstreams");
    }
}
