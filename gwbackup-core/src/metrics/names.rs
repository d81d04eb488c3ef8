//! The closed table of names.

use std::fmt;

/// What a value says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sort {
    /// How something stands.
    Gauge,
    /// By how much a counter grew: values add up.
    Counter,
    /// How high a counter stands that is kept elsewhere: the last value counts.
    Total,
    /// How long something took, once: for a histogram.
    Duration,
}

/// What a value is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Seconds; of a time, since 1970-01-01T00:00:00Z.
    Seconds,
    /// Bytes.
    Bytes,
    /// Events.
    Count,
    /// A number without unit.
    None,
}

macro_rules! labels {
    ($($name:ident = $text:literal, $meaning:literal;)*) => {
        /// What a sample is of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Label {
            $(#[doc = $meaning] $name,)*
        }

        impl Label {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What it says, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }
        }
    };
}

labels! {
    Gateway = "gateway", "Whose gateway: the application of its backups.";
    Environment = "environment", "Which stage of it.";
    Type = "type", "`full` or `incremental`; of a backup that failed what was asked for, `auto` too.";
    Status = "status", "`Success`, `Partial`, `Failed`; of a restore `RolledBack`, `RollbackIncomplete`, `Cancelled` too.";
    Reason = "reason", "Why not `Success`: `gaps`, `copies`, or the kind of the error, such as `denied`.";
    Stage = "stage", "Which part of the operation; `all` is the whole.";
    Kind = "kind", "The kind of resource.";
    Cause = "cause", "Why it was left out.";
    Form = "form", "`raw`: all documents; `stored`: the archive.";
    Sink = "sink", "The copy's URL, without secrets.";
    Depth = "depth", "`manifest`, `checksum` or `full`.";
    Verdict = "verdict", "`Pass`, `PassWithFindings`, `Fail`; `NotRun` where it could not begin.";
    Version = "version", "The library's version.";
}

macro_rules! metrics {
    ($($name:ident = $text:literal, $sort:ident, [$($label:ident),*], $meaning:literal;)*) => {
        /// What can be measured. The units are at the end of the names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Metric {
            $(#[doc = $meaning] $name,)*
        }

        impl Metric {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("gwbackup_", $text),)*
                }
            }

            /// What its values say.
            pub fn sort(self) -> Sort {
                match self {
                    $(Self::$name => Sort::$sort,)*
                }
            }

            /// The labels that its samples may have.
            pub fn labels(self) -> &'static [Label] {
                match self {
                    $(Self::$name => &[$(Label::$label),*],)*
                }
            }

            /// What it is, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }
        }
    };
}

metrics! {
    BackupLastSuccess = "backup_last_success_timestamp_seconds", Gauge, [Gateway, Environment],
        "When the last backup ended that is a `Success`.";
    BackupLastAttempt = "backup_last_attempt_timestamp_seconds", Gauge, [Gateway, Environment],
        "When the last backup began.";
    BackupLastStatus = "backup_last_status", Gauge, [Gateway, Environment],
        "How the last backup ended: 1 `Success`, 0.5 `Partial`, 0 `Failed`.";
    BackupAttempts = "backup_attempts_total", Counter, [Gateway, Environment, Type],
        "Backups that were begun.";
    BackupResults = "backup_results_total", Counter, [Gateway, Environment, Type, Status, Reason],
        "Backups that ended.";
    BackupDuration = "backup_duration_seconds", Duration, [Gateway, Environment, Type, Stage],
        "How long a backup took that did not fail; `capture` is the reading of the gateway.";
    BackupResources = "backup_resources", Gauge, [Gateway, Environment, Kind],
        "Resources in the last `Success`.";
    BackupOmitted = "backup_omitted_resources", Gauge, [Gateway, Environment, Kind, Cause],
        "Parts that the last backup could not read.";
    BackupSize = "backup_size_bytes", Gauge, [Gateway, Environment, Form],
        "Size of the last backup that did not fail.";
    CopiesHealthy = "copies_healthy", Gauge, [Gateway, Environment],
        "Copies on which the newest backup that did not fail is known to be right.";
    CopiesRequired = "copies_required", Gauge, [Gateway, Environment],
        "Copies on which it is wanted.";
    Rpo = "rpo_seconds", Gauge, [Gateway, Environment],
        "How much the last restore or drill lost, measured.";
    RpoTarget = "rpo_target_seconds", Gauge, [Gateway, Environment],
        "How much may be lost.";
    Rto = "rto_seconds", Gauge, [Gateway, Environment],
        "How long the last restore or drill took, measured.";
    RtoTarget = "rto_target_seconds", Gauge, [Gateway, Environment],
        "How long a recovery may take.";
    SinkUp = "sink_up", Gauge, [Sink],
        "Whether the copy answered as itself when the repository was opened: 1 or 0.";
    ScrubLastSuccess = "scrub_last_success_timestamp_seconds", Gauge, [Sink],
        "When every byte of every backup was last found whole on this copy.";
    ScrubCorrupt = "scrub_corrupt_objects_total", Counter, [Sink],
        "Objects found damaged or missing, healed ones too.";
    ScrubHealed = "scrub_healed_objects_total", Counter, [Sink],
        "Objects that were brought back from another copy.";
    VerifyLastSuccess = "verify_last_success_timestamp_seconds", Gauge, [Depth],
        "When a look at all backups, or at a sample of all, last found nothing wrong.";
    RestoreAttempts = "restore_attempts_total", Counter, [Gateway, Environment],
        "Restores that were begun, carried on or turned round.";
    RestoreResults = "restore_results_total", Counter, [Gateway, Environment, Status],
        "Restores that ended.";
    RestoreDuration = "restore_duration_seconds", Duration, [Gateway, Environment, Stage],
        "How long each part of a restore took.";
    DrillLastSuccess = "restore_test_last_success_timestamp_seconds", Gauge, [Gateway, Environment],
        "When the last drill ended that did not fail.";
    DrillResults = "restore_test_results_total", Counter, [Gateway, Environment, Verdict],
        "Drills that ended.";
    DrillOverdue = "restore_test_overdue", Gauge, [Gateway, Environment],
        "Whether the policy wants a drill by now: 1 or 0.";
    AuditEvents = "audit_events_total", Total, [],
        "Events in the log.";
    AuditChainOk = "audit_chain_ok", Gauge, [],
        "Whether the whole log was replayed and nothing grave was found: 1 or 0.";
    BuildInfo = "build_info", Gauge, [Version],
        "Always 1.";
}

impl Metric {
    /// What its values are counted in: the end of its name says it.
    pub fn unit(self) -> Unit {
        let name = self.name();
        let units = [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes), ("_total", Unit::Count)];
        let found = units.into_iter().find(|(end, _)| name.ends_with(end));
        found.map_or(Unit::None, |(_, unit)| unit)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_their_values_are() {
        for metric in Metric::ALL.iter().copied() {
            let (name, sort) = (metric.name(), metric.sort());
            let legal = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(name.starts_with("gwbackup_") && name.chars().all(legal), "{name}");
            let counts = matches!(sort, Sort::Counter | Sort::Total);
            assert_eq!(counts, name.ends_with("_total"), "{name}");
            assert_eq!(sort == Sort::Duration, name.ends_with("_duration_seconds"), "{name}");
            assert!(metric.labels().is_sorted(), "{name}");
            assert_eq!(Metric::ALL.iter().filter(|other| other.name() == name).count(), 1);
        }
        assert_eq!(Metric::BackupSize.unit(), Unit::Bytes);
        assert_eq!(Metric::BackupLastStatus.unit(), Unit::None);
    }

    #[test]
    fn each_label_is_of_use() {
        for label in Label::ALL {
            assert!(Metric::ALL.iter().any(|metric| metric.labels().contains(label)), "{label}");
        }
    }
}
