//! What every [`HistoryLink`] keeps.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::ErrorKind;
use crate::history::{Asked, HistoryItem, HistoryLink, Linked, Missing, Presence};
use crate::model::Kind;

/// A history of which a test knows what is in it.
#[derive(Debug)]
pub struct HistoryFixture<'a> {
    /// The link.
    pub link: &'a dyn HistoryLink,
    /// A resource that it knows.
    pub known: Asked,
    /// When each of the known one's states was captured, the oldest first, at least a day apart: there
    /// are three or more, and it is deleted in the last one.
    pub captured: Vec<Timestamp>,
    /// A resource of the same kind that was never there.
    pub stranger: Asked,
    /// A kind that it does not record.
    pub unrecorded: Kind,
}

/// Checks that each moment is answered by the state that was captured last, that each question has
/// its own answer, that what was never seen or not yet seen has none, and that asking changes
/// nothing.
///
/// # Panics
/// On the first breach.
pub async fn history_link(fixture: &HistoryFixture<'_>) {
    let HistoryFixture { link, known, captured, stranger, unrecorded } = fixture;
    let cx = Context::new();
    assert!(captured.len() >= 3, "the fixture needs three states");
    assert!(link.records(&known.resource.key.kind), "a link must record what it knows");
    assert!(!link.records(unrecorded), "a link must not record every kind");
    assert!(!link.to_string().is_empty(), "a link needs an address");
    assert_eq!(find(&cx, *link, &[]).await, [], "no question has no answer");

    let at = |moment: Timestamp| Asked { at: moment, ..known.clone() };
    let mut seen = Vec::new();
    for (n, moment) in captured.iter().enumerate() {
        // At the moment, and long before the next one.
        for later in [Duration::ZERO, Duration::from_hours(6)] {
            let found = find(&cx, *link, &[at(*moment + later)]).await;
            let item = item(&found[0]);
            assert_eq!(item.captured_at, *moment, "the state that was captured last is valid");
            let wanted =
                if n + 1 == captured.len() { Presence::Deleted } else { Presence::Present };
            assert_eq!(item.presence, wanted, "a link must say whether it was there");
            assert!(!item.id.is_empty() && !item.state.is_empty(), "an item has an id and a state");
            seen.push(item.clone());
        }
        let [.., a, b] = &seen[..] else { panic!("two were found") };
        assert_eq!(a, b, "one state is the same item at every moment");
    }
    seen.dedup();
    let states: std::collections::BTreeSet<&String> = seen.iter().map(|item| &item.state).collect();
    assert_eq!(states.len(), captured.len(), "another state must have another name");

    let first = captured[0];
    let before = find(&cx, *link, &[at(first - Duration::from_hours(6))]).await;
    assert_eq!(missing(&before[0]), Missing::Moment, "what came later was not there then");
    let shortly = find(&cx, *link, &[at(first - Duration::from_millis(1))]).await;
    let Linked::Found { item: None, next: Some(next) } = &shortly[0] else {
        panic!("a state that is captured right after must be told: {shortly:?}");
    };
    assert_eq!(next.captured_at, first, "the next state is the first one afterwards");

    // Many at once, out of order, one of them twice.
    let mut asked: Vec<Asked> = captured.iter().rev().map(|moment| at(*moment)).collect();
    asked.insert(1, stranger.clone());
    asked.push(at(first));
    let found = find(&cx, *link, &asked).await;
    assert_eq!(missing(&found[1]), Missing::Resource, "what was never there has no history");
    for (asked, found) in asked.iter().zip(&found).filter(|(one, _)| one.at != stranger.at) {
        assert_eq!(item(found).captured_at, asked.at, "each question has its own answer");
    }
    assert_eq!(find(&cx, *link, &asked).await, found, "asking changes nothing");

    let token = CancellationToken::new();
    token.cancel();
    let cancelled = link.find(&cx.with_cancellation(token), &asked).await.map_err(|e| e.kind());
    assert_eq!(cancelled.err(), Some(ErrorKind::Cancelled), "a cancelled context ends it");
}

async fn find(cx: &Context, link: &dyn HistoryLink, asked: &[Asked]) -> Vec<Linked> {
    let found = link.find(cx, asked).await;
    let found = found.unwrap_or_else(|e| panic!("a link must answer: {e:?}"));
    assert_eq!(found.len(), asked.len(), "each question has one answer");
    found
}

fn item(linked: &Linked) -> &HistoryItem {
    match linked {
        Linked::Found { item: Some(item), .. } => item,
        other => panic!("a known state must be found: {other:?}"),
    }
}

fn missing(linked: &Linked) -> Missing {
    match linked {
        Linked::Nothing { why, detail } if !detail.is_empty() => *why,
        other => panic!("there must be nothing, with a reason: {other:?}"),
    }
}
