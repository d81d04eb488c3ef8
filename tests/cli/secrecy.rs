//! No secret in anything that the program writes or stores.

use crate::World;

/// Members that hold secrets, by section of a declarative file.
const SECRETS: [(&str, &str); 8] = [
    ("basicauth_credentials", "password"),
    ("hmacauth_credentials", "secret"),
    ("jwt_secrets", "secret"),
    ("keyauth_credentials", "key"),
    ("oauth2_credentials", "client_secret"),
    ("oauth2_tokens", "access_token"),
    ("oauth2_tokens", "refresh_token"),
    ("plugins", "client_secret"),
];

/// The export with a marker in every secret member, and what must never be seen.
fn marked(round: u32) -> (String, Vec<String>) {
    let text = std::fs::read_to_string(crate::export()).unwrap();
    // A marker is no hash.
    let text = text.replace("_transform: false", "_transform: true");
    let (mut out, mut markers, mut section) = (String::new(), Vec::new(), "");
    let mut in_key = false;
    for line in text.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|_| !line.starts_with([' ', '-'])) {
            section = name;
        }
        let member = line.trim_start_matches(['-', ' ']);
        let secret = SECRETS.iter().find(|(of, name)| {
            let value = member.strip_prefix(name).and_then(|rest| rest.strip_prefix(": "));
            *of == section && value.is_some_and(|value| !matches!(value, "~" | "|"))
        });
        if let Some((_, name)) = secret {
            let marker = format!("PLANTED{round}x{:03}", markers.len());
            let indent = &line[..line.len() - member.len()];
            out += &format!("{indent}{name}: {marker}\n");
            markers.push(marker);
        } else {
            out += &format!("{line}\n");
        }
        // A private key is a secret as it is.
        let text = line.trim_start();
        if in_key && text.len() >= 40 && !text.starts_with("-----") {
            markers.push(text.to_owned());
        }
        in_key = (in_key || text.contains("PRIVATE KEY-----")) && !text.starts_with("-----END");
    }
    assert!(markers.len() > 20, "{markers:?}");
    (out, markers)
}

#[test]
fn planted_markers_are_seen_nowhere() {
    let world = World::new();
    let (first, mut markers) = marked(1);
    let (second, more) = marked(2);
    markers.extend(more);
    let mut seen = String::new();
    let mut call = |arguments: &[&str], code: i32| {
        let ran = world.run(arguments).ends(code);
        seen += &ran.out;
        seen += &ran.err;
    };
    let backup = ["backup", "kong.yml", "--app", "shop", "--env", "prod", "-vvv", "--json"];
    std::fs::write(world.path("kong.yml"), &first).unwrap();
    call(&backup, 0);
    std::fs::write(world.path("kong.yml"), &second).unwrap();
    call(&["drift", "kong.yml", "-vvv"], 0);
    call(&["drift", "kong.yml", "--json"], 0);
    call(&["plan", "latest", "--onto", "kong.yml", "--out", "plan.json", "-vvv", "--json"], 0);
    call(&["plan", "latest", "--onto", "kong.yml"], 0);
    call(&["show", "latest", "*"], 0);
    call(&["show", "latest", "*", "--json"], 0);
    call(&["show", "latest"], 0);
    call(&backup, 0);
    call(
        &["restore", "--plan", "plan.json", "--yes", "-vvv", "--report", "r.md", "--map-out", "m"],
        0,
    );
    call(&["restore", "latest", "--onto", "n.yml", "--yes", "--report", "r.json", "--json"], 0);
    call(&["verify", "--depth", "full", "-vvv"], 0);
    call(&["audit", "list", "--json"], 0);
    call(&["status", "--json"], 0);
    // A file that cannot be read must not be quoted either.
    std::fs::write(world.path("kong.yml"), format!("{second}\n x: [\n")).unwrap();
    call(&backup, 64);

    let mut places = world.files(&["a", "b", "state", "plan.json", "r.md", "r.json", "m"]);
    assert!(places.len() > 20);
    places.insert("output".into(), seen.into_bytes());
    for (place, bytes) in places {
        for marker in &markers {
            let found = bytes.windows(marker.len()).any(|window| window == marker.as_bytes());
            assert!(!found, "{marker} is in {}", place.display());
        }
    }
    // The search can find: the restored gateway holds them.
    let restored = std::fs::read_to_string(world.path("n.yml")).unwrap();
    assert!(restored.contains("PLANTED2x"));
}
