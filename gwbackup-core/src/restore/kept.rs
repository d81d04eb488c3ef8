//! Identities that earlier runs found or made.

use std::sync::Arc;

use super::about::EndFacts;
use super::journal::{Journal, Record};
use super::store::VaultRecords;
use crate::catalog::EventKind;
use crate::context::Context;
use crate::error::{ErrorKind, Result};
use crate::model::IdMap;
use crate::vault::Vault;

/// The identities that the last runs between these two gateways found or made.
pub(super) async fn kept_map(
    vault: &Arc<Vault>,
    cx: &Context,
    source: &str,
    target: &str,
) -> Result<IdMap> {
    let events = match vault.events(cx).await {
        Ok(events) => events,
        Err(e) if e.kind() == ErrorKind::Unavailable => return Ok(IdMap::default()),
        Err(e) => return Err(e),
    };
    for event in events.iter().rev().filter(|e| e.counts && e.kind == EventKind::RESTORE_END) {
        let Some(facts) = event.data::<EndFacts>()? else { continue };
        if facts.source != source || facts.target != target {
            continue;
        }
        let store = VaultRecords { vault: Arc::clone(vault), run: facts.run };
        let records = match Journal::load(cx, Arc::new(store)).await {
            Ok((_, records)) => records,
            // A journal that is gone says nothing; an older one may.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        if let Some(Record::End { map, .. }) = records.last() {
            return Ok(map.clone());
        }
    }
    Ok(IdMap::default())
}
