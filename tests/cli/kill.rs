//! The process is killed in the middle of a restore onto a node: at 200 moments with
//! `GWBACKUP_TEST_ALL` set, as the gates have it; else at 12.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use gwbackup::kong::testing::{Fault, KongDouble};
use serde_json::{Value, json};

use crate::World;

/// Moments at which a process is killed; each lane of them has a repository of its own.
const MOMENTS: usize = 200;
const FEW: usize = 12;
const LANES: usize = 4;
const SEED: u64 = 20_261_121;

type State = BTreeMap<String, Vec<Value>>;

fn id(kind: u32, n: u32) -> String {
    format!("00000000-0000-4000-8000-0000000{kind}{n:04}")
}

fn call(node: &KongDouble, method: &str, path: &str, body: &Value) {
    let (status, answer) = node.request(method, path, body);
    assert!(status < 300, "{method} {path}: {status} {answer}");
}

fn put(node: &KongDouble, collection: &str, id: &str, mut body: Value) {
    body["created_at"] = 1_700_000_000.into();
    call(node, "PUT", &format!("/{collection}/{id}"), &body);
}

fn fill(node: &KongDouble) {
    for n in 0..40 {
        let body = json!({"name": format!("service-{n}"), "host": format!("h{n}.example")});
        put(node, "services", &id(1, n), body);
        let body = json!({"paths": [format!("/{n}")], "service": {"id": id(1, n)}});
        put(node, "routes", &id(2, n), body);
        let body = json!({"name": "cors", "config": {"max_age": n}, "route": {"id": id(2, n)}});
        put(node, "plugins", &id(3, n), body);
    }
}

/// Things are lost, changed, added, and two exchange their names.
fn drift(node: &KongDouble) {
    for n in 0..20 {
        call(node, "DELETE", &format!("/routes/{}", id(2, n)), &Value::Null);
    }
    for n in 0..10 {
        call(node, "DELETE", &format!("/services/{}", id(1, n)), &Value::Null);
    }
    for n in 20..40 {
        call(node, "PATCH", &format!("/plugins/{}", id(3, n)), &json!({"enabled": false}));
    }
    for (n, name) in [(10, "free"), (11, "service-10"), (10, "service-11")] {
        call(node, "PATCH", &format!("/services/{}", id(1, n)), &json!({"name": name}));
    }
    for n in 0..20 {
        let body = json!({"name": format!("new-{n}"), "host": "n.example"});
        put(node, "services", &id(4, n), body);
    }
}

/// What a node holds, but for the time of the last change.
fn still(node: &KongDouble) -> State {
    let mut state = node.state();
    for entity in state.values_mut().flatten() {
        entity.as_object_mut().unwrap().remove("updated_at");
    }
    state
}

fn kong(node: &KongDouble) -> String {
    format!("kong+{}", node.url())
}

/// A number by chance, the same at each run of the tests.
fn chance(n: usize) -> u64 {
    let mut x = SEED.wrapping_add((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// One process after the other that is killed at its moment, and another that carries on.
fn lane(runtime: &tokio::runtime::Handle, lane: usize, moments: usize) -> usize {
    let start = || runtime.block_on(KongDouble::start()).unwrap();
    let world = World::new();
    let original = start();
    fill(&original);
    let wanted = still(&original);
    let gateway = kong(&original);
    world.run(&["backup", &gateway, "--app", "shop", "--env", "prod"]).ends(0);
    drift(&original);
    let drifted = serde_json::to_string(&original.state()).unwrap();
    let restore = |onto: &str| {
        let prune = ["--prune", "--prune-limit", "100"];
        world.command(
            &[&["restore", "latest", "--onto", onto, "--yes", "--json"][..], &prune].concat(),
        )
    };

    original.forget_calls();
    let whole = restore(&gateway).output().unwrap();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    assert_eq!(still(&original), wanted);
    let is_write = |method: &str, path: &str| method != "GET" && !path.starts_with("/schemas/");
    let calls = original.calls();
    let writes = calls.iter().filter(|call| is_write(&call.method, &call.path)).count();
    assert!(writes >= 90, "{writes}");

    let mut killed = 0;
    for moment in (lane..moments).step_by(LANES) {
        let victim = 1 + usize::try_from(chance(moment)).unwrap() % writes;
        // The call that the process does not survive may have had its effect or not.
        let had_effect = chance(moment + MOMENTS).is_multiple_of(2);
        let when = format!("moment {moment}: write {victim} of {writes}, effect: {had_effect}");
        let node = start();
        node.load(&drifted).unwrap();
        let process: Arc<OnceLock<Mutex<Child>>> = Arc::default();
        let own = Arc::clone(&process);
        let mut seen = 0;
        node.faults(move |asked| {
            seen += usize::from(is_write(asked.method, asked.path));
            if seen != victim || !is_write(asked.method, asked.path) {
                return None;
            }
            own.get()?.lock().unwrap().kill().unwrap();
            Some(if had_effect { Fault::LoseAnswer } else { Fault::Disconnect })
        });
        let mut command = restore(&kong(&node));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        process.set(Mutex::new(child)).unwrap();
        // Its output ends with it; who waits for it meanwhile would keep it from being killed.
        let mut said = String::new();
        out.read_to_string(&mut said).unwrap();
        let end = process.get().unwrap().lock().unwrap().wait().unwrap();
        assert_eq!(end.code(), None, "{when}: it was not killed: {said}");
        node.calm();

        let status = world.run(&["status", "--json"]).ends(0).json();
        let open = status["open_runs"].as_array().unwrap();
        assert_eq!(open.len(), 1, "{when}: {open:?}");
        let run = open[0]["run"].as_str().unwrap();
        world.run(&["resume", run, "--yes", "--json"]).ends(0);
        assert_eq!(still(&node), wanted, "{when}");
        killed += 1;
    }
    let status = world.run(&["status", "--json"]).ends(0).json();
    assert_eq!(status["open_runs"], json!([]));
    killed
}

#[test]
fn a_restore_that_is_killed_anywhere_is_carried_on_to_the_same_end() {
    let all = std::env::var_os("GWBACKUP_TEST_ALL").is_some();
    let moments = if all { MOMENTS } else { FEW };
    // Built before the lanes ask for it.
    crate::program();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(LANES).enable_all().build().unwrap();
    let handle = runtime.handle();
    let killed: usize = std::thread::scope(|scope| {
        let lanes = (0..LANES).map(|n| scope.spawn(move || lane(handle, n, moments)));
        let lanes: Vec<_> = lanes.collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).sum()
    });
    assert_eq!(killed, moments);
}
