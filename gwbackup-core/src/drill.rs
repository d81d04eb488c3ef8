//! Restore tests: which recovery point is rehearsed, and what the report of a drill says.

mod page;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::catalog::DrillVerdict;
use crate::clock::{Timestamp, millis};
use crate::crypt::hex;
use crate::policy::Objectives;
use crate::report::{GoLive, RestoreReport, html, markdown};
use crate::restore::Phase;

/// Which recovery point is rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "rule")]
#[non_exhaustive]
pub enum Pick {
    /// The newest.
    Latest,
    /// One by lot: the same seed and the same candidates give the same one, and each candidate is as
    /// likely as any other.
    Random {
        /// The lot.
        seed: u64,
        /// Those that were committed at most so long ago take part.
        window: Duration,
    },
}

/// A recovery point that could be rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    pub(crate) committed: Timestamp,
    pub(crate) taken: Timestamp,
    pub(crate) backup: Uuid,
}

/// How the recovery point was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Selection {
    /// The rule.
    #[serde(flatten)]
    pub pick: Pick,
    /// How many could have been chosen.
    pub candidates: u64,
    /// Digest over their ids, in order: with the seed it repeats the choice.
    pub candidates_digest: String,
}

/// Chooses among candidates in the order of their commits. Nothing where there is none.
pub(crate) fn choose(
    mut candidates: Vec<Candidate>,
    pick: Pick,
    now: Timestamp,
) -> Option<(Candidate, Selection)> {
    candidates.sort_unstable();
    if let Pick::Random { window, .. } = pick {
        let age = |c: &Candidate| Duration::try_from(now.duration_since(c.committed));
        candidates.retain(|c| age(c).unwrap_or_default() <= window);
    }
    let mut digest = Sha256::new();
    for candidate in &candidates {
        digest.update(candidate.backup.as_bytes());
    }
    let digest = digest.finalize();
    let chosen = match pick {
        Pick::Latest => candidates.last(),
        Pick::Random { seed, .. } => {
            let lot =
                Sha256::new().chain_update(seed.to_be_bytes()).chain_update(digest).finalize();
            // Of 128 bits the remainder favours nobody that could be told.
            let lot = lot.iter().take(16).fold(0_u128, |n, byte| n << 8 | u128::from(*byte));
            let at = lot.checked_rem(candidates.len() as u128).unwrap_or_default();
            usize::try_from(at).ok().and_then(|at| candidates.get(at))
        }
    };
    let selection = Selection {
        pick,
        candidates: candidates.len() as u64,
        candidates_digest: hex::encode(&digest),
    };
    chosen.map(|chosen| (*chosen, selection))
}

/// What became of what the drill made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CleanUp {
    /// The target is again as it was before.
    Done,
    /// There was nothing to take back.
    NotNeeded,
    /// It stays, as was asked for.
    Kept,
    /// Something is left.
    Failed,
}

/// What a drill showed. Holds no secret and no document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DrillReport {
    /// Name and version of the form.
    pub schema: String,
    /// The drill.
    pub drill: Uuid,
    /// The verdict.
    pub verdict: DrillVerdict,
    /// What led to it.
    pub findings: Vec<String>,
    /// How the recovery point was chosen.
    pub selection: Selection,
    /// The backup.
    pub backup: Uuid,
    /// Its name.
    pub backup_name: String,
    /// Whose gateway.
    pub application: String,
    /// Which stage of it.
    pub environment: String,
    /// When the gateway began to be read for it.
    #[serde(serialize_with = "millis")]
    pub taken_at: Timestamp,
    /// The gateway that it was restored to.
    pub target: String,
    /// What the restore did and showed; none where it could not begin.
    pub restore: Option<RestoreReport>,
    /// What became of what the drill made.
    pub clean_up: CleanUp,
    /// What is left on the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
    /// What is promised.
    pub objectives: Objectives,
    /// Seconds from the start to the end of the tests; none where the restore could not begin.
    pub rto_seconds: Option<u64>,
    /// Seconds of changes that would have been lost, had the gateway failed at the last moment at
    /// which this was its newest backup: until the next one began, or until now.
    pub rpo_seconds: u64,
    /// What was done when.
    pub phases: Vec<Phase>,
    /// When it began.
    #[serde(serialize_with = "millis")]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "millis")]
    pub ended_at: Timestamp,
    /// When the next one is due, if the policy says so.
    pub next_due: Option<Timestamp>,
}

impl DrillReport {
    /// The report as Markdown.
    pub fn to_markdown(&self) -> String {
        markdown(&self.page())
    }

    /// The report as one HTML page that needs nothing else.
    pub fn to_html(&self) -> String {
        html(&self.page())
    }

    /// Weighs everything that was found; `failed`: why the restore could not begin.
    pub(crate) fn judge(&mut self, failed: Option<String>) {
        let (mut bad, mut doubtful) = (Vec::from_iter(failed), Vec::new());
        match &self.restore {
            None => {}
            Some(restore) => match restore.verdict {
                GoLive::NoGo => bad.extend(restore.reasons.iter().cloned()),
                GoLive::Conditional => doubtful.extend(restore.reasons.iter().cloned()),
                GoLive::Go => {}
            },
        }
        for (what, measured, promised) in [
            ("the recovery took", self.rto_seconds, self.objectives.rto),
            ("what would have been lost are", Some(self.rpo_seconds), self.objectives.rpo),
        ] {
            if let (Some(measured), Some(promised)) = (measured, promised)
                && measured > promised.duration().as_secs()
            {
                doubtful.push(format!("{what} {measured} s, and {promised} are promised"));
            }
        }
        if self.clean_up == CleanUp::Failed {
            doubtful.push(format!("{} things are left on the target", self.left.len()));
        }
        self.verdict = match (bad.is_empty(), doubtful.is_empty()) {
            (false, _) => DrillVerdict::Fail,
            (true, false) => DrillVerdict::PassWithFindings,
            (true, true) => DrillVerdict::Pass,
        };
        self.findings = bad;
        self.findings.append(&mut doubtful);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn candidates(count: u32) -> (Vec<Candidate>, Timestamp) {
        let start: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let hour = |n: u32| start + jiff::SignedDuration::from_hours(i64::from(n));
        let one = |n: u32| Candidate {
            committed: hour(n),
            taken: hour(n),
            backup: Uuid::from_u128(u128::from(n) + 1),
        };
        ((0..count).map(one).collect(), hour(count))
    }

    #[test]
    fn every_candidate_can_be_chosen_and_a_seed_chooses_the_same_again() {
        let (all, now) = candidates(20);
        let window = Duration::from_hours(1000);
        let mut chosen = BTreeSet::new();
        let mut most = std::collections::BTreeMap::<Uuid, u32>::new();
        for seed in 0..1000 {
            let pick = Pick::Random { seed, window };
            let (first, selection) = choose(all.clone(), pick, now).unwrap();
            let mut turned = all.clone();
            turned.reverse();
            assert_eq!(choose(turned, pick, now).unwrap(), (first, selection.clone()));
            assert_eq!(selection.candidates, 20);
            chosen.insert(first.backup);
            *most.entry(first.backup).or_default() += 1;
        }
        assert_eq!(chosen.len(), 20);
        // 50 are to be expected of each; so far off it would be no lot.
        assert!(most.values().all(|n| (20..=90).contains(n)), "{most:?}");
    }

    #[test]
    fn the_window_and_the_rule_decide_who_takes_part() {
        let (all, now) = candidates(20);
        let window = Duration::from_hours(5);
        let young: BTreeSet<Uuid> = (0..200)
            .map(|seed| choose(all.clone(), Pick::Random { seed, window }, now).unwrap().0.backup)
            .collect();
        let wanted: BTreeSet<Uuid> = all[15..].iter().map(|c| c.backup).collect();
        assert_eq!(young, wanted);
        let (latest, selection) = choose(all.clone(), Pick::Latest, now).unwrap();
        assert_eq!((latest, selection.candidates), (all[19], 20));
        let none = Pick::Random { seed: 1, window: Duration::ZERO };
        assert!(choose(all, none, now).is_none());
        assert!(choose(Vec::new(), Pick::Latest, now).is_none());
    }
}
