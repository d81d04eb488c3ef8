//! A whole account: backed up, lost, restored, here and elsewhere.

use gwbackup_aws::Aws;
use gwbackup_aws::testing::Fault;
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use serde_json::{Value, json};

use crate::bench::{Bench, ask, aws, config, config_in};
use crate::rich;
use crate::source::large;
use crate::still::{assert_same, still};

#[tokio::test]
async fn an_account_that_was_lost_comes_back() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill(&bench, &double);
    let before = still(&double);
    assert!(before.len() > 150, "{}", before.len());
    let backup = bench.backup(&double).await;
    double.clear();
    let outcome = bench.succeed(bench.restore(&backup, aws(&double))).await;
    assert!(outcome.report.applied >= 25, "{}", outcome.report.applied);
    assert_same(&still(&double), &before, "restored");
    let again = bench.plan(bench.restore(&backup, aws(&double))).await;
    assert!(again.plan().is_empty(), "{:#?}", again.plan());
}

#[tokio::test]
async fn nothing_of_the_old_account_is_left_in_a_new_one() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill_with(&bench, &double, 1);
    let backup = bench.backup(&double).await;
    let other = bench.account_with(|b| b.region("us-west-2").account("999988887777").seed(7)).await;
    let target = Aws::new(config_in(&other, "us-west-2")).unwrap();
    bench.succeed(bench.restore(&backup, target)).await;
    let ids: Vec<String> = double
        .state()
        .keys()
        .filter_map(|at| at.strip_prefix("restapis/"))
        .filter(|rest| !rest.contains('/'))
        .map(str::to_owned)
        .collect();
    let (region, account) = rich::HOME;
    // The functions of the other account let the new APIs call them.
    let mut callers: Vec<String> = Vec::new();
    for (function, policy) in other.functions() {
        assert_eq!(function, "arn:aws:lambda:us-west-2:999988887777:function:auth");
        for statement in policy.values() {
            let source = statement["Condition"]["ArnLike"]["AWS:SourceArn"].as_str().unwrap();
            let id = source.strip_prefix("arn:aws:execute-api:us-west-2:999988887777:").unwrap();
            callers.push(id.strip_suffix("/*").unwrap().to_owned());
        }
    }
    let made =
        other.state().into_keys().filter_map(|at| at.strip_prefix("restapis/").map(str::to_owned));
    let made: Vec<String> = made.filter(|rest| !rest.contains('/')).collect();
    assert_eq!(callers, made);
    for (at, value) in other.state() {
        // The name of a user pool holds a region: it is another thing's name, for people to map.
        let text = value.to_string().replace(&format!("userpool/{region}_"), "");
        let old = [region, account]
            .into_iter()
            .chain(ids.iter().map(String::as_str))
            .find(|old| text.contains(old));
        assert_eq!(old, None, "{at}: {text}");
    }
}

#[tokio::test]
async fn an_api_that_is_there_is_put_right_in_its_place() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill_with(&bench, &double, 1);
    let before = still(&double);
    let backup = bench.backup(&double).await;
    let api = double.state().into_keys().find(|at| at.starts_with("restapis/")).unwrap();
    let patch = |at: &str, op: Value| ask(&double, "PATCH", at, json!({ "patchOperations": [op] }));
    patch(&format!("/{api}"), json!({ "op": "replace", "path": "/name", "value": "mine" }));
    patch(
        &format!("/{api}/models/Note"),
        json!({ "op": "replace", "path": "/description", "value": "x" }),
    );
    patch(&format!("/{api}/stages/test"), json!({ "op": "remove", "path": "/variables/alias" }));
    let method = double
        .state()
        .into_keys()
        .find(|at| at.starts_with(&api) && at.ends_with("/methods/PUT"))
        .unwrap();
    ask(&double, "DELETE", &format!("/{method}"), Value::Null);
    double.forget_calls();
    let outcome = bench.succeed(bench.restore(&backup, aws(&double))).await;
    assert_eq!(outcome.report.applied, 1, "one tree");
    assert_same(&still(&double), &before, "restored");
    let writes =
        double.calls().iter().filter(|call| call.method != "GET" && call.path != "/").count();
    assert!(writes <= 9, "{writes}");
}

#[tokio::test]
async fn a_restore_that_fails_deletes_no_api_that_was_there() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill_with(&bench, &double, 1);
    let backup = bench.backup(&double).await;
    let state = double.state();
    let api = state.keys().find(|at| at.starts_with("restapis/")).unwrap().clone();
    for model in ["Note", "Line"] {
        ask(&double, "DELETE", &format!("/{api}/models/{model}"), Value::Null);
    }
    let edited = still(&double);
    double.forget_calls();
    double.faults(|asked| {
        (asked.operation == "CreateModel" && asked.write > 1).then_some(Fault::LIMIT)
    });
    let outcome = bench.apply(bench.restore(&backup, aws(&double))).await;
    assert_eq!(outcome.report.status, RunStatus::RolledBack, "{:#?}", outcome.report.failures);
    assert!(!double.calls().iter().any(|call| call.operation == "DeleteRestApi"));
    double.calm();
    assert_same(&still(&double), &edited, "rolled back");
}

#[tokio::test]
async fn an_api_that_may_not_call_its_functions_is_not_left_behind() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill_with(&bench, &double, 1);
    let backup = bench.backup(&double).await;
    double.clear();
    let empty = still(&double);
    double.faults(|asked| {
        (asked.method == "POST" && asked.path.ends_with("/policy")).then_some(Fault::DENIED)
    });
    let outcome = bench.apply(bench.restore(&backup, aws(&double))).await;
    assert_eq!(outcome.report.status, RunStatus::RolledBack, "{:#?}", outcome.report.failures);
    // In the service's words, and asked once: the right does not come by asking again.
    let failure = &outcome.report.failures[0];
    assert!(failure.contains("denies it (403)"), "{failure}");
    let asked = double.calls().iter().filter(|call| call.path.ends_with("/policy")).count();
    assert_eq!(asked, 1);
    double.calm();
    assert_same(&still(&double), &empty, "rolled back");
    // With the right it is allowed, and taken back with the API.
    let outcome = bench.succeed(bench.restore(&backup, aws(&double))).await;
    assert_eq!(double.functions().values().map(std::collections::BTreeMap::len).sum::<usize>(), 1);
    let (run, target) = (outcome.report.run.unwrap(), std::sync::Arc::new(aws(&double)));
    let options = ApplyOptions { accept_loss: true, ..ApplyOptions::default() };
    let back = bench.repository.roll_back(&bench.cx, run, target, &options).await.unwrap();
    assert_eq!(back.report.status, RunStatus::RolledBack);
    assert_eq!(double.functions().values().map(std::collections::BTreeMap::len).sum::<usize>(), 0);
}

#[tokio::test]
async fn lost_answers_make_nothing_twice() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill_with(&bench, &double, 1);
    let before = still(&double);
    let backup = bench.backup(&double).await;
    double.clear();
    // These writes have their effect and no answer.
    let mut writes = 0;
    double.faults(move |asked| {
        writes += u64::from(asked.method != "GET" && asked.path != "/");
        let lost = [1, 4, 8, 13, 19, 30, 45, 70].contains(&writes);
        (asked.method != "GET" && asked.path != "/" && lost).then_some(Fault::LoseAnswer)
    });
    bench.succeed(bench.restore(&backup, aws(&double))).await;
    double.calm();
    assert_same(&still(&double), &before, "restored through a bad line");
}

#[tokio::test]
async fn restoring_in_place_keeps_to_the_quotas() {
    // A hundred in the gates, which takes a minute.
    let count = if std::env::var_os("GWBACKUP_TEST_ALL").is_some() { 100 } else { 10 };
    restored_in_place(count, 100).await;
}

#[tokio::test]
async fn restoring_in_place_takes_longer_where_less_of_the_quotas_is_used() {
    restored_in_place(10, 80).await;
}

/// So many APIs are put right within this part of the quotas, in percent, and within 1.15 times of
/// what that allows.
async fn restored_in_place(count: u32, budget: u8) {
    let bench = Bench::new().await;
    let double = bench.account_with(gwbackup_aws::testing::AwsDoubleBuilder::quotas).await;
    let apis: Vec<String> = (0..count as usize).map(|n| large(&double, n)).collect();
    let before = still(&double);
    let full = || Aws::new(config(&double).with_budget(budget).with_calls(1)).unwrap();
    let backup = bench.backup_of(full()).await;
    let held: Vec<String> = double.state().into_keys().collect();
    for api in &apis {
        // Another deployment is served, the old one is gone, and so is nearly all of the API.
        let mock = json!({ "get": { "x-amazon-apigateway-integration": { "type": "mock" } } });
        let body =
            json!({ "openapi": "3.0.1", "info": { "title": "x" }, "paths": { "/r0": mock } });
        ask(&double, "PUT", &format!("/restapis/{api}?mode=overwrite"), body);
        let old =
            held.iter().find(|at| at.starts_with(&format!("restapis/{api}/deployments/"))).unwrap();
        let new = crate::bench::make(&double, &format!("/restapis/{api}/deployments"), json!({}));
        for stage in ["prod", "test"] {
            let operations = json!([{ "op": "replace", "path": "/deploymentId", "value": new }]);
            ask(
                &double,
                "PATCH",
                &format!("/restapis/{api}/stages/{stage}"),
                json!({ "patchOperations": operations }),
            );
        }
        ask(&double, "DELETE", &format!("/{}", old.trim_end_matches("/snapshot")), Value::Null);
    }
    bench.clock.advance(std::time::Duration::from_mins(10));
    let prepared = bench.plan(bench.restore(&backup, full()).prune(100)).await;
    double.forget_calls();
    bench.clock.advance(std::time::Duration::from_mins(10));
    let began = bench.cx.now();
    let options = ApplyOptions { accept_loss: true, ..ApplyOptions::default() };
    let outcome = prepared.apply(&bench.cx, &options).await.unwrap();
    assert_eq!(outcome.report.status, RunStatus::Success, "{:#?}", outcome.report.failures);
    let calls = double.calls();
    let broken = calls.iter().find(|call| call.status == Some(429));
    assert!(broken.is_none(), "the quotas were broken: {broken:?}");
    let deployed = calls.iter().filter(|call| call.operation == "CreateDeployment").count();
    assert_eq!(deployed, count as usize);
    let last = bench.cx.now().duration_since(began).as_secs_f64();
    let write = outcome.report.phases.iter().find(|phase| phase.name == "write").unwrap();
    let write = write.ended_at.duration_since(write.started_at).as_secs_f64();
    // A deployment each 5 s, and two readings of the whole at 1.1 s for each API.
    let allowed = f64::from(count) * 100.0 / f64::from(budget);
    assert!(write < 1.15 * 5.0 * allowed, "writing took {write} s");
    assert!(last < 1.15 * (5.0 + 2.0 * 1.1) * allowed, "{} calls took {last} s", calls.len());
    assert_same(&still(&double), &before, "restored");
}

#[tokio::test]
async fn a_stage_that_cannot_be_exported_serves_the_working_copy_and_the_plan_says_so() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill_with(&bench, &double, 1);
    let not_served = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().filter(|line| !line.contains(" serves ")).collect()
    };
    let before = not_served(still(&double));
    let refused = Fault::Error(400, "BadRequestException");
    double.faults(move |asked| (asked.operation == "GetExport").then_some(refused));
    let backup = bench.backup(&double).await;
    double.clear();
    let prepared = bench.plan(bench.restore(&backup, aws(&double))).await;
    let said = prepared.plan().findings.iter();
    let of_rest = said.filter(|finding| finding.subject.starts_with("rest_deployment/"));
    let said = of_rest.filter(|finding| finding.detail.contains("could not be exported"));
    let made = prepared.plan().steps.iter().filter(|step| step.kind.as_str() == "rest_deployment");
    assert_eq!((said.count(), made.count()), (2, 2));
    bench.succeed(bench.restore(&backup, aws(&double))).await;
    assert_same(&not_served(still(&double)), &before, "restored");
    let verbs = |at: &str| -> Vec<String> {
        let state = double.state();
        let api = state.keys().find(|at| at.starts_with("restapis/")).unwrap();
        let api = api.split('/').nth(1).unwrap();
        let deployment = &state[&format!("restapis/{api}/stages/{at}")]["deploymentId"];
        let held = &state
            [&format!("restapis/{api}/deployments/{}/snapshot", deployment.as_str().unwrap())];
        let mut verbs: Vec<String> = held
            .as_object()
            .unwrap()
            .keys()
            .filter(|at| at.contains("/methods/"))
            .filter_map(|at| at.rsplit('/').next().map(str::to_owned))
            .collect();
        verbs.sort();
        verbs
    };
    // Among them one that nothing served.
    assert_eq!(verbs("prod"), ["ANY", "DELETE", "GET", "POST", "PUT"]);
    assert_eq!(verbs("test"), verbs("prod"));
}

#[tokio::test]
async fn a_stage_that_was_guarded_is_named_in_the_plan() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill_with(&bench, &double, 1);
    let is_stage = |at: &String| at.starts_with("restapis/") && at.contains("/stages/");
    let stage = double.state().into_keys().find(is_stage).unwrap();
    let acl = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/front/1";
    double.set_web_acl(&stage, acl);
    let backup = bench.backup(&double).await;
    let guards = async || {
        let prepared = bench.plan(bench.restore(&backup, aws(&double))).await;
        let said = prepared.plan().findings.iter().filter(|f| f.detail.contains(acl));
        said.map(|f| f.subject.clone()).collect::<Vec<_>>()
    };
    assert!(guards().await.is_empty(), "it is guarded");
    double.clear();
    let [named] = &guards().await[..] else { panic!("one stage is guarded by nothing") };
    assert!(named.starts_with("rest_stage/") && named.ends_with(&stage[stage.len() - 4..]));
}
