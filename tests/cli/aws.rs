//! Backups in S3 with keys in KMS, named by URLs, with credentials of the environment.

use std::process::Command;
use std::sync::Arc;

use gwbackup::aws::testing::{AwsDouble, ConfigDouble, KmsDouble, KmsState, S3Double};
use gwbackup::clock::SystemClock;
use serde_json::json;

use crate::{Ran, World, program};

/// A cloud, and what a person who uses it has set.
struct Cloud {
    world: World,
    s3: S3Double,
    kms: KmsDouble,
    arn: String,
}

impl Cloud {
    async fn new() -> Self {
        let kms = KmsDouble::start().await.unwrap();
        let (world, s3) = (World::empty(), S3Double::start().await.unwrap());
        let arn = kms.make_key();
        Self { world, s3, kms, arn }
    }

    fn run(&self, state: &str, arguments: &[&str]) -> Ran {
        self.run_with(state, &[], arguments)
    }

    /// The same with more in the environment.
    fn run_with(&self, state: &str, more: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let mut command = Command::new(program());
        self.world.surround(&mut command);
        let place = format!(
            "s3://{}/acme?region={}&endpoint={}&medium=object-store&offsite=true",
            S3Double::BUCKET,
            S3Double::REGION,
            self.s3.url()
        );
        command
            .env("GWBACKUP_REPO", place)
            .env("GWBACKUP_KEY", format!("awskms://{}?endpoint={}", self.arn, self.kms.url()))
            .env("GWBACKUP_STATE", self.world.path(state))
            .env("AWS_ACCESS_KEY_ID", "AKIATEST")
            .env("AWS_SECRET_ACCESS_KEY", "hunter2-of-the-cloud")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", self.world.path("none"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.world.path("none"))
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_REGION")
            .envs(more.iter().copied())
            .args(arguments);
        let ran = Ran::from(command.output().unwrap());
        assert!(!format!("{ran:?}").contains("hunter2"), "{ran:#?}");
        ran
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_in_the_cloud() {
    let cloud = Cloud::new().await;
    cloud.run("one", &["init", "--kit", &cloud.world.text("keys/kit")]).ends(0);
    let gateway = cloud.world.text("kong.yml");
    let before = std::fs::read_to_string(&gateway).unwrap();
    let backup = ["backup", &gateway, "--app", "shop", "--env", "prod", "--json"];
    let made = cloud.run("one", &backup).ends(0).json();
    assert_eq!(made["status"], "Success");
    assert_eq!(made["copies"].as_array().unwrap().len(), 1);
    let objects = cloud.s3.objects();
    assert!(objects.keys().any(|name| name.starts_with("acme/data/shop/prod/")), "{objects:?}");

    // From another machine, which knows nothing yet.
    let verified = cloud.run("two", &["verify", "--depth", "full", "--json"]).ends(0).json();
    assert_eq!((&verified["checked"], &verified["failures"]), (&1.into(), &json!([])));
    std::fs::write(&gateway, "_format_version: \"3.0\"\n").unwrap();
    let restore = ["restore", "latest", "--onto", &gateway, "--yes", "--json"];
    let done = cloud.run("two", &restore).ends(0).json();
    assert_eq!((&done["status"], &done["compare"]["different"]), (&"Success".into(), &0.into()));
    assert!(std::fs::read_to_string(&gateway).unwrap().len() > before.len() / 2);

    // Wraps are made anew inside the service, and open.
    let keys = cloud.run("two", &["keys", "list", "--json"]).ends(0).json();
    let kinds: Vec<_> = keys.as_array().unwrap().iter().map(|key| &key["type"]).collect();
    assert!(kinds.contains(&&json!("awskms")), "{keys}");
    let before = cloud.s3.objects();
    let dry = cloud.run("two", &["keys", "rotate", "--dry-run", "--json"]).ends(0).json();
    assert_eq!((&dry["rewrapped"], cloud.s3.objects().len()), (&0.into(), before.len()));
    let done = cloud.run("two", &["keys", "rotate", "--json"]).ends(0).json();
    let new: Vec<_> =
        cloud.s3.objects().into_iter().filter(|o| !before.contains_key(&o.0)).collect();
    let wraps = new.iter().filter(|(name, _)| name.ends_with(".0002.json"));
    assert_eq!(done["rewrapped"], wraps.clone().count());
    let written: usize = wraps.map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(done["bytes_written"], written);
    let asked = cloud.kms.calls().iter().filter(|(name, _)| name == "ReEncrypt").count();
    assert_eq!(done["rewrapped"], asked);
    cloud.run("three", &["verify", "--depth", "full"]).ends(0);

    cloud.kms.set_state(&cloud.arn, KmsState::Disabled);
    cloud.run("four", &["list", "--json"]).fails(12, "disabled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_linked_with_what_config_recorded() {
    let cloud = Cloud::new().await;
    cloud.run("one", &["init", "--kit", &cloud.world.text("keys/kit")]).ends(0);
    let account = AwsDouble::start().await.unwrap();
    let config = ConfigDouble::start(Arc::new(SystemClock)).await.unwrap();
    let (_, api) = account.request("POST", "/restapis", &json!({ "name": "pay" }));
    config.look(&account);
    let text = format!(
        "version = 1\n[gateway.pay]\nurl = \"aws://eu-central-1?budget=100\"\napp = \"pay\"\n\
         env = \"prod\"\nhistory = \"awsconfig://eu-central-1?endpoint={}\"\n\
         [gateway.bare]\nurl = \"aws://eu-central-1\"\n",
        config.url()
    );
    std::fs::write(cloud.world.path("c.toml"), text).unwrap();
    let call = |arguments: &[&str]| {
        let more = [("AWS_ENDPOINT_URL", account.url())];
        let more = more.each_ref().map(|(name, value)| (*name, value.as_str()));
        cloud.run_with("one", &more, &[&["--config", "c.toml", "--json"], arguments].concat())
    };
    call(&["backup", "pay"]).ends(0);
    let key = format!("rest_api/{}", api["id"].as_str().unwrap());
    let found = call(&["history", &key, "--link", "pay"]).ends(0).json();
    let arn = format!("arn:aws:apigateway:eu-central-1::/restapis/{}", api["id"].as_str().unwrap());
    let item = &found[0]["history"]["item"];
    assert_eq!(item["id"], format!("AWS::ApiGateway::RestApi {arn}"));
    assert_eq!((&found[0]["became"], &item["presence"]), (&json!("new"), &json!("present")));

    let all = call(&["history", "--backup", "latest", "--link", "pay"]).ends(0).json();
    assert_eq!((all.as_array().unwrap().len(), &all[0]["history"]["item"]), (1, item));
    let none = call(&["history", "--backup", "latest", "usage_plan", "--link", "pay"]).ends(0);
    assert_eq!(none.json(), json!([]));
    call(&["history", &key, "--link", "bare"]).fails(64, "history");
    config.switch(false);
    let off = call(&["history", &key, "--link", "pay"]).ends(0).json();
    assert_eq!(off[0]["history"]["why"], "off");
}
