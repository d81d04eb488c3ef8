use super::url::parse;
use super::*;

fn file(value: &str) -> Result<Url> {
    parse(value, |_| Ok("file"))
}

#[test]
fn what_has_no_scheme_is_a_path() {
    for value in ["/mnt/a b", "relative/dir", "./s3:bucket", "a/b:c", "C:", "9p:x", "_x:y"] {
        let path = local_path(&file(value).unwrap()).unwrap();
        assert_eq!(path, std::path::absolute(value).unwrap(), "{value}");
    }
    assert!(file("").is_err());
}

#[test]
fn every_local_scheme_has_one_form() {
    for scheme in ["file", "jsonl", "key-file"] {
        let url = file(&format!("{scheme}:///a%20b/c")).unwrap();
        assert_eq!(local_path(&url).unwrap(), Path::new("/a b/c"));

        let error = file(&format!("{scheme}://mnt/backup")).and_then(|url| local_path(&url));
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(error.advice().unwrap(), format!("write {scheme}:///mnt/backup"));

        let error = file(&format!("{scheme}:backup")).and_then(|url| local_path(&url)).unwrap_err();
        assert!(error.advice().unwrap().contains(&format!("{scheme}:///path")));
    }
}

#[test]
fn credentials_are_refused_and_never_shown() {
    for value in [
        "s3://user:hunter2@bucket/a",
        "kong+https://:hunter2@host:8444/?workspace=w",
        "https://hunter2@host",
        "s3://user:hunter2@bucket:port/",
        "s3://user:hunter2@[bad/",
    ] {
        let error = file(value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{value}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let error = file("kong+https://admin:hunter2@host:8444/?workspace=w").unwrap_err();
    assert!(error.advice().unwrap().contains("kong+https://host:8444/?workspace=w"));
}

#[test]
fn masking_hides_what_sounds_secret() {
    for (url, shown) in [
        ("https://u:p@host/a?x=1#frag", "https://host/a?x=1"),
        (
            "https://host/?Token=abc&x=1&api_key=z&sig=q",
            "https://host/?Token=***&x=1&api_key=***&sig=***",
        ),
        ("https://host/?t%6Fken=abc", "https://host/?t%6Fken=***"),
        ("memory:name", "memory:name"),
    ] {
        assert_eq!(masked(&Url::parse(url).unwrap()), shown);
    }
}

#[tokio::test]
async fn memory_is_shared_by_name_and_connectors() {
    use crate::context::Context;
    use crate::sink::ObjectName;

    let connectors = Connectors::new();
    let cx = Context::new();
    let name = ObjectName::new("a").unwrap();
    let settings = Settings::new();
    let first = connectors.sink("memory:one", &settings).await.unwrap();
    first.put(&cx, &name, &vec![1].into()).await.unwrap();
    let again = connectors.clone().sink("memory:one", &settings).await.unwrap();
    assert!(again.head(&cx, &name).await.is_ok());
    let other = connectors.sink("memory:two", &settings).await.unwrap();
    assert!(other.head(&cx, &name).await.is_err());
    let stranger = Connectors::new().sink("memory:one", &settings).await.unwrap();
    assert!(stranger.head(&cx, &name).await.is_err());
}

#[tokio::test]
async fn a_path_gives_a_directory() {
    let scratch = tempfile::tempdir().unwrap();
    let connectors = Connectors::new();
    let by_path =
        connectors.sink(scratch.path().to_str().unwrap(), &Settings::new()).await.unwrap();
    let url = by_path.info().url;
    let by_url = connectors.sink(&url, &Settings::new()).await.unwrap();
    assert_eq!(by_path.info(), by_url.info());
    assert_eq!(by_path.info().local_path.as_deref(), Some(scratch.path()));
}

#[tokio::test]
async fn an_unknown_scheme_names_what_would_help() {
    let connectors = Connectors::new().hint("far", "far-away").hint("memory", "never-said");
    let settings = Settings::new();
    let advice = async |value: &str| {
        let error = connectors.sink(value, &settings).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error.advice().unwrap().to_owned()
    };
    assert!(advice("far://bucket/a").await.contains("feature `far-away`"));
    assert!(advice("farther://bucket/a").await.contains("file:, memory:"));
    let error = connectors.source("memory:a", &settings).await.unwrap_err();
    assert_eq!(error.advice(), Some("`memory:` names a sink"));
}

#[tokio::test]
async fn suffixes_lead_to_the_scheme_that_claims_them() {
    let saw = |url: Url, settings: Settings| async move {
        let message = format!("{} {:?}", local_path(&url)?.display(), settings.value("token"));
        Err(Error::refused(message))
    };
    let connectors = Connectors::empty()
        .with(Connectors::empty().add_source("lines", saw).add_path_suffix("JSONL", "lines"));
    let settings = Settings::new().with("token", "t");
    let error = connectors.source("/a b/c.jsonl", &settings).await.unwrap_err();
    assert_eq!(error.message(), r#"/a b/c.jsonl Some("t")"#);
    let error = connectors.source("/a/c.txt", &settings).await.unwrap_err();
    assert!(error.advice().unwrap().contains(".jsonl"));
    let error = connectors.target("/a/c.jsonl", &settings).await.unwrap_err();
    assert!(error.advice().unwrap().contains("can only be read"));
}

#[test]
fn settings_show_names_only() {
    let settings = Settings::new().with("token", "hunter2");
    assert_eq!(format!("{settings:?}"), r#"{"token"}"#);
}

#[test]
fn descriptors_are_taken_out_of_the_url() {
    let spec = CopySpec::parse(
        "s3://bucket/p?medium=object-store&site=a%20b&region=eu&account=1&offsite=true&immutable=true",
    )
    .unwrap();
    assert_eq!(spec.url.as_str(), "s3://bucket/p");
    assert_eq!(spec.medium.as_deref(), Some("object-store"));
    assert_eq!(spec.site.as_deref(), Some("a b"));
    assert_eq!(spec.region.as_deref(), Some("eu"));
    assert_eq!(spec.account.as_deref(), Some("1"));
    assert!(spec.offsite && spec.immutable);

    assert_eq!(spec.settings(), Settings::new().with("region", "eu"));

    let more = CopySpec::parse("s3://bucket?site=a&endpoint=http://[::1]:9&hold=true").unwrap();
    assert_eq!(more.url.as_str(), "s3://bucket?endpoint=http%3A%2F%2F%5B%3A%3A1%5D%3A9&hold=true");

    let plain = CopySpec::parse("/mnt/a?offsite=false").unwrap();
    assert_eq!(plain.url.as_str(), "file:///mnt/a");
    assert!(!plain.offsite && plain.medium.is_none());
}

#[test]
fn wrong_descriptors_are_refused() {
    for value in
        ["/a?medium=", "/a?offsite=yes", "/a?site=x&site=y", "/a?offsite", "s3://u:p@b?site=x"]
    {
        assert_eq!(CopySpec::parse(value).unwrap_err().kind(), ErrorKind::Invalid, "{value}");
    }
    let error = CopySpec::parse("/a?colour=red").unwrap_err();
    assert!(error.message().contains("colour"));
    assert!(error.advice().unwrap().contains("medium, site, region"));
}

#[tokio::test]
async fn a_keys_name_may_have_colons() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&seen);
    let connectors = Connectors::empty().add_key_provider("vault", move |url, _| {
        heard.lock().unwrap().push(url.to_string());
        async { Err(Error::invalid("enough")) }
    });
    for value in ["vault://arn:x:y:z", "vault:///arn:x:y", "vault://host:80/key", "vault://u:p:q@h"]
    {
        assert!(connectors.key_provider(value, &Settings::new()).await.is_err());
    }
    assert_eq!(
        *seen.lock().unwrap(),
        ["vault:///arn:x:y:z", "vault:///arn:x:y", "vault://host:80/key"]
    );
}
