//! Keys of the repository: whose they are, and their wraps made anew.

use gwbackup::Result;
use gwbackup::repository::RewrapReport;
use serde_json::json;

use crate::output::{Outcome, PARTIAL};
use crate::session::Session;
use crate::table::{size, table};

pub(crate) async fn list(session: &Session) -> Result<Outcome> {
    let repository = session.repository().await?;
    let recipients = repository.recipients();
    let mut rows = Vec::new();
    for one in recipients {
        let rights: Vec<&str> = one.rights.iter().map(|right| right.as_str()).collect();
        let (kind, state) = (one.kind.name(), format!("{:?}", one.state).to_lowercase());
        let version = one.version.to_string();
        rows.push(vec![one.id.clone(), version, kind.to_owned(), rights.join(","), state]);
    }
    Outcome::new(&recipients, table(&["RECIPIENT", "VERSION", "TYPE", "RIGHTS", "STATE"], &rows))
}

pub(crate) async fn rotate(session: &Session) -> Result<Outcome> {
    let repository = session.repository().await?;
    if session.global.dry_run {
        let result = json!({ "rewrapped": 0, "bytes_written": 0, "dry_run": true });
        return Outcome::new(&result, "would wrap every key anew\n".to_owned());
    }
    let report = repository.rewrap(&session.cx).await?;
    let whole = report.left.is_empty() && report.away.is_empty();
    let code = if whole { 0 } else { PARTIAL };
    Ok(Outcome::new(&report, told(&report))?.with_code(code))
}

fn told(report: &RewrapReport) -> String {
    let written = size(report.bytes_written);
    let mut text = format!("{} keys wrapped anew, {written} written\n", report.rewrapped);
    for (of, why) in [
        (
            report.carried.iter().collect::<Vec<_>>(),
            "stays wrapped as it was, its key was not given",
        ),
        (report.left.iter().collect(), "is left as it was, no key given here may make it anew"),
        (report.away.iter().collect(), "did not answer: run it again when the copy is back"),
    ] {
        for one in of {
            text += &format!("  {one} {why}\n");
        }
    }
    text
}
