//! The arguments.

mod value;

use std::path::PathBuf;

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use gwbackup::backup::BackupType;
use gwbackup::clock::Timestamp;
use gwbackup::crypt::Suite;
use gwbackup::plan::{Existing, Selector};
use gwbackup::policy::Span;
use gwbackup::source::Purpose;
use gwbackup::verify::Depth;
use uuid::Uuid;

use value::{
    app_env, backup_type, depth, pair, percent, policy, purpose, run_id, span, suite, time,
};

pub(crate) const WELCOME: &str = "\
Start here: gwbackup quickstart
  (cargo run --example gwbackup --features kong -- quickstart)

";

const CODES: &str = "\
Exit codes:
  0 ok   1 failure   2 differences (--detailed-exitcode)   3 Partial
  10 repository or backup not found   11 lease held   12 key missing, wrong or lacking a right
  13 permission or preflight failed   14 integrity failure   15 refused, or consent is missing
  16 restore failed, rolled back   17 restore failed, roll back incomplete
  64 usage or configuration   130 cancelled";

/// Backs up and restores the configuration of API gateways.
#[derive(Debug, Parser)]
#[command(name = "gwbackup", disable_version_flag = true, before_help = WELCOME.trim_end(), after_help = CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    /// Print version, stored formats and features built in
    #[arg(long)]
    pub(crate) version: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Configuration file (TOML)
    #[arg(long, global = true, value_name = "FILE", env = "GWBACKUP_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// A copy of the repository, for example `/mnt/a?medium=disk&site=berlin`; repeat for more
    /// (in the environment: one per line). The first is the log's home
    #[arg(long, global = true, value_name = "URL", env = "GWBACKUP_REPO", hide_env_values = true)]
    pub(crate) repo: Vec<String>,
    /// A key, for example `key-file:///path`; repeat for more (in the environment: one per line).
    /// Each opens the backups alone
    #[arg(long, global = true, value_name = "URL", env = "GWBACKUP_KEY", hide_env_values = true)]
    pub(crate) key: Vec<String>,
    /// A place for metrics, for example `emf:///var/log/gwbackup.log`; repeat for more (in the
    /// environment: one per line)
    #[arg(long, global = true, value_name = "URL", env = "GWBACKUP_METRICS")]
    pub(crate) metrics: Vec<String>,
    /// What this machine remembers; default: the platform's folder for state
    #[arg(long, global = true, value_name = "DIR", env = "GWBACKUP_STATE")]
    pub(crate) state: Option<PathBuf>,
    /// Write to this repository although nothing here proves its id: only after comparing the id
    /// with what `init` printed
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) trust_new: Option<String>,
    /// Results as JSON on stdout; the last line is the result
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Who acts, for the audit log
    #[arg(long, global = true, value_name = "NAME", env = "GWBACKUP_ACTOR")]
    pub(crate) actor: Option<String>,
    /// Why, for the audit log
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// What vouches for who acts, such as auth=mfa; repeat for more (in the environment: one per line)
    #[arg(long, global = true, value_name = "K=V", env = "GWBACKUP_CLAIM")]
    pub(crate) claim: Vec<String>,
    /// Consent to what would be asked before a gateway is written; needed without a terminal
    #[arg(long, global = true)]
    pub(crate) yes: bool,
    /// Say what would be written, and write nothing
    #[arg(long, global = true)]
    pub(crate) dry_run: bool,
    /// `diff`, `drift`, `plan`: end with 2 when there are differences
    #[arg(long, global = true)]
    pub(crate) detailed_exitcode: bool,
    /// More log lines on stderr; repeat for more. `RUST_LOG` chooses in detail
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Form of the log lines
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub(crate) log_format: LogFormat,
    /// Colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: ColorChoice,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole tour: backup, disaster, restore, report, with an embedded gateway
    #[cfg(feature = "kong")]
    Quickstart(Quickstart),
    /// Create a repository, and a key file where it is missing
    Init(Init),
    /// Take a backup to every copy
    Backup(Backup),
    /// List the backups
    List(List),
    /// Show a backup's manifest, or resources in it
    Show(Show),
    /// Write a backup as one readable file, secrets included
    Export(Export),
    /// Check that backups are whole, on every copy
    Verify(Verify),
    /// Check every byte of every backup on every copy
    Scrub {
        /// Bring back what a copy has lost or damaged, from another
        #[arg(long)]
        heal: bool,
    },
    /// Compare two backups
    Diff {
        /// The earlier one
        before: String,
        /// The later one
        after: String,
    },
    /// Compare a backup with the live gateway
    Drift {
        /// URL, path, or name from the configuration
        gateway: String,
        /// Id, name, `latest`, `latest:APP/ENV` or `@TIME`
        #[arg(default_value = "latest")]
        backup: String,
    },
    /// Every version of one resource across the backups, or the history of a backup's resources
    History(History),
    /// Show what a restore would write
    Plan(PlanArgs),
    /// Write a backup back, compare, report
    Restore(Restore),
    /// Go on with a run, in the direction in which it stopped
    Resume(Resume),
    /// Turn a run round: the gateway goes back to what it was
    Rollback(Run),
    /// Approve a stored plan, for the log: exactly this plan may be carried out by somebody else
    Approve {
        /// The plan, as `plan --out FILE` wrote it
        plan: PathBuf,
    },
    /// Rehearse a restore: of the newest backup or one by lot, onto a scratch gateway; compare,
    /// probe, take it away again
    Drill(Drill),
    /// The checklist of a backup or of a restore, from what the log tells
    Runbook {
        /// A run's id, or a backup: id, name, `latest`, `latest:APP/ENV` or `@TIME`
        what: String,
        /// Write it to this new file: JSON for `.json`, one page for `.html`, else Markdown
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Try every right that an operation will need, without side effect
    Preflight {
        /// URL, path, or name from the configuration
        gateway: String,
        /// Which operation
        #[arg(long = "for", value_name = "OPERATION", default_value = "backup", value_parser = purpose)]
        purpose: Purpose,
    },
    /// The log of everything that happened
    Audit {
        #[command(subcommand)]
        what: Audit,
    },
    /// An overview of the repository
    Status,
    /// The keys that open the repository
    Keys {
        #[command(subcommand)]
        what: Keys,
    },
    /// The repository's copies
    Copies {
        #[command(subcommand)]
        what: Copies,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[cfg(feature = "kong")]
#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// Where everything is written; default: a new temporary directory
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Alter one resource behind the restore's back
    #[arg(long)]
    pub(crate) sabotage: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gwbackup init --repo /mnt/a --key /etc/gwbackup.key --kit /media/usb/kit.txt
  gwbackup init --repo '/mnt/a?medium=disk' --repo '/mnt/b?medium=tape&offsite=true' --key ~/k")]
pub(crate) struct Init {
    /// Where the recovery kit is written (0600, outside every copy); without it, the kit is shown
    /// once on stderr
    #[arg(long, value_name = "FILE")]
    pub(crate) kit: Option<PathBuf>,
    /// How archives are sealed: aes-256-gcm or xchacha20-poly1305
    #[arg(long, default_value = "aes-256-gcm", value_parser = suite)]
    pub(crate) suite: Suite,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gwbackup backup kong.yml --app shop --env prod
  gwbackup backup shop-prod --type full --tag ticket=OPS-17 --description 'before v42'
  gwbackup backup kong.yml --app shop --env prod --only service --only 'route/checkout-*'")]
pub(crate) struct Backup {
    /// URL, path, or name from the configuration
    pub(crate) gateway: String,
    /// Whose gateway; default: from the configuration
    #[arg(long)]
    pub(crate) app: Option<String>,
    /// Which stage of it: prod, test, dev; default: from the configuration
    #[arg(long)]
    pub(crate) env: Option<String>,
    /// auto, full or incremental
    #[arg(long = "type", value_name = "TYPE", default_value = "auto", value_parser = backup_type)]
    pub(crate) kind: BackupType,
    /// Only these: KIND, KIND/ID-OR-NAME or tag:NAME, `*` for any text; repeat for more
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) only: Vec<Selector>,
    /// A tag; repeat for more
    #[arg(long, value_name = "K=V", value_parser = pair)]
    pub(crate) tag: Vec<(String, String)>,
    /// What people should read about it
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Leave secrets out
    #[arg(long)]
    pub(crate) without_secrets: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this application and environment
    #[arg(long, value_name = "APP/ENV")]
    pub(crate) gateway: Option<String>,
    /// Only those that began at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) since: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Id, name, `latest`, `latest:APP/ENV` or `@TIME`
    pub(crate) backup: String,
    /// Resources: KIND, KIND/ID-OR-NAME or tag:NAME, `*` for any text
    pub(crate) resource: Option<Selector>,
    /// Show secrets
    #[arg(long)]
    pub(crate) reveal_secrets: bool,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// The resource: KIND/ID, as `show` gives them; with `--backup` any selection of resources
    #[arg(required_unless_present = "backup")]
    pub(crate) resource: Option<Selector>,
    /// A history that is kept elsewhere, which says what was valid when: its URL, or the name of a
    /// gateway whose configuration has one
    #[arg(long, value_name = "URL")]
    pub(crate) link: Option<String>,
    /// Only backups of this application and environment
    #[arg(long, value_name = "APP/ENV", value_parser = app_env, conflicts_with = "backup")]
    pub(crate) gateway: Option<(String, String)>,
    /// What the link has for the resources of this backup, instead
    #[arg(long, value_name = "BACKUP", requires = "link")]
    pub(crate) backup: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Id, name, `latest`, `latest:APP/ENV` or `@TIME`
    pub(crate) backup: String,
    /// Form of the file
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ExportFormat,
    /// The new file, readable by its owner alone; default: stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One array
    #[default]
    Json,
    /// One resource per line; a `jsonl:` gateway
    Jsonl,
    /// A declarative file of Kong: `kong config parse`, `db_import`, a node without a database
    #[cfg(feature = "kong")]
    Kong,
    /// A file of decK, without what decK has no place for
    #[cfg(feature = "kong")]
    Deck,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Id, name, `latest`, `latest:APP/ENV` or `@TIME`; default: all
    pub(crate) backup: Option<String>,
    /// All backups
    #[arg(long, conflicts_with = "backup")]
    pub(crate) all: bool,
    /// manifest, checksum (every byte) or full (opened and read)
    #[arg(long, default_value = "checksum", value_parser = depth)]
    pub(crate) depth: Depth,
    /// Only so many percent of the backups, left to chance
    #[arg(long, value_name = "N%", value_parser = percent, conflicts_with = "backup")]
    pub(crate) sample: Option<u8>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Id, name, `latest`, `latest:APP/ENV` or `@TIME`
    pub(crate) backup: String,
    /// The gateway: URL, path, or name from the configuration
    #[arg(long, value_name = "GATEWAY")]
    pub(crate) onto: String,
    #[command(flatten)]
    pub(crate) options: PlanOptions,
    /// Write the plan to this new file: one page for `.html`, Markdown for `.md`, else JSON, which
    /// `restore --plan` takes
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanOptions {
    /// What happens to what exists and differs: update (the default), skip, replace, adopt or fail;
    /// KIND=POLICY for one kind; repeat for more
    #[arg(long, value_name = "POLICY", value_parser = policy)]
    pub(crate) policy: Vec<(Option<String>, Existing)>,
    /// Delete what the backup does not know
    #[arg(long)]
    pub(crate) prune: bool,
    /// Most deletions, in percent of the gateway's resources
    #[arg(long, value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) prune_limit: u8,
    /// Only these, and what they need: KIND, KIND/ID-OR-NAME or tag:NAME; repeat for more
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) only: Vec<Selector>,
    /// What things and texts of the backup are called in the gateway: `[[id]]`, `[[exact]]` and
    /// `[[token]]` (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) map: Option<PathBuf>,
    /// Secrets that the backup does not hold, or that shall be others (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gwbackup restore latest:shop/prod --onto kong.yml --dry-run
  gwbackup restore @2026-11-20T18:00:00Z --onto kong.yml --only 'service/checkout' --yes
  gwbackup plan latest --onto kong.yml --out plan.json && gwbackup restore --plan plan.json --yes")]
pub(crate) struct Restore {
    /// Id, name, `latest`, `latest:APP/ENV` or `@TIME`
    #[arg(required_unless_present = "plan", conflicts_with = "plan")]
    pub(crate) backup: Option<String>,
    /// The gateway: URL, path, or name from the configuration
    #[arg(long, value_name = "GATEWAY", required_unless_present = "plan")]
    pub(crate) onto: Option<String>,
    /// Carry out this plan, if it is still what would be done
    #[arg(long, value_name = "FILE", conflicts_with_all = ["policy", "prune", "prune_limit", "only", "map"])]
    pub(crate) plan: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) options: PlanOptions,
    #[command(flatten)]
    pub(crate) consent: Consent,
    #[command(flatten)]
    pub(crate) probes: Probes,
    /// Write the ids that the restore made, as a mapping
    #[arg(long, value_name = "FILE")]
    pub(crate) map_out: Option<PathBuf>,
    /// Write the go-live report: JSON for `.json`, one page for `.html`, else Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Consent {
    /// Restore from a backup in which a part is missing
    #[arg(long)]
    pub(crate) accept_partial: bool,
    /// Destroy values that no roll back could bring back
    #[arg(long)]
    pub(crate) accept_loss: bool,
    /// Restore though the policy demands a drill of the backup, and none has passed
    #[arg(long)]
    pub(crate) accept_undrilled: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Probes")]
pub(crate) struct Probes {
    /// Probe the gateway's behaviour at its data plane, `http://HOST:PORT` or `https://HOST:PORT`;
    /// repeat for both. What is probed follows from the backup
    #[arg(long, value_name = "URL")]
    pub(crate) probe: Vec<url::Url>,
    /// Probes and loads of your own besides (TOML, or JSON for `.json`)
    #[arg(long, value_name = "FILE", requires = "probe")]
    pub(crate) scenario: Option<PathBuf>,
    /// Probe what this backup promises instead of the one that is restored
    #[arg(long, value_name = "BACKUP", requires = "probe")]
    pub(crate) probes_of: Option<String>,
    /// Also what may disturb others: uses up limits, calls by methods that write
    #[arg(long, requires = "probe")]
    pub(crate) intrusive: bool,
    /// How long a failure may be one that passes
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    pub(crate) probe_patience: Span,
    /// The address by which the gateway knows this machine
    #[arg(long, value_name = "IP", requires = "probe")]
    pub(crate) probe_address: Option<std::net::IpAddr>,
    /// PEM file of authorities to trust at the data plane
    #[arg(long, value_name = "FILE", requires = "probe")]
    pub(crate) probe_ca: Option<PathBuf>,
    /// PEM file of the certificate to show at the data plane, with its private key
    #[arg(long, value_name = "FILE", requires = "probe")]
    pub(crate) probe_identity: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gwbackup drill --onto kong+http://127.0.0.1:9001 --probe http://127.0.0.1:9000
  gwbackup drill --random --seed 7 --window 30d --gateway shop/prod --onto scratch.yml --yes")]
pub(crate) struct Drill {
    /// The scratch gateway: URL, path, or name from the configuration
    #[arg(long, value_name = "GATEWAY")]
    pub(crate) onto: String,
    /// One by lot instead of the newest
    #[arg(long)]
    pub(crate) random: bool,
    /// The lot: the same seed chooses the same backup among the same; default: by the time
    #[arg(long, value_name = "N", requires = "random")]
    pub(crate) seed: Option<u64>,
    /// How old a backup may be that takes part
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = span)]
    pub(crate) window: Span,
    /// Only backups of this application and environment
    #[arg(long, value_name = "APP/ENV", value_parser = app_env)]
    pub(crate) gateway: Option<(String, String)>,
    /// The gateway may hold something: what is in the way is changed, and changed back
    #[arg(long)]
    pub(crate) onto_occupied: bool,
    /// Leave what was restored
    #[arg(long)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) probes: Probes,
    #[command(flatten)]
    pub(crate) consent: Consent,
    /// Write the report: JSON for `.json`, one page for `.html`, else Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The run's id; `status` shows those that are open
    #[arg(value_parser = run_id)]
    pub(crate) run: Uuid,
    /// The gateway, where it is to be reached otherwise than then
    #[arg(long, value_name = "GATEWAY")]
    pub(crate) onto: Option<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
    /// Write the go-live report: JSON for `.json`, one page for `.html`, else Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    pub(crate) run: Run,
    #[command(flatten)]
    pub(crate) probes: Probes,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Audit {
    /// Show every event
    List,
    /// Replay the log: chain, signatures, rights
    Verify,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Keys {
    /// Show whose keys open it
    List,
    /// Wrap every key anew, after a rotation inside a key service; archives are not touched
    Rotate,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Copies {
    /// Show the copies, and how they stand
    List,
}
