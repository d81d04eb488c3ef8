//! The tour.
use crate::{cli::Quickstart, output::Outcome, session::Session};
pub(crate) async fn run(_: &Session, _: Quickstart) -> gwbackup::Result<Outcome> {
    Ok(Outcome::default())
}
