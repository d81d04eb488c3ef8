//! Which of the stored objects make up the log. Pure: no I/O, no clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::Head;
use super::event::Event;

/// How many numbers in a row may hold junk before the log's home is refused; also how far beyond
/// the head a reader looks for hidden events.
pub(super) const MAX_VOID: u64 = 16;

/// What one place holds at one number.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    /// Nothing.
    Absent,
    /// Nobody could tell: the place does not answer.
    Away,
    /// No event of this repository and number.
    Junk,
    /// A signed event of this number.
    Event(Arc<Event>),
}

impl Cell {
    pub(super) fn is_event(&self) -> bool {
        self.event().is_some()
    }

    fn event(&self) -> Option<&Arc<Event>> {
        match self {
            Self::Event(event) => Some(event),
            _ => None,
        }
    }
}

/// What the places hold, number by number; the home's cell comes first.
pub(super) type Rows = BTreeMap<u64, Vec<Cell>>;

/// Something in the log that should not be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// This number holds no event; it was skipped.
    Void(u64),
    /// More numbers in a row than allowed hold no event, from this one on.
    Squatted(u64),
    /// From this number on events are missing, damaged or do not follow: what was before is whole.
    Broken(u64),
    /// Two valid events have this number.
    Fork(u64),
    /// The copy at this place of the list (0 is the home) holds other bytes at this number than the
    /// log has.
    Differs {
        /// Place of the copy.
        place: usize,
        /// The number.
        seq: u64,
    },
    /// The home lacks this event; another copy has it.
    HomeBehind(u64),
    /// The log ends below, or differs at, the last event known on this machine.
    RolledBack {
        /// Number known on this machine.
        mark: u64,
        /// Number of the log's last event.
        head: u64,
    },
    /// The trust chain shown is shorter than the one known on this machine.
    TrustBehind {
        /// Number known on this machine.
        mark: u64,
        /// Number shown.
        shown: u64,
    },
}

impl Problem {
    /// Whether history itself is in doubt: nothing may be deleted until an admin accepts.
    pub fn is_grave(&self) -> bool {
        !matches!(self, Self::Void(_) | Self::Differs { .. })
    }

    /// Whether appending would make it worse.
    pub(super) fn stops_writing(&self) -> bool {
        self.is_grave() && !matches!(self, Self::HomeBehind(_))
    }
}

/// The longest consistent chain that the places show.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    events: Vec<Arc<Event>>,
    by_id: HashMap<Uuid, usize>,
    /// Numbers of junk after the last event.
    trailing: u64,
    pub(super) problems: Vec<Problem>,
    /// What each place lacks.
    pub(super) missing: Vec<Vec<u64>>,
}

#[derive(Debug, Default)]
struct Walk {
    events: Vec<Arc<Event>>,
    problems: Vec<Problem>,
    trailing: u64,
}

impl Chain {
    pub(super) fn new(places: usize) -> Self {
        Self { missing: vec![Vec::new(); places], ..Self::default() }
    }

    pub(super) fn head(&self) -> Head {
        match self.events.last() {
            Some(event) => Head { seq: event.seq, digest: event.digest.clone() },
            None => Head { seq: 0, digest: String::new() },
        }
    }

    /// The number that the next event gets.
    pub(super) fn next(&self) -> u64 {
        self.head().seq + self.trailing + 1
    }

    /// The digest that the next event names.
    pub(super) fn prev(&self) -> Option<String> {
        self.events.last().map(|event| event.digest.clone())
    }

    pub(super) fn events(&self) -> &[Arc<Event>] {
        &self.events
    }

    pub(super) fn by_id(&self, id: Uuid) -> Option<&Arc<Event>> {
        self.events.get(*self.by_id.get(&id)?)
    }

    pub(super) fn at(&self, seq: u64) -> Option<&Arc<Event>> {
        let at = self.events.binary_search_by_key(&seq, |event| event.seq).ok()?;
        self.events.get(at)
    }

    /// Whether `event` is the next one.
    pub(super) fn continues(&self, event: &Event) -> bool {
        event.seq == self.next() && event.prev == self.prev()
    }

    /// Adds an event that [`continues`](Self::continues) it.
    pub(super) fn push(&mut self, event: Arc<Event>) {
        // The first of two events with one id is the one that was asked for.
        self.by_id.entry(event.id).or_insert(self.events.len());
        self.events.push(event);
        self.trailing = 0;
    }

    /// Passes over a number that holds no event; false once there are too many in a row.
    pub(super) fn skip(&mut self) -> bool {
        self.note(Problem::Void(self.next()));
        self.trailing += 1;
        self.trailing <= MAX_VOID
    }

    /// Adds a problem once, however often it is met.
    pub(super) fn note(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Goes on with what was read from [`next`](Self::next) on.
    pub(super) fn grow(&mut self, rows: &Rows) {
        let places = self.missing.len();
        let mut best = Walk::default();
        for place in 0..places {
            let walk = self.walk(rows, place);
            // The home wins a tie.
            if place == 0 || walk.events.len() > best.events.len() {
                best = walk;
            }
        }
        for problem in best.problems.drain(..) {
            self.note(problem);
        }
        for event in best.events {
            self.push(event);
        }
        self.trailing += best.trailing;
        self.compare(rows);
    }

    /// The chain as far as it goes when `place` has the first say at each number.
    fn walk(&self, rows: &Rows, place: usize) -> Walk {
        let mut walk = Walk { trailing: 0, ..Walk::default() };
        let mut prev = self.prev();
        let mut run = self.trailing;
        let mut voids = Vec::new();
        for (&seq, row) in rows {
            let own = row.get(place).into_iter();
            let mut candidates = own.chain(row).filter_map(Cell::event);
            if let Some(event) = candidates.find(|event| event.prev == prev) {
                prev = Some(event.digest.clone());
                walk.problems.extend(voids.drain(..).map(Problem::Void));
                walk.events.push(Arc::clone(event));
                run = 0;
                continue;
            }
            // A signed event that does not follow was written by one who knew more.
            if row.iter().any(Cell::is_event) {
                let first = voids.first().copied().unwrap_or(seq);
                walk.problems.push(Problem::Broken(first));
                return walk;
            }
            let holds_junk = |cell: &Cell| matches!(cell, Cell::Junk);
            let void = match row.first() {
                Some(Cell::Away) | None => row.iter().any(holds_junk),
                Some(home) => holds_junk(home),
            };
            if !void {
                let hidden = rows.range(seq..).flat_map(|(_, row)| row).any(Cell::is_event);
                if hidden {
                    let first = voids.first().copied().unwrap_or(seq);
                    walk.problems.push(Problem::Broken(first));
                }
                break;
            }
            run += 1;
            voids.push(seq);
            if run > MAX_VOID {
                walk.problems.push(Problem::Squatted(voids.first().copied().unwrap_or(seq)));
                return walk;
            }
        }
        walk.trailing = voids.len() as u64;
        walk.problems.extend(voids.into_iter().map(Problem::Void));
        walk
    }

    /// Finds what single places hold otherwise than the chain.
    fn compare(&mut self, rows: &Rows) {
        for (&seq, row) in rows {
            let ours = self.at(seq).map(Arc::clone);
            let mut forked = false;
            for (place, cell) in row.iter().enumerate() {
                match (cell, &ours) {
                    (Cell::Event(event), Some(ours)) if event.digest != ours.digest => {
                        forked = true
                    }
                    (Cell::Event(event), Some(ours)) => {
                        if event.file.stored() != ours.file.stored() {
                            self.note(Problem::Differs { place, seq });
                        }
                    }
                    (Cell::Junk, Some(_)) => self.problems.push(Problem::Differs { place, seq }),
                    (Cell::Absent, Some(_)) => {
                        if place == 0 {
                            self.note(Problem::HomeBehind(seq));
                        }
                        if let Some(missing) = self.missing.get_mut(place) {
                            missing.push(seq);
                        }
                    }
                    (Cell::Away, Some(_)) => {
                        if let Some(missing) = self.missing.get_mut(place) {
                            missing.push(seq);
                        }
                    }
                    (_, None) => {}
                }
            }
            if forked {
                self.note(Problem::Fork(seq));
            }
        }
    }
}
