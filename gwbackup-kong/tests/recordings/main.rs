//! The double against the traffic of a real Kong: every recorded request is made again, and every
//! answer must be the recorded one, but for what the node makes up itself.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod compare;
mod fresh;
mod replay;

use fresh::{Chance, Names, reorder};
use replay::{Recording, Replay};

/// Requests whose recorded answer the double does not give: file, number, reason.
const KNOWN: &[(&str, usize, &str)] = &[];

/// Replays these recordings one after the other on one double.
async fn replay(files: &[&str], db_less: bool) {
    let recordings: Vec<Recording> = files.iter().map(|file| Recording::read(file)).collect();
    run(Replay::start(db_less).await, &recordings, "as recorded").await;
}

async fn run(mut replay: Replay, recordings: &[Recording], how: &str) {
    let mut wrong = Vec::new();
    for recording in recordings {
        wrong.extend(replay.run(recording).await);
    }
    wrong.retain(|(file, number, _)| !KNOWN.iter().any(|(f, n, _)| f == file && n == number));
    let wrong: Vec<String> =
        wrong.iter().map(|(file, number, why)| format!("{file} #{number}: {why}")).collect();
    assert!(wrong.is_empty(), "{how}, {} answers differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn creation_lists_pages_and_single_reads() {
    replay(&["01-create", "02-lists-full", "03-paging", "04-single-gets"], false).await;
}

#[tokio::test]
async fn changes_on_a_full_node_then_its_deletion() {
    replay(&["01-create", "14-consistency", "09-mutations", "15-delete-all"], false).await;
}

#[tokio::test]
async fn restore_into_an_empty_node() {
    replay(&["11-restore-by-put"], false).await;
}

#[tokio::test]
async fn refusals_tags_and_schemas() {
    let reads = ["01-create", "05-tags", "06-schemas-entities", "07-schemas-plugins", "00-server"];
    replay(&reads, false).await;
    replay(&["01-create", "08-errors"], false).await;
}

#[tokio::test]
async fn what_a_naive_restore_meets() {
    replay(&["16-restore-naive-failures"], false).await;
}

#[tokio::test]
async fn a_node_without_a_database() {
    replay(&["13-dbless"], true).await;
}

/// Without `13-dbless`, whose node derives ids from names, and the schemas, which are Kong's own.
#[tokio::test]
async fn everything_again_under_other_names_and_in_another_order() {
    let histories: [&[&str]; 5] = [
        &["01-create", "02-lists-full", "03-paging", "04-single-gets", "05-tags"],
        &["01-create", "08-errors", "02-lists-full"],
        &["01-create", "14-consistency", "09-mutations", "15-delete-all"],
        &["11-restore-by-put"],
        &["16-restore-naive-failures"],
    ];
    for (seed, files) in (1..).zip(histories.iter().cycle().take(15)) {
        let mut chance = Chance(seed);
        let sources = ["01-create", "02-lists-full"].iter().chain(*files);
        let sources: Vec<Recording> = sources.map(|file| Recording::read(file)).collect();
        let names = Names::new(&sources, &mut chance);
        let mut recordings: Vec<Recording> =
            sources[2..].iter().map(|recording| names.rename(recording)).collect();
        for recording in &mut recordings {
            reorder(recording, &mut chance);
        }
        let replay = Replay::start(false).await.renamed(&names);
        run(replay, &recordings, &format!("under the names of seed {seed}")).await;
    }
}
