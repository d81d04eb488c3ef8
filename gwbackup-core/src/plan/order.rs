//! In which order the groups of a plan are written.

use std::collections::{BTreeSet, HashMap};

use super::decide::Links;
use crate::error::{Error, Result};
use crate::model::{Action, Change, ChangeNo, Group, Key, Role, Rules};

/// The groups in the order of writing, cut into waves: what stands in one wave may run at the same
/// time. `backwards`: the changes are given as they were done, and the groups undo them. `Invalid` when the groups do not hold each change exactly once, `Refused` on a cycle.
pub(crate) fn waves(
    changes: &[Change],
    links: &[Links],
    groups: &[Group],
    rules: &Rules,
    backwards: bool,
) -> Result<Vec<Vec<usize>>> {
    let group_of = owners(changes, groups)?;
    let mut before = edges(changes, links, &group_of);
    if backwards {
        before = before.into_iter().map(|(a, b, role)| (b, a, role)).collect();
    }
    let by_number: HashMap<ChangeNo, &Change> = changes.iter().map(|c| (c.no, c)).collect();
    let rank: Vec<_> = groups
        .iter()
        .map(|group| {
            let members = group.changes.iter().filter_map(|no| by_number.get(no));
            let ranks = members.map(|change| {
                let action = if backwards { change.inverted().action } else { change.action };
                weight(&change.key, action, rules)
            });
            ranks.min().unwrap_or_default()
        })
        .collect();
    let mut order = Order::new(groups, rank);
    for (first, second, role) in before.into_iter().filter(|(a, b, _)| a != b) {
        order.add(first, second, role);
    }
    let mut waves = Vec::new();
    while order.left > 0 {
        let wave = order.next();
        if wave.is_empty() {
            let open = (0..groups.len()).filter(|n| !order.done[*n]);
            return Err(cycle(open, groups, &by_number));
        }
        for n in &wave {
            order.finish(*n);
        }
        waves.push(wave);
    }
    Ok(waves)
}

/// Rank, number of the lane, number of the group.
type Entry = ((bool, u16), usize, usize);

/// Groups that wait for others, and those that wait no more.
#[derive(Debug)]
struct Order {
    entries: Vec<Entry>,
    /// What each group holds up, and whether only a second write needs it.
    after: Vec<Vec<(usize, bool)>>,
    /// How many a group waits for that must come first.
    blockers: Vec<usize>,
    /// How many it waits for besides, if it can.
    soft: Vec<usize>,
    done: Vec<bool>,
    left: usize,
    /// Open groups that wait for nothing, by rank.
    free: BTreeSet<Entry>,
    /// Open groups that wait only for what a second write may add.
    nearly: BTreeSet<Entry>,
}

impl Order {
    fn new(groups: &[Group], rank: Vec<(bool, u16)>) -> Self {
        let count = groups.len();
        let mut lanes = HashMap::new();
        let lane_of = |(n, group): (usize, &'_ Group)| match group.lane.clone() {
            // Without a lane it stands in the way of none.
            None => count + n,
            Some(lane) => *lanes.entry(lane).or_insert(n),
        };
        let lanes = groups.iter().enumerate().map(lane_of);
        let entries: Vec<Entry> =
            rank.into_iter().zip(lanes).zip(0..).map(|((rank, lane), n)| (rank, lane, n)).collect();
        Self {
            free: entries.iter().copied().collect(),
            entries,
            after: vec![Vec::new(); count],
            blockers: vec![0; count],
            soft: vec![0; count],
            done: vec![false; count],
            left: count,
            nearly: BTreeSet::new(),
        }
    }

    fn add(&mut self, first: usize, second: usize, role: Role) {
        let later = role == Role::Later;
        self.after[first].push((second, later));
        let counter = if later { &mut self.soft } else { &mut self.blockers };
        counter[second] += 1;
        self.sort_in(second);
    }

    /// Puts an open group where its counters say that it belongs.
    fn sort_in(&mut self, n: usize) {
        let entry = self.entries[n];
        self.free.remove(&entry);
        self.nearly.remove(&entry);
        match (self.blockers[n], self.soft[n]) {
            (0, 0) => self.free.insert(entry),
            (0, _) => self.nearly.insert(entry),
            _ => false,
        };
    }

    /// The groups of the least rank that may be written now, one of each lane; none on a cycle.
    fn next(&self) -> Vec<usize> {
        // What may be added by a second write does not hold up the first.
        let ready = if self.free.is_empty() { &self.nearly } else { &self.free };
        let mut wave = Vec::new();
        let mut at = ready.first();
        let least = at.map(|(rank, ..)| *rank);
        while let Some((rank, lane, n)) = at.filter(|(rank, ..)| Some(*rank) == least) {
            wave.push(*n);
            at = ready.range((*rank, lane + 1, 0)..).next();
        }
        wave.sort_unstable();
        wave
    }

    fn finish(&mut self, n: usize) {
        let entry = self.entries[n];
        self.free.remove(&entry);
        self.nearly.remove(&entry);
        self.done[n] = true;
        self.left -= 1;
        for (next, later) in std::mem::take(&mut self.after[n]) {
            let counter = if later { &mut self.soft } else { &mut self.blockers };
            counter[next] -= 1;
            if !self.done[next] {
                self.sort_in(next);
            }
        }
    }
}

/// The group of each change.
fn owners(changes: &[Change], groups: &[Group]) -> Result<HashMap<ChangeNo, usize>> {
    let mut owner = HashMap::new();
    for (n, group) in groups.iter().enumerate() {
        for change in &group.changes {
            if owner.insert(*change, n).is_some() {
                return Err(Error::invalid("the target arranged a change twice"));
            }
        }
    }
    if owner.len() != changes.len() || changes.iter().any(|c| !owner.contains_key(&c.no)) {
        return Err(Error::invalid("the target did not arrange each change"));
    }
    Ok(owner)
}

/// Which group must come before which, and how strictly.
fn edges(
    changes: &[Change],
    links: &[Links],
    group_of: &HashMap<ChangeNo, usize>,
) -> BTreeSet<(usize, usize, Role)> {
    let makes =
        |c: &&Change| matches!(c.action, Action::Create | Action::Replace | Action::Undelete);
    let made: HashMap<&Key, &Change> = changes.iter().filter(makes).map(|c| (&c.key, c)).collect();
    let removed: HashMap<&Key, &Change> = changes
        .iter()
        .filter(|c| c.action == Action::Delete)
        .map(|c| (c.target_key(), c))
        .collect();
    let there: HashMap<&Key, &Change> = changes
        .iter()
        .filter(|c| c.action != Action::Create)
        .map(|c| (c.target_key(), c))
        .collect();
    let mut found = BTreeSet::new();
    let mut edge = |first: &Change, second: &Change, role| {
        if let (Some(a), Some(b)) = (group_of.get(&first.no), group_of.get(&second.no)) {
            found.insert((*a, *b, role));
        }
    };
    for (change, links) in changes.iter().zip(links) {
        if change.action != Action::Delete {
            for (key, role) in links.needs.iter().filter(|(_, role)| *role != Role::Weak) {
                if let Some(first) = made.get(key) {
                    edge(first, change, *role);
                }
            }
            for key in &links.claims {
                if let Some(first) = there.get(key) {
                    edge(first, change, Role::Needs);
                }
            }
        }
        for key in &links.holds {
            if let Some(last) = removed.get(key) {
                edge(change, last, Role::Needs);
            }
        }
    }
    found
}

/// Writes by rank, then deletions by falling rank.
fn weight(key: &Key, action: Action, rules: &Rules) -> (bool, u16) {
    let rank = rules.spec(&key.kind).map_or(u16::MAX, |spec| spec.rank);
    match action {
        Action::Delete => (true, u16::MAX - rank),
        _ => (false, rank),
    }
}

fn cycle(
    open: impl Iterator<Item = usize>,
    groups: &[Group],
    changes: &HashMap<ChangeNo, &Change>,
) -> Error {
    let members = open.flat_map(|n| &groups[n].changes);
    let names: BTreeSet<String> =
        members.filter_map(|no| changes.get(no)).map(|change| change.key.to_string()).collect();
    let shown: Vec<String> = names.into_iter().take(8).collect();
    Error::refused("these resources wait for each other, so no order of writing exists")
        .on(shown.join(", "))
        .help("if two of them swap names, rename one in the target first; then make a new plan")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Id, Kind, KindSpec, Schema, Undo};

    fn key(n: u32) -> Key {
        Key::new(Kind::known("thing"), Id::of([format!("{n:06}")]).unwrap())
    }

    fn create(n: u32) -> Change {
        Change {
            no: ChangeNo(n),
            key: key(n),
            there: None,
            parent: None,
            action: Action::Create,
            undo: Undo::Exact,
            bytes: 0,
        }
    }

    fn rules() -> Rules {
        let kinds = vec![KindSpec::new(Kind::known("thing"), 1)];
        Rules::new(std::sync::Arc::new(Schema { kinds, ..Schema::default() }))
    }

    fn order(needs: &[&[(u32, Role)]], lane: Option<&str>) -> Result<Vec<Vec<usize>>> {
        let changes: Vec<Change> = (0..).zip(needs).map(|(n, _)| create(n)).collect();
        let links: Vec<Links> = needs
            .iter()
            .map(|needs| Links {
                needs: needs.iter().map(|(n, role)| (key(*n), *role)).collect(),
                ..Links::default()
            })
            .collect();
        let lane = lane.map(str::to_owned);
        let single = |c: &Change| Group { lane: lane.clone(), ..Group::single(c.no) };
        let groups: Vec<Group> = changes.iter().map(single).collect();
        waves(&changes, &links, &groups, &rules(), false)
    }

    #[test]
    fn what_is_needed_comes_first_and_a_second_write_breaks_a_circle() {
        use Role::{Later, Needs};
        assert_eq!(order(&[&[(1, Needs)], &[], &[(0, Needs)]], None).unwrap(), [[1], [0], [2]]);
        assert_eq!(order(&[&[(1, Later)], &[(0, Needs)]], None).unwrap(), [[0], [1]]);
        let error = order(&[&[(1, Needs)], &[(0, Needs)], &[]], None).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Refused);
        assert_eq!(error.subject(), Some("thing/000000, thing/000001"));
    }

    #[test]
    fn a_lane_gives_one_group_to_each_wave() {
        let found = order(&[&[], &[], &[]], Some("a")).unwrap();
        assert_eq!(found, [[0], [1], [2]]);
        assert_eq!(order(&[&[], &[], &[]], None).unwrap(), [[0, 1, 2]]);
    }

    #[test]
    fn long_chains_in_one_lane_are_ordered_in_a_blink() {
        const COUNT: u32 = 50_000;
        let chain: Vec<[(u32, Role); 1]> = (0..COUNT)
            .map(|n| [(n + 1, if n + 1 < COUNT { Role::Needs } else { Role::Weak })])
            .collect();
        let chain: Vec<&[(u32, Role)]> = chain.iter().map(<[(u32, Role); 1]>::as_slice).collect();
        let found = order(&chain, Some("a")).unwrap();
        assert_eq!(found.len(), COUNT as usize);
        assert_eq!(found[0], [COUNT as usize - 1]);
    }
}
