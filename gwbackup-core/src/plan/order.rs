//! In which order the groups of a plan are written.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::arranged::{Arranged, Early, Room};
use super::decided::Links;
use crate::error::{Error, Result};
use crate::model::{Action, Change, ChangeNo, Group, Key, Role, Rules};

/// Rank, number of the lane, number of the group.
type Entry = ((bool, u16), usize, usize);

/// What is left waits for itself.
pub(super) struct Stuck;

/// How strictly one group comes before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tie {
    /// It must.
    Must,
    /// It should: only a second write needs it.
    Should,
    /// It must, unless this change of it lets go of its name before.
    Name(ChangeNo),
}

/// Groups that wait for others, and those that wait no more. What stands in one wave may run at the
/// same time.
#[derive(Debug)]
pub(super) struct Order {
    entries: Vec<Entry>,
    /// What each group holds up.
    after: Vec<Vec<(usize, Tie)>>,
    /// How many ties hold a group up that must be.
    blockers: Vec<usize>,
    /// How many hold it up that should be.
    soft: Vec<usize>,
    done: Vec<bool>,
    left: usize,
    /// Open groups that wait for nothing, by rank.
    free: BTreeSet<Entry>,
    /// Open groups that wait only for what a second write may add.
    nearly: BTreeSet<Entry>,
}

impl Order {
    /// `backwards`: the changes are given as they were done, and the groups undo them. `Invalid` when
    /// the groups do not hold each change exactly once.
    pub(super) fn new(
        made: &Arranged,
        links: &[Links],
        rules: &Rules,
        backwards: bool,
    ) -> Result<Self> {
        let Arranged { changes, groups, early, .. } = made;
        let group_of = owners(changes, groups)?;
        let by_number: HashMap<ChangeNo, &Change> = changes.iter().map(|c| (c.no, c)).collect();
        let rank = groups.iter().map(|group| {
            let members = group.changes.iter().filter_map(|no| by_number.get(no));
            let ranks = members.map(|change| {
                let action = if backwards { change.inverted().action } else { change.action };
                weight(&change.key, action, rules)
            });
            ranks.min().unwrap_or_default()
        });
        let count = groups.len();
        let mut lanes = HashMap::new();
        let lane_of = |(n, group): (usize, &'_ Group)| match group.lane.clone() {
            // Without a lane it stands in the way of none.
            None => count + n,
            Some(lane) => *lanes.entry(lane).or_insert(n),
        };
        let lanes = groups.iter().enumerate().map(lane_of);
        let entries: Vec<Entry> =
            rank.zip(lanes).zip(0..).map(|((rank, lane), n)| (rank, lane, n)).collect();
        let mut order = Self {
            free: entries.iter().copied().collect(),
            entries,
            after: vec![Vec::new(); count],
            blockers: vec![0; count],
            soft: vec![0; count],
            done: vec![false; count],
            left: count,
            nearly: BTreeSet::new(),
        };
        for (first, second, tie) in ties(changes, links, early, &group_of) {
            match (first == second, backwards, tie) {
                (true, ..) => {}
                (_, false, tie) => order.add(first, second, tie),
                (_, true, Tie::Should) => order.add(second, first, Tie::Should),
                (_, true, _) => order.add(second, first, Tie::Must),
            }
        }
        Ok(order)
    }

    fn add(&mut self, first: usize, second: usize, tie: Tie) {
        self.after[first].push((second, tie));
        let counter = if tie == Tie::Should { &mut self.soft } else { &mut self.blockers };
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

    /// Appends wave after wave, until all is done or nothing can be.
    pub(super) fn run(&mut self, waves: &mut Vec<Vec<usize>>) -> std::result::Result<(), Stuck> {
        while self.left > 0 {
            let wave = self.next();
            if wave.is_empty() {
                return Err(Stuck);
            }
            for n in &wave {
                self.finish(*n);
            }
            waves.push(wave);
        }
        Ok(())
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
        for (next, tie) in std::mem::take(&mut self.after[n]) {
            self.untie(next, tie);
        }
    }

    fn untie(&mut self, next: usize, tie: Tie) {
        let counter = if tie == Tie::Should { &mut self.soft } else { &mut self.blockers };
        counter[next] -= 1;
        if !self.done[next] {
            self.sort_in(next);
        }
    }

    /// These changes have let go of their names.
    pub(super) fn release(&mut self, holders: &[ChangeNo]) {
        let holders: HashSet<ChangeNo> = holders.iter().copied().collect();
        let is_let_go = |tie: &Tie| matches!(tie, Tie::Name(no) if holders.contains(no));
        for n in 0..self.after.len() {
            let ties = std::mem::take(&mut self.after[n]);
            let (gone, kept): (Vec<_>, _) = ties.into_iter().partition(|(_, tie)| is_let_go(tie));
            self.after[n] = kept;
            for (next, tie) in gone {
                self.untie(next, tie);
            }
        }
    }

    /// What is left waits for itself, in one circle or several: one name of each to let go of.
    /// `Refused` when a circle holds none.
    pub(super) fn renames(
        &self,
        made: &Arranged,
        links: &[Links],
    ) -> Result<Vec<(ChangeNo, Room)>> {
        // Of all that a group waits for one is enough to lead round a circle.
        let mut waits: Vec<Option<usize>> = vec![None; self.after.len()];
        for n in (0..self.after.len()).filter(|n| !self.done[*n]) {
            for (next, _) in self.after[n].iter().filter(|(_, tie)| *tie != Tie::Should) {
                waits[*next].get_or_insert(n);
            }
        }
        let mut found = Vec::new();
        let mut seen = vec![usize::MAX; waits.len()];
        for start in (0..waits.len()).filter(|n| !self.done[*n]) {
            let mut at = start;
            while seen[at] == usize::MAX {
                seen[at] = start;
                let Some(before) = waits[at] else { break };
                at = before;
            }
            // An earlier walk, or the end of what it waits for: no new circle.
            if seen[at] != start || waits[at].is_none() {
                continue;
            }
            let mut circle = Vec::new();
            let mut next = at;
            while let Some(before) = waits[next] {
                circle.push((before, next));
                next = before;
                if next == at {
                    break;
                }
            }
            let rooms = circle.iter().filter_map(|(a, b)| self.rooms(*a, *b, made, links));
            let first = rooms.min_by(|a, b| a.first().map(|r| r.0).cmp(&b.first().map(|r| r.0)));
            found.extend(first.ok_or_else(|| self.cycle(made))?);
        }
        Ok(found)
    }

    /// How the first may stop holding up the second, if names are all that it holds.
    fn rooms(
        &self,
        first: usize,
        second: usize,
        made: &Arranged,
        links: &[Links],
    ) -> Option<Vec<(ChangeNo, Room)>> {
        let ties = self.after[first].iter().filter(|(n, tie)| *n == second && *tie != Tie::Should);
        let names = ties.map(|(_, tie)| if let Tie::Name(no) = tie { Some(*no) } else { None });
        let names: BTreeSet<ChangeNo> = names.collect::<Option<_>>()?;
        let mut rooms: BTreeMap<ChangeNo, BTreeSet<String>> = BTreeMap::new();
        // Whoever lets go does so for all who wait for one of its names.
        for (claimant, tie) in &self.after[first] {
            let Tie::Name(no) = tie else { continue };
            if !names.contains(no) {
                continue;
            }
            let own = links.get(usize::try_from(no.0).ok()?)?;
            let of = made.changes.get(usize::try_from(no.0).ok()?)?.target_key();
            let claiming = made.groups.get(*claimant)?.changes.iter();
            let claiming = claiming.filter_map(|no| links.get(usize::try_from(no.0).ok()?));
            for (_, handle) in claiming.flat_map(|l| &l.claims).filter(|(key, _)| key == of) {
                let (_, at) = own.names.iter().find(|(name, _)| name == handle)?;
                rooms.entry(*no).or_default().insert(at.clone());
            }
        }
        let rooms = rooms.into_iter().map(|(no, at)| (no, Room::Rename(at.into_iter().collect())));
        Some(rooms.collect()).filter(|rooms: &Vec<_>| !rooms.is_empty())
    }

    /// The error that names what waits for itself.
    pub(super) fn cycle(&self, made: &Arranged) -> Error {
        let open = (0..self.done.len()).filter(|n| !self.done[*n]);
        let members: HashSet<ChangeNo> =
            open.flat_map(|n| made.groups[n].changes.iter().copied()).collect();
        let changes = made.changes.iter().filter(|change| members.contains(&change.no));
        let names: BTreeSet<String> = changes.map(|change| change.key.to_string()).collect();
        let shown: Vec<String> = names.into_iter().take(8).collect();
        Error::refused("these resources wait for each other, so no order of writing exists")
            .on(shown.join(", "))
            .help("restore a part of them with a selection first; then make a new plan")
    }
}

/// The group of each change.
pub(super) fn owners(changes: &[Change], groups: &[Group]) -> Result<HashMap<ChangeNo, usize>> {
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

/// Which group comes before which, and how strictly.
fn ties(
    changes: &[Change],
    links: &[Links],
    early: &[Early],
    group_of: &HashMap<ChangeNo, usize>,
) -> BTreeSet<(usize, usize, Tie)> {
    let ahead: HashMap<ChangeNo, ChangeNo> = early.iter().map(|e| (e.of, e.no)).collect();
    let is_early: HashSet<ChangeNo> = ahead.values().copied().collect();
    let main = || changes.iter().filter(|change| !is_early.contains(&change.no));
    let with = |actions: &'static [Action]| main().filter(|c| actions.contains(&c.action));
    let made: HashMap<&Key, ChangeNo> = with(&[Action::Create, Action::Replace, Action::Undelete])
        .map(|change| (&change.key, change.no))
        .collect();
    let removed: HashMap<&Key, ChangeNo> = changes
        .iter()
        .filter(|change| change.action == Action::Delete)
        .map(|change| (change.target_key(), change.no))
        .collect();
    let replaced: HashMap<&Key, ChangeNo> =
        with(&[Action::Replace]).map(|change| (change.target_key(), change.no)).collect();
    let there: HashMap<&Key, ChangeNo> = main()
        .filter(|change| change.action != Action::Create)
        .map(|change| (change.target_key(), change.no))
        .collect();
    // Also of those whose later change is not among these.
    let early: HashMap<&Key, ChangeNo> = changes
        .iter()
        .filter(|change| is_early.contains(&change.no))
        .map(|change| (change.target_key(), change.no))
        .collect();
    let mut found = BTreeSet::new();
    let mut tie = |first: ChangeNo, second: ChangeNo, tie| {
        if let (Some(a), Some(b)) = (group_of.get(&first), group_of.get(&second)) {
            found.insert((*a, *b, tie));
        }
    };
    for (change, links) in changes.iter().zip(links) {
        if change.action != Action::Delete {
            for (key, role) in links.needs.iter().filter(|(_, role)| *role != Role::Weak) {
                let strict = if *role == Role::Later { Tie::Should } else { Tie::Must };
                if let Some(first) = made.get(key) {
                    tie(*first, change.no, strict);
                }
            }
            for (key, _) in &links.claims {
                if let Some(early) = early.get(key) {
                    tie(*early, change.no, Tie::Must);
                } else if let Some(first) = there.get(key) {
                    tie(*first, change.no, Tie::Name(*first));
                }
            }
        }
        for key in &links.holds {
            if let Some(last) = removed.get(key) {
                tie(change.no, *last, Tie::Must);
            } else if let (Action::Delete, Some(last)) = (change.action, replaced.get(key)) {
                tie(change.no, *last, Tie::Must);
            }
        }
        if let Some(early) = ahead.get(&change.no) {
            tie(*early, change.no, Tie::Must);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HandleName, Id, Kind, KindSpec, Schema, Undo};

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
        let arrange = |changes: &[Change]| changes.iter().map(single).collect();
        Arranged::forward(changes, &links, &rules(), arrange).map(|made| made.waves)
    }

    /// Things that take each other's names: `of[n]` has the name that `n` is to have.
    fn renamed(of: &[u32], text: bool, lane: Option<&str>) -> Result<Arranged> {
        let name = HandleName::known("name");
        let update = |(n, _)| Change { action: Action::Update, ..create(n) };
        let changes: Vec<Change> = (0..).zip(of).map(update).collect();
        let links = |(n, of): (u32, &u32)| Links {
            claims: if n == *of { Vec::new() } else { vec![(key(*of), name.clone())] },
            names: if text { vec![(name.clone(), "/name".to_owned())] } else { Vec::new() },
            ..Links::default()
        };
        let links: Vec<Links> = (0..).zip(of).map(links).collect();
        let lane = lane.map(str::to_owned);
        let single = |c: &Change| Group { lane: lane.clone(), ..Group::single(c.no) };
        let arrange = |changes: &[Change]| changes.iter().map(single).collect();
        Arranged::forward(changes, &links, &rules(), arrange)
    }

    /// Whether nobody takes a name that another has still.
    fn is_sound(of: &[u32], made: &Arranged) -> bool {
        let mut holds: Vec<Option<u32>> = (0..).zip(of).map(|(n, _)| Some(n)).collect();
        let numbers = made.waves.iter().flatten().flat_map(|group| &made.groups[*group].changes);
        for no in numbers {
            if let Some(early) = made.early.iter().find(|early| early.no == *no) {
                holds[early.of.0 as usize] = None;
                continue;
            }
            let wanted = Some(of[no.0 as usize]);
            let own = no.0 as usize;
            if holds.iter().enumerate().any(|(n, held)| n != own && *held == wanted) {
                return false;
            }
            holds[own] = wanted;
        }
        holds.iter().zip(of).all(|(held, wanted)| *held == Some(*wanted))
    }

    #[test]
    fn one_of_a_circle_lets_go_of_its_name_first() {
        for (of, early) in
            [(&[1, 0][..], 1), (&[1, 2, 0], 1), (&[1, 2, 9], 0), (&[1, 0, 3, 2, 5, 6, 4], 3)]
        {
            for lane in [None, Some("a")] {
                let made = renamed(of, true, lane).unwrap();
                assert_eq!(made.early.len(), early, "{of:?}");
                assert!(is_sound(of, &made), "{made:?}");
                let one_each = made.waves.iter().all(|wave| wave.len() == 1);
                assert!(lane.is_none() || one_each, "{made:?}");
                let count: usize = made.waves.iter().map(Vec::len).sum();
                assert_eq!(count, of.len() + early);
            }
        }
        let error = renamed(&[1, 0], false, None).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Refused);
        assert_eq!(error.subject(), Some("thing/000000, thing/000001"));
    }

    #[test]
    fn the_way_back_knows_an_early_write_without_its_later_change() {
        let made = renamed(&[1, 0], true, None).unwrap();
        assert_eq!((made.early[0].of, made.early[0].no), (ChangeNo(0), ChangeNo(2)));
        // The second has the first one's name already, the first has none yet.
        let done = vec![made.changes[1].clone(), made.changes[2].clone()];
        let claims = vec![(key(0), HandleName::known("name"))];
        let links = [Links { claims, ..Links::default() }, Links::default()];
        let single = |changes: &[Change]| changes.iter().map(|c| Group::single(c.no)).collect();
        let back = made.backward(done, &links, &rules(), single).unwrap();
        let order: Vec<ChangeNo> = back
            .waves
            .iter()
            .flatten()
            .flat_map(|group| back.groups[*group].changes.clone())
            .collect();
        assert_eq!(order, [ChangeNo(1), ChangeNo(2)]);
    }

    #[test]
    fn many_circles_are_opened_in_a_blink() {
        const COUNT: u32 = 50_000;
        let pairs: Vec<u32> = (0..COUNT).map(|n| n ^ 1).collect();
        let made = renamed(&pairs, true, None).unwrap();
        assert_eq!(made.early.len(), COUNT as usize / 2);
        assert_eq!(made.waves.len(), 3);
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
