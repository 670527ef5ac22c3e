//! Posting lists: the ids found under one key.

use std::collections::BTreeMap;

/// A map that is never empty and mostly holds one member, which then takes no allocation of its own.
///
/// Most keys belong to one document; a few belong to a hundred thousand. Adding and removing cost
/// O(log n) in the number of members. `K` is the id; `V` is what is known of it under this key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Posting<K, V> {
    One(K, V),
    /// Two members or more.
    #[expect(clippy::box_collection, reason = "the box keeps the usual case, One, at 24 bytes instead of 32")]
    Many(Box<BTreeMap<K, V>>),
}

impl<K: Ord, V> Posting<K, V> {
    /// Builds a list from members whose ids ascend; `None` if there are none. O(n).
    pub fn from_sorted(mut members: Vec<(K, V)>) -> Option<Posting<K, V>> {
        if members.len() > 1 {
            return Some(Posting::Many(Box::new(members.into_iter().collect())));
        }
        members.pop().map(|(id, value)| Posting::One(id, value))
    }

    /// Adds or replaces a member; returns whether it is new.
    pub fn insert(&mut self, id: K, value: V) -> bool {
        match self {
            Posting::One(held, old) if *held == id => {
                *old = value;
                false
            }
            Posting::One(..) => {
                let two = Posting::Many(Box::new(BTreeMap::from([(id, value)])));
                if let (Posting::One(held, old), Posting::Many(map)) = (std::mem::replace(self, two), self) {
                    map.insert(held, old);
                }
                true
            }
            Posting::Many(map) => map.insert(id, value).is_none(),
        }
    }

    pub fn remove(&mut self, id: &K) -> Removal {
        match self {
            Posting::One(held, _) if held == id => Removal::Emptied,
            Posting::One(..) => Removal::Absent,
            Posting::Many(map) => {
                if map.remove(id).is_none() {
                    return Removal::Absent;
                }
                if map.len() == 1
                    && let Some((held, value)) = map.pop_first()
                {
                    *self = Posting::One(held, value);
                }
                Removal::Removed
            }
        }
    }

    pub fn get(&self, id: &K) -> Option<&V> {
        match self {
            Posting::One(held, value) => (held == id).then_some(value),
            Posting::Many(map) => map.get(id),
        }
    }

    /// The number of members: never 0, so there is no `is_empty`.
    pub fn len(&self) -> usize {
        match self {
            Posting::One(..) => 1,
            Posting::Many(map) => map.len(),
        }
    }

    /// The members, ids ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (one, many) = match self {
            Posting::One(id, value) => (Some((id, value)), None),
            Posting::Many(map) => (None, Some(map.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    pub fn ids(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(id, _)| id)
    }

    pub fn last(&self) -> Option<&K> {
        match self {
            Posting::One(id, _) => Some(id),
            Posting::Many(map) => map.last_key_value().map(|(id, _)| id),
        }
    }
}

/// What became of a member that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    Absent,
    Removed,
    /// It was the only one: the caller must drop the posting list with its key.
    Emptied,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_posting_needs_no_map_once_a_single_member_remains() {
        let mut posting = Posting::One(2, 'b');
        assert!(posting.insert(1, 'a'));
        assert!(!posting.insert(1, 'A'));
        assert_eq!(posting.iter().collect::<Vec<_>>(), [(&1, &'A'), (&2, &'b')]);
        assert_eq!(posting.remove(&3), Removal::Absent);
        assert_eq!(posting.remove(&1), Removal::Removed);
        assert!(matches!(posting, Posting::One(2, 'b')));
        assert_eq!(posting.remove(&1), Removal::Absent);
        assert_eq!(posting.remove(&2), Removal::Emptied);
    }

    #[test]
    fn a_lone_member_is_compact() {
        use crate::engine::document::DocumentId;
        assert!(size_of::<Posting<DocumentId, ()>>() <= 24);
        assert!(size_of::<Posting<DocumentId, u32>>() <= 24);
    }
}
