//! What every [`MetricsRecorder`] keeps.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::ErrorKind;
use crate::metrics::{Label, Metric, MetricsRecorder, Sample};

/// A value that arrived, as it is known there.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The metric's name.
    pub name: String,
    /// The value.
    pub value: f64,
    /// Names and values of its labels.
    pub labels: BTreeMap<String, String>,
    /// Its time.
    pub at: Timestamp,
}

/// A recorder, and what became of that which it was told.
pub trait MetricsFixture: Sync {
    /// The recorder.
    fn recorder(&self) -> &dyn MetricsRecorder;

    /// What has arrived so far, in its order.
    fn seen(&self) -> Vec<Seen>;

    /// Lets nothing arrive any more, or again.
    fn set_broken(&self, broken: bool);
}

/// Values of labels that are hard to write down.
const AWKWARD: [&str; 8] = [
    "with two  spaces",
    "quotes \" and ' and <&>",
    "back\\slash, 100%, a=b&c=d; {e}",
    "caf\u{e9}",
    "cafe\u{301}",
    "\u{5317}\u{4eac}/\u{1f6a2}",
    "caf\\u{e9}",
    "https://example.com/a?b=c#d%20e",
];
/// Samples of one batch.
const MANY: u32 = 2500;

/// Checks that a batch arrives whole, in its order and with its time, or ends with an error; that no
/// number that is none is sent; that labels stay apart, and plain ones are as they were; that an empty
/// batch is no work and a cancelled context is heard.
///
/// Values of labels beyond ASCII may arrive in another form, as long as it is the same each time.
///
/// # Panics
/// On the first breach.
#[expect(clippy::expect_used, reason = "a suite panics on a breach")]
pub async fn metrics_recorder(fixture: &dyn MetricsFixture) {
    let (cx, recorder) = (Context::new(), fixture.recorder());
    let at = Timestamp::from_millisecond(cx.now().as_millisecond()).expect("a time in range");
    assert!(!recorder.to_string().is_empty(), "a recorder needs a name");
    recorder.record(&cx, at, &[]).await.expect("an empty batch must be no work");
    assert_eq!(fixture.seen(), [], "of an empty batch nothing must arrive");

    refuses_what_is_no_number(fixture, &cx, at).await;
    hears_a_cancelled_context(fixture, at).await;

    for batch in [one_of_each(), awkward(), repeated(), many()] {
        let before = fixture.seen().len();
        recorder.record(&cx, at, &batch).await.expect("a legal batch must be recorded");
        let seen = fixture.seen().split_off(before);
        compare(&batch, &seen, at);
    }

    let before = fixture.seen().len();
    fixture.set_broken(true);
    let broken = recorder.record(&cx, at, &one_of_each()).await;
    assert!(broken.is_err(), "what did not arrive must be an error");
    fixture.set_broken(false);
    assert_eq!(fixture.seen().len(), before, "a broken place must take nothing");
    recorder.record(&cx, at, &one_of_each()).await.expect("after a failure the next must succeed");
    compare(&one_of_each(), &fixture.seen().split_off(before), at);
}

async fn refuses_what_is_no_number(fixture: &dyn MetricsFixture, cx: &Context, at: Timestamp) {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut batch = many();
        batch.push(Sample::new(Metric::BackupLastStatus, bad));
        let kind = fixture.recorder().record(cx, at, &batch).await.map_err(|e| e.kind());
        assert_eq!(kind, Err(ErrorKind::Invalid), "{bad} must be refused as invalid");
        assert_eq!(fixture.seen(), [], "with {bad} in a batch nothing of it must be sent");
    }
}

async fn hears_a_cancelled_context(fixture: &dyn MetricsFixture, at: Timestamp) {
    let token = CancellationToken::new();
    token.cancel();
    let cx = Context::new().with_cancellation(token);
    let kind = fixture.recorder().record(&cx, at, &one_of_each()).await.map_err(|e| e.kind());
    assert_eq!(kind, Err(ErrorKind::Cancelled), "a cancelled context must end with `Cancelled`");
    assert_eq!(fixture.seen(), [], "under a cancelled context nothing must be sent");
}

fn one_of_each() -> Vec<Sample> {
    let sample = |(n, metric): (u32, &Metric)| {
        let labels = metric.labels().iter();
        let plain = |sample: Sample, label: &Label| sample.with(*label, &format!("{label}-{n}"));
        labels.fold(Sample::new(*metric, f64::from(n) + 0.25), plain)
    };
    (0..).zip(Metric::ALL).map(sample).collect()
}

fn awkward() -> Vec<Sample> {
    let long = "l".repeat(250);
    let wide = "\u{1f6a2}".repeat(250);
    let other = format!("{}\u{2693}", "\u{1f6a2}".repeat(249));
    let texts = AWKWARD.into_iter().chain([long.as_str(), &wide, &other]);
    let mut batch: Vec<Sample> = texts
        .map(|text| Sample::new(Metric::CopiesHealthy, 1.0).with(Label::Gateway, text))
        .collect();
    for value in [0.0, -1.5, 1e-9, 9_007_199_254_740_991.0, 1e18] {
        batch.push(Sample::new(Metric::Rto, value));
    }
    batch
}

/// One series, several times in a row.
fn repeated() -> Vec<Sample> {
    let sample = |n| Sample::new(Metric::BackupAttempts, n).with(Label::Gateway, "shop");
    [3.0, 1.0, 2.0, 1.0].map(sample).into()
}

fn many() -> Vec<Sample> {
    let sample = |n: u32| {
        let gateway = format!("gateway {}", n % 7);
        let sample = Sample::new(Metric::BackupResources, f64::from(n));
        sample.with(Label::Gateway, &gateway).with(Label::Kind, &format!("kind-{n}"))
    };
    (0..MANY).map(sample).collect()
}

#[track_caller]
fn compare(batch: &[Sample], seen: &[Seen], at: Timestamp) {
    assert_eq!(seen.len(), batch.len(), "a batch must arrive whole");
    let mut texts: BTreeMap<&str, &str> = BTreeMap::new();
    for (sample, seen) in batch.iter().zip(seen) {
        assert_eq!(seen.name, sample.metric().name(), "a batch must keep its order");
        assert!(
            (seen.value - sample.value()).abs() <= f64::EPSILON * sample.value().abs(),
            "a value must be what was measured: {} is {}",
            seen.value,
            sample.value()
        );
        assert_eq!(seen.at, at, "a value must have its time");
        let names: Vec<&str> = sample.labels().keys().map(|label| label.name()).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        let arrived: Vec<&str> = seen.labels.keys().map(String::as_str).collect();
        assert_eq!(arrived, sorted, "labels must keep their names");
        for (label, text) in sample.labels() {
            let Some(arrived) = seen.labels.get(label.name()) else { continue };
            let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || " -_./:".contains(c));
            assert!(!plain || arrived == text, "a plain label must stay as it is: {arrived}");
            let known = texts.insert(arrived, text);
            assert!(known.is_none_or(|known| known == text), "labels must stay apart: {arrived}");
        }
    }
    let mut back: BTreeMap<&str, &str> = BTreeMap::new();
    for (arrived, text) in texts {
        let other = back.insert(text, arrived);
        assert_eq!(other, None, "a label must arrive in the same form each time: {text}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::breaches::verdict;
    use super::*;
    use crate::error::Result;
    use crate::testing::{MemoryRecorder, Mood};
    use async_trait::async_trait;
    use std::fmt;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Lie {
        None,
        SendsNonsense,
        Deaf,
        LosesOne,
        Shuffles,
        MixesLabels,
        OtherTime,
        HidesFailure,
    }

    #[derive(Debug)]
    struct Liar(MemoryRecorder, Lie);

    impl fmt::Display for Liar {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("liar")
        }
    }

    #[async_trait]
    impl MetricsRecorder for Liar {
        async fn record(&self, cx: &Context, at: Timestamp, samples: &[Sample]) -> Result<()> {
            let (mut samples, mut at) = (samples.to_vec(), at);
            let fresh = Context::new();
            let cx = if self.1 == Lie::Deaf { &fresh } else { cx };
            match self.1 {
                Lie::SendsNonsense => samples.retain(|sample| sample.value().is_finite()),
                Lie::LosesOne if samples.len() > 1000 => drop(samples.remove(0)),
                Lie::Shuffles => samples.reverse(),
                Lie::OtherTime => at = Timestamp::UNIX_EPOCH,
                Lie::MixesLabels => {
                    let mixed = |sample: &Sample| {
                        let ascii = |text: &str| text.replace(|c: char| !c.is_ascii(), "?");
                        let new = Sample::new(sample.metric(), sample.value());
                        sample
                            .labels()
                            .iter()
                            .fold(new, |new, (l, text)| new.with(*l, &ascii(text)))
                    };
                    samples = samples.iter().map(mixed).collect();
                }
                _ => {}
            }
            let told = self.0.record(cx, at, &samples).await;
            if self.1 == Lie::HidesFailure && told.is_err() && !samples.is_empty() {
                cx.check()?;
                crate::metrics::check(&samples)?;
                return Ok(());
            }
            told
        }
    }

    impl MetricsFixture for Liar {
        fn recorder(&self) -> &dyn MetricsRecorder {
            self
        }

        fn seen(&self) -> Vec<Seen> {
            let of = |at, sample: &Sample| Seen {
                name: sample.metric().name().to_owned(),
                value: sample.value(),
                labels: sample.labels().iter().map(|(l, t)| (l.to_string(), t.clone())).collect(),
                at,
            };
            let batches = self.0.batches();
            batches.iter().flat_map(|(at, all)| all.iter().map(|one| of(*at, one))).collect()
        }

        fn set_broken(&self, broken: bool) {
            self.0.set_mood(if broken { Mood::Away } else { Mood::Willing });
        }
    }

    #[tokio::test]
    async fn the_suite_sees_each_breach() {
        for (lie, said) in [
            (Lie::None, "kept"),
            (Lie::SendsNonsense, "must be refused as invalid"),
            (Lie::Deaf, "must end with `Cancelled`"),
            (Lie::LosesOne, "must arrive whole"),
            (Lie::Shuffles, "must keep its order"),
            (Lie::MixesLabels, "must stay apart"),
            (Lie::OtherTime, "must have its time"),
            (Lie::HidesFailure, "must be an error"),
        ] {
            let liar = Liar(MemoryRecorder::new(), lie);
            let text = verdict(metrics_recorder(&liar)).await;
            assert!(text.contains(said), "{lie:?}: {text}");
        }
    }
}
