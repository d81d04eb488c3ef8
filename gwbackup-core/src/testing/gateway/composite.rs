//! A whole api written by one step.

use futures_util::TryStreamExt;

use super::work::Work;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Action, Change, Effect, Key, Resolved, Resource, Scope, Side};

/// `Conflict` when somebody else changed a part of the scope that the step is going to write,
/// although no change names it.
pub(super) async fn check(work: &Work<'_>, scope: &Scope) -> Result<()> {
    let before: Vec<Resolved> = work.states.read(Side::Before, scope).try_collect().await?;
    let after: Vec<Resolved> = work.states.read(Side::After, scope).try_collect().await?;
    for state in &after {
        let key = &state.resource.key;
        if named(work, key) {
            continue;
        }
        let Some(live) = work.gateway.look(key).await? else { continue };
        let was = before.iter().find(|state| state.resource.key == *key);
        let fits = [Some(state), was].into_iter().flatten();
        if !fits.into_iter().any(|state| work.same(&live, &work.resolved(state).0)) {
            let error = Error::new(ErrorKind::Conflict, "it is neither as before nor as after");
            return Err(error.on(key).help("plan again"));
        }
    }
    Ok(())
}

/// Performs all changes in their order, noting each, then makes the rest of the scope right.
pub(super) async fn write(work: &mut Work<'_>, scope: &Scope) -> Result<()> {
    let step = work.step;
    let is_root = |change: &&Change| scope.under.contains(change.target_key());
    if let Some(root) = step.changes.iter().find(is_root)
        && root.action == Action::Delete
    {
        return delete(work, root).await;
    }
    let mut failed: Option<ErrorKind> = None;
    for change in &step.changes {
        if let Some(kind) = failed {
            let error = Error::new(kind, "not done, since an earlier part of its api failed");
            work.conclude(change, Effect::Failed(error.on(&change.key)));
            continue;
        }
        if work.write(change).await? {
            work.checkpoint().await?;
        } else {
            failed = Some(match work.last_effect() {
                Some(Effect::Failed(error)) => error.kind(),
                _ => ErrorKind::Other,
            });
        }
    }
    if failed.is_none() {
        tidy(work, scope).await?;
    }
    Ok(())
}

/// The api goes with all that lies below it, by one call.
async fn delete(work: &mut Work<'_>, root: &Change) -> Result<()> {
    let step = work.step;
    let done = work.write(root).await?;
    let fate = |work: &Work<'_>| match work.last_effect() {
        Some(Effect::Failed(error)) => {
            Effect::Failed(Error::new(error.kind(), "not done, since its api could not be deleted"))
        }
        Some(Effect::AlreadyThere) => Effect::AlreadyThere,
        _ => Effect::Deleted,
    };
    let effects: Vec<(&Change, Effect)> = step
        .changes
        .iter()
        .filter(|change| change.no != root.no)
        .map(|change| (change, fate(work)))
        .collect();
    for (change, effect) in effects {
        work.conclude(change, effect);
    }
    if done { work.checkpoint().await } else { Ok(()) }
}

/// What no change names is put right as well: what the step's own calls disturbed or brought along.
async fn tidy(work: &mut Work<'_>, scope: &Scope) -> Result<()> {
    let after: Vec<Resolved> = work.states.read(Side::After, scope).try_collect().await?;
    let wanted: Vec<Resource> = after.iter().map(|state| work.resolved(state).0).collect();
    for resource in &wanted {
        if named(work, &resource.key) {
            continue;
        }
        let Some(live) = work.gateway.look(&resource.key).await? else { continue };
        if !work.same(&live, resource) {
            let body = work.body(resource, Some(&live))?;
            work.gateway.0.vendor.update(&live.key, &body).await?;
            work.side_effect(live.key, Effect::Updated);
        }
    }
    for key in work.came.clone() {
        let kept = work.made.values().any(|made| *made == key)
            || wanted.iter().any(|resource| places(work, resource).contains(&key));
        if !kept && work.gateway.look(&key).await?.is_some() {
            work.gateway.0.vendor.delete(&key).await?;
            work.side_effect(key, Effect::Deleted);
        }
    }
    Ok(())
}

/// Whether a change of the step is about this thing.
fn named(work: &Work<'_>, key: &Key) -> bool {
    work.step.changes.iter().any(|change| change.key == *key || change.target_key() == key)
}

/// Where a wanted thing may be: under its own key, or below a parent that this step made.
fn places(work: &Work<'_>, resource: &Resource) -> Vec<Key> {
    let mut keys = vec![resource.key.clone()];
    if let Some(parent) = resource.parent.as_ref().and_then(|parent| work.made.get(parent))
        && let Ok(id) = parent.id.child(&resource.key.id.last())
    {
        keys.push(Key::new(resource.key.kind.clone(), id));
    }
    keys
}
