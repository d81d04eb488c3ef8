//! How changes are cut into groups, and where room is made early.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::arranged::{Arranged, Early, Room, with_early};
use super::decided::Links;
use super::order::{Order, Stuck, owners};
use crate::error::Result;
use crate::model::{Action, Change, ChangeNo, Group, Id, Key, Rules, Undo};

impl Arranged {
    /// Asks the target to cut, adds what must be done early, and orders. `Invalid` when the groups do
    /// not hold each change exactly once, `Refused` when no order exists.
    pub(crate) fn forward(
        changes: Vec<Change>,
        links: &[Links],
        rules: &Rules,
        arrange: impl Fn(&[Change]) -> Vec<Group>,
    ) -> Result<Self> {
        if changes.is_empty() {
            return Ok(Self::default());
        }
        let groups = apart(arrange(&changes), &changes, links);
        let mut made = Self { changes, groups, ..Self::default() };
        let removals = made.removals(links)?;
        made.add(removals, &arrange);
        let links = with_early(links.to_vec(), &made.early);
        let mut order = Order::new(&made, &links, rules, false)?;
        while let Err(Stuck) = order.run(&mut made.waves) {
            let renames = order.renames(&made, &links)?;
            let first = made.groups.len();
            let holders: Vec<ChangeNo> = renames.iter().map(|(of, _)| *of).collect();
            made.add(renames, &arrange);
            owners(&made.changes, &made.groups)?;
            made.waves.extend(by_lane(&made.groups, first));
            order.release(&holders);
        }
        Ok(made)
    }

    /// The way back of what was done: `done` of the first arrangement, in any order, with its links.
    pub(crate) fn backward(
        &self,
        done: Vec<Change>,
        links: &[Links],
        rules: &Rules,
        arrange: impl Fn(&[Change]) -> Vec<Group>,
    ) -> Result<Self> {
        let early: BTreeSet<ChangeNo> = self.early.iter().map(|early| early.no).collect();
        // A target sees a resource once in what it cuts.
        let (ahead, main): (Vec<Change>, Vec<Change>) =
            done.iter().cloned().partition(|change| early.contains(&change.no));
        let cut = |part: &[Change]| if part.is_empty() { Vec::new() } else { arrange(part) };
        let mut groups = apart(cut(&main), &done, links);
        groups.extend(cut(&ahead));
        let early = self.early.clone();
        let mut made = Self { changes: done, groups, waves: Vec::new(), early };
        let mut waves = Vec::new();
        let mut order = Order::new(&made, links, rules, true)?;
        if order.run(&mut waves).is_err() {
            return Err(order.cycle(&made));
        }
        made.waves = waves;
        Ok(made)
    }

    /// Changes whose resource would go along with one that another call replaces.
    fn removals(&self, links: &[Links]) -> Result<Vec<(ChangeNo, Room)>> {
        let group_of = owners(&self.changes, &self.groups)?;
        let replaced: HashMap<&Key, ChangeNo> = self
            .changes
            .iter()
            .filter(|change| change.action == Action::Replace)
            .map(|change| (change.target_key(), change.no))
            .collect();
        let apart = |change: &Change, with: &Key| {
            let other = replaced.get(with).and_then(|no| group_of.get(no));
            other.is_some() && other != group_of.get(&change.no)
        };
        let changes = self.changes.iter().zip(links);
        let going = changes.filter(|(change, links)| links.falls.iter().any(|k| apart(change, k)));
        Ok(going.map(|(change, _)| (change.no, Room::Removal)).collect())
    }

    /// Adds early writes, cut by themselves: a target sees a resource once in what it cuts.
    fn add(&mut self, early: Vec<(ChangeNo, Room)>, arrange: impl Fn(&[Change]) -> Vec<Group>) {
        let by_no: HashMap<ChangeNo, &Change> = self.changes.iter().map(|c| (c.no, c)).collect();
        let mut new = Vec::new();
        for ((of, what), n) in early.into_iter().zip(self.changes.len()..) {
            let Some(change) = by_no.get(&of) else { continue };
            let no = ChangeNo(u32::try_from(n).unwrap_or(u32::MAX));
            new.push((Early { no, of, what: what.clone() }, write(change, no, &what)));
        }
        if new.is_empty() {
            return;
        }
        let (early, changes): (Vec<Early>, Vec<Change>) = new.into_iter().unzip();
        self.groups.extend(arrange(&changes));
        self.changes.extend(changes);
        self.early.extend(early);
    }
}

/// Takes changes out of their group that take a name from another of it: that needs one call after
/// the other, unless the call writes a scope whole.
fn apart(groups: Vec<Group>, changes: &[Change], links: &[Links]) -> Vec<Group> {
    let all: HashMap<ChangeNo, (&Change, &Links)> =
        changes.iter().zip(links).map(|(change, links)| (change.no, (change, links))).collect();
    let mut cut = Vec::with_capacity(groups.len());
    for mut group in groups {
        if group.rewrites.is_some() || group.changes.len() < 2 {
            cut.push(group);
            continue;
        }
        let members = group.changes.iter().filter_map(|no| all.get(no));
        let holders: HashMap<&Key, ChangeNo> =
            members.clone().map(|(change, _)| (change.target_key(), change.no)).collect();
        let taking: BTreeSet<ChangeNo> = members
            .flat_map(|(change, links)| links.claims.iter().map(|(key, _)| (change.no, key)))
            .filter_map(|(no, key)| Some((no, *holders.get(key)?)))
            .flat_map(|(no, holder)| [no, holder])
            .collect();
        group.changes.retain(|no| !taking.contains(no));
        let alone = |no| Group { changes: vec![no], ..group.clone() };
        cut.extend(taking.into_iter().map(alone));
        cut.extend(Some(group).filter(|group| !group.changes.is_empty()));
    }
    cut
}

/// The early write of a change.
fn write(change: &Change, no: ChangeNo, what: &Room) -> Change {
    let there = change.there.clone();
    match what {
        Room::Removal => Change {
            no,
            key: change.target_key().clone(),
            there: None,
            parent: change.parent.as_ref().and_then(|parent| parent_there(change, parent)),
            action: Action::Delete,
            ..change.clone()
        },
        Room::Rename(_) => Change { no, there, undo: Undo::Exact, ..change.clone() },
    }
}

/// The parent's key in the target, before the run: its id ends where the resource's own part begins.
fn parent_there(change: &Change, parent: &Key) -> Option<Key> {
    let own = change.key.id.as_str().get(parent.id.as_str().len()..)?.matches('/').count();
    let mut id = change.target_key().id.as_str();
    for _ in 0..own {
        id = id.rsplit_once('/')?.0;
    }
    Some(Key::new(parent.kind.clone(), Id::new(id).ok()?))
}

/// The groups from `first` on, which wait for nothing, in as few waves as their lanes allow.
fn by_lane(groups: &[Group], first: usize) -> Vec<Vec<usize>> {
    let mut waves: Vec<Vec<usize>> = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (n, group) in groups.iter().enumerate().skip(first) {
        let turn = group.lane.as_deref().map_or(0, |lane| {
            let count = seen.entry(lane).or_default();
            std::mem::replace(count, *count + 1)
        });
        if waves.len() <= turn {
            waves.resize_with(turn + 1, Vec::new);
        }
        waves[turn].push(n);
    }
    waves
}
