//! Metrics, to a file and to CloudWatch.

use gwbackup::aws::testing::CloudWatchDouble;
use serde_json::Value;

use crate::{Ran, World};

fn run(world: &World, places: &str, arguments: &[&str]) -> Ran {
    let mut command = world.command(arguments);
    command
        .env("GWBACKUP_METRICS", places)
        .env("AWS_ACCESS_KEY_ID", "AKIATEST")
        .env("AWS_SECRET_ACCESS_KEY", "hunter2-of-the-cloud")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", world.path("none"))
        .env("AWS_SHARED_CREDENTIALS_FILE", world.path("none"))
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_REGION");
    let ran = Ran::from(command.args(["--json"]).output().unwrap());
    assert!(!format!("{ran:?}").contains("hunter2"), "{ran:#?}");
    ran
}

/// The values of a metric, as lines of a log have them.
fn values(text: &str, name: &str) -> Vec<f64> {
    let lines = text.lines().filter(|line| line.contains("\"_aws\""));
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| line[name].as_f64()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_is_told_to_each_place() {
    let world = World::new();
    let double = CloudWatchDouble::start().await.unwrap();
    let region = CloudWatchDouble::REGION;
    let cloud = format!("cloudwatch://Shop?region={region}&endpoint={}", double.url());
    let places = format!("emf://{}\n{cloud}\nemf:stderr", world.text("metrics.log"));
    let gateway = world.text("kong.yml");
    let backup = ["backup", &gateway, "--app", "shop", "--env", "prod"];
    let made = run(&world, &places, &backup).ends(0);
    assert_eq!(made.json()["status"], "Success");
    let size = "gwbackup_backup_size_bytes";
    let sizes =
        [made.json()["bytes"].as_f64().unwrap(), made.json()["stored_bytes"].as_f64().unwrap()];
    let log = || std::fs::read_to_string(world.path("metrics.log")).unwrap();
    assert_eq!(values(&log(), size), sizes);
    assert_eq!(values(&made.err, size), sizes);
    let sent = double.data().into_iter().filter(|datum| datum.name == size).map(|d| d.value);
    assert_eq!(sent.collect::<Vec<_>>(), sizes);
    assert!(double.data().iter().all(|datum| datum.namespace == "Shop"));

    // A plan and a dry run tell nothing; a failure does.
    let count = || values(&log(), "gwbackup_build_info").len();
    let told = count();
    run(&world, &places, &["plan", "latest", "--onto", &gateway]).ends(0);
    run(&world, &places, &["restore", "latest", "--onto", &gateway, "--dry-run"]).ends(0);
    run(&world, &places, &["list"]).ends(0);
    assert_eq!(count(), told);
    let broken = world.text("broken.yml");
    std::fs::write(&broken, "_format_version: [").unwrap();
    assert_ne!(
        run(&world, &places, &["backup", &broken, "--app", "shop", "--env", "prod"]).code,
        0
    );
    assert_eq!(values(&log(), "gwbackup_backup_last_status"), [1.0, 0.0]);
    let successes = values(&log(), "gwbackup_backup_last_success_timestamp_seconds");
    assert_eq!(successes.len(), 1, "only a success moves it");

    // A place that refuses is a warning.
    double.guard(|_| false);
    let verified = run(&world, &cloud, &["verify"]).ends(0);
    assert!(verified.err.contains("cloudwatch:PutMetricData"), "{}", verified.err);
    assert_eq!(verified.json()["warnings"].as_array().unwrap().len(), 1);
    run(&world, "/var/log/metrics", &["list"]).fails(64, "emf:");
    run(&world, "emf:///x?colour=red", &["list"]).fails(64, "colour");

    // The same place by the configuration.
    let text = format!("version = 1\n[[metrics]]\nurl = \"emf://{}\"\n", world.text("other.log"));
    std::fs::write(world.path("c.toml"), text).unwrap();
    world.run(&["--config", "c.toml", "status"]).ends(0);
    let other = std::fs::read_to_string(world.path("other.log")).unwrap();
    assert_eq!(values(&other, "gwbackup_copies_healthy"), [2.0]);
}
