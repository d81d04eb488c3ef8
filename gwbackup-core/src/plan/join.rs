//! Two snapshots side by side.

use std::collections::VecDeque;
use std::iter::Peekable;

use crate::error::Result;
use crate::model::{Key, Resource, Snapshot};

/// What is looked up together at most, in resources and in bytes of documents.
const ITEMS: usize = 16 << 10;
const BYTES: usize = 8 << 20;

type Scan<'a> = Box<dyn Iterator<Item = Result<Resource>> + Send + 'a>;

/// Gives each resource of one snapshot with what it is in another.
///
/// While keys are equal, both streams run side by side. Things with another key there lie anywhere,
/// and each look-up may open another part of an archive: so many are gathered, and looked up in the
/// order of their keys.
pub(crate) struct Join<'a, I, P> {
    own: I,
    other: &'a dyn Snapshot,
    stream: Option<Peekable<Scan<'a>>>,
    place: P,
    ready: VecDeque<(Resource, Option<Resource>)>,
    failed: bool,
}

impl<'a, I, P> Join<'a, I, P>
where
    I: Iterator<Item = Result<Resource>>,
    P: FnMut(&Key) -> Option<Key>,
{
    /// Of `own`, which comes sorted by key, with those of `other` that `place` names.
    pub(crate) fn new(own: I, other: &'a dyn Snapshot, place: P) -> Self {
        Self { own, other, stream: None, place, ready: VecDeque::new(), failed: false }
    }

    /// Gathers until nothing waits for a look-up, or enough does.
    fn fill(&mut self) -> Result<()> {
        let mut asked: Vec<(Key, usize)> = Vec::new();
        let mut bytes = 0;
        while let Some(resource) = self.own.next() {
            let resource = resource?;
            bytes += resource.document.len();
            let found = match (self.place)(&resource.key) {
                Some(there) if there == resource.key => self.same(&there)?,
                Some(there) => {
                    asked.push((there, self.ready.len()));
                    None
                }
                None => None,
            };
            self.ready.push_back((resource, found));
            if asked.is_empty() || asked.len() >= ITEMS || bytes >= BYTES {
                break;
            }
        }
        asked.sort_unstable();
        for (there, at) in asked {
            if let Some((_, slot)) = self.ready.get_mut(at) {
                *slot = self.other.get(&there)?;
            }
        }
        Ok(())
    }

    /// The other's resource of this key, which comes after all that were asked for before.
    fn same(&mut self, key: &Key) -> Result<Option<Resource>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => self.stream.insert(self.other.scan()?.peekable()),
        };
        while stream.next_if(|next| matches!(next, Ok(next) if next.key < *key)).is_some() {}
        stream.next_if(|next| !matches!(next, Ok(next) if next.key != *key)).transpose()
    }
}

impl<I, P> Iterator for Join<'_, I, P>
where
    I: Iterator<Item = Result<Resource>>,
    P: FnMut(&Key) -> Option<Key>,
{
    type Item = Result<(Resource, Option<Resource>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.ready.is_empty()
            && let Err(error) = self.fill()
        {
            self.failed = true;
            return Some(Err(error));
        }
        self.ready.pop_front().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::model::{Document, Gap, Handles, Id, Kind, MemorySnapshot};

    fn key(n: u32) -> Key {
        Key::new(Kind::known("thing"), Id::new(&format!("{n:06}")).unwrap())
    }

    fn things(numbers: impl IntoIterator<Item = u32>) -> MemorySnapshot {
        let document = |n| Document::parse(&format!(r#"{{"n":{n}}}"#)).unwrap();
        MemorySnapshot::new(numbers.into_iter().map(|n| Resource::new(key(n), document(n))))
    }

    /// Writes down what is looked up.
    #[derive(Debug)]
    struct Asked(MemorySnapshot, Mutex<Vec<Key>>);

    impl Snapshot for Asked {
        fn scan(&self) -> Result<Scan<'_>> {
            self.0.scan()
        }

        fn get(&self, key: &Key) -> Result<Option<Resource>> {
            self.1.lock().unwrap().push(key.clone());
            self.0.get(key)
        }

        fn gaps(&self) -> &[Gap] {
            self.0.gaps()
        }

        fn handles(&self) -> &Handles {
            self.0.handles()
        }
    }

    /// Pairs of what came out, as numbers.
    fn joined(other: &Asked, place: impl Fn(u32) -> Option<u32>) -> Vec<(u32, Option<u32>)> {
        let number = |key: &Key| key.id.as_str().parse::<u32>().unwrap();
        let own = things(0..100);
        let join = Join::new(own.scan().unwrap(), other, |own| place(number(own)).map(key));
        let numbers = |(a, b): (Resource, Option<Resource>)| {
            (number(&a.key), b.map(|found| number(&found.key)))
        };
        join.map(|pair| numbers(pair.unwrap())).collect()
    }

    #[test]
    fn each_meets_its_equal_wherever_that_lies() {
        let other = Asked(things((0..200).filter(|n| n % 7 != 3)), Mutex::default());
        let is_there = |n: &u32| n % 7 != 3;
        for (what, place) in [
            ("same", (|n| Some(n)) as fn(u32) -> Option<u32>),
            ("reversed", |n| Some(199 - n)),
            ("some", |n| (n % 3 > 0).then_some(if n % 3 == 1 { n } else { n * 37 % 200 })),
        ] {
            let wanted: Vec<_> = (0..100).map(|n| (n, place(n).filter(is_there))).collect();
            assert_eq!(joined(&other, place), wanted, "{what}");
        }
    }

    #[test]
    fn look_ups_go_in_the_order_of_keys() {
        let other = Asked(things(0..200), Mutex::default());
        joined(&other, Some);
        assert!(other.1.lock().unwrap().is_empty(), "equal keys need no look-up");
        joined(&other, |n| Some(n * 37 % 200));
        let asked = other.1.lock().unwrap().clone();
        assert!(asked.len() > 90 && asked.is_sorted(), "{asked:?}");
    }
}
