//! The laws of the two vendors.

use super::law::{Code, Gone, Ids, Law, Link, PLAIN, Unique};

const fn needs(at: &'static str, to: &'static str) -> Link {
    Link { at, prefix: "", to, gone: Gone::Refuse }
}

const fn owned(at: &'static str, to: &'static str) -> Link {
    Link { at, prefix: "", to, gone: Gone::Cascade }
}

const fn once(members: &'static [&'static str]) -> Unique {
    Unique { members, in_parent: false }
}

const fn once_below(members: &'static [&'static str]) -> Unique {
    Unique { members, in_parent: true }
}

const OURS: Law = Law { ids: Ids::Client, stamp: Some("updated_at"), ..PLAIN };

/// Ids of the client's choice, unique names, defaults, restrict and cascade.
pub(super) static KONG: Code = Code {
    fixed: &[],
    laws: &[
        Law {
            kind: "service",
            required: &["host"],
            defaults: &[("port", "80"), ("protocol", "\"http\""), ("retries", "5")],
            unique: &[once(&["/name"])],
            ..OURS
        },
        Law {
            kind: "route",
            required: &["paths"],
            defaults: &[("strip_path", "true"), ("preserve_host", "false")],
            unique: &[once(&["/name"])],
            links: &[needs("/service/id", "service")],
            ..OURS
        },
        Law {
            kind: "consumer",
            required: &["username"],
            unique: &[once(&["/username"]), once(&["/custom_id"])],
            ..OURS
        },
        Law {
            kind: "credential",
            required: &["consumer"],
            generated: &["key"],
            unique: &[once(&["/key"])],
            links: &[owned("/consumer/id", "consumer")],
            ..OURS
        },
        Law {
            kind: "plugin",
            required: &["name"],
            defaults: &[("enabled", "true"), ("config", "{}")],
            unique: &[
                once(&["/instance_name"]),
                once(&["/name", "/service/id", "/route/id", "/consumer/id"]),
            ],
            links: &[
                owned("/service/id", "service"),
                owned("/route/id", "route"),
                owned("/consumer/id", "consumer"),
            ],
            ..OURS
        },
        Law {
            kind: "upstream",
            required: &["name"],
            defaults: &[("algorithm", "\"round-robin\""), ("slots", "10000")],
            unique: &[once(&["/name"])],
            ..OURS
        },
        Law {
            kind: "target",
            parent: Some("upstream"),
            required: &["target"],
            defaults: &[("weight", "100")],
            unique: &[once_below(&["/target"])],
            ..OURS
        },
    ],
};

const BELOW_API: Law = Law { parent: Some("api"), ..PLAIN };

/// Ids of the server's choice, names that repeat, things that come, go and stay by themselves.
pub(super) static AWS: Code = Code {
    fixed: &[("account/account", r#"{"throttle":{"burst":5000,"rate":10000}}"#)],
    laws: &[
        Law { kind: "account", ids: Ids::Natural("name"), fixed: true, ..PLAIN },
        Law {
            kind: "api",
            required: &["name"],
            immutable: &["protocol"],
            defaults: &[("protocol", "\"HTTP\"")],
            mentions: &["policy"],
            born: &[
                ("model", r#"{"name":"Empty","schema":"{}"}"#),
                ("model", r#"{"name":"Error","schema":"{\"type\":\"object\"}"}"#),
            ],
            serial: true,
            ..PLAIN
        },
        Law {
            kind: "authorizer",
            required: &["name", "type"],
            unique: &[once_below(&["/name"])],
            ..BELOW_API
        },
        Law {
            kind: "integration",
            required: &["uri"],
            defaults: &[("timeout", "30000")],
            mentions: &["uri"],
            ..BELOW_API
        },
        Law {
            kind: "route",
            ids: Ids::Natural("route_key"),
            required: &["target"],
            links: &[
                Link {
                    at: "/target",
                    prefix: "integrations/",
                    to: "integration",
                    gone: Gone::Refuse,
                },
                needs("/authorizer_id", "authorizer"),
            ],
            ..BELOW_API
        },
        Law { kind: "model", ids: Ids::Natural("name"), mentions: &["schema"], ..BELOW_API },
        Law {
            kind: "deployment",
            update: false,
            stamp: Some("created"),
            snapshot: true,
            ..BELOW_API
        },
        Law {
            kind: "stage",
            ids: Ids::Natural("name"),
            required: &["deployment_id"],
            links: &[needs("/deployment_id", "deployment")],
            ..BELOW_API
        },
        Law {
            kind: "plan",
            required: &["name"],
            links: &[needs("/apis/*", "api")],
            born: &[("plan_default", r#"{"limit":1000,"name":"default"}"#)],
            ..PLAIN
        },
        Law {
            kind: "plan_default",
            parent: Some("plan"),
            ids: Ids::Natural("name"),
            required: &["limit"],
            ..PLAIN
        },
        Law {
            kind: "api_key",
            required: &["name"],
            immutable: &["value"],
            generated: &["value"],
            defaults: &[("enabled", "true")],
            unique: &[once(&["/value"])],
            ..PLAIN
        },
        Law {
            kind: "certificate",
            required: &["body", "private_key"],
            immutable: &["body"],
            hidden: &["private_key"],
            ..PLAIN
        },
        Law {
            kind: "domain",
            ids: Ids::Natural("name"),
            required: &["api_id"],
            lingers: true,
            links: &[needs("/api_id", "api")],
            ..PLAIN
        },
    ],
};
