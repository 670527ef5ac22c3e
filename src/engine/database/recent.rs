//! Which documents have changed recently, for readers that keep what they read and ask what of it is stale.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::document::DocumentId;

/// How many changes are remembered. A reader that is further behind starts over.
const MOST: usize = 1024;

/// The changes of the last batches, oldest first.
///
/// Invariant: every change by a batch after `complete_after` is in `changes`.
#[derive(Default)]
pub struct RecentChanges {
    changes: VecDeque<RecentChange>,
    complete_after: u64,
}

/// What an engine of this process had in memory after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// See [`Database::number`](super::Database::number).
    pub engine: u64,
    pub seq: u64,
}

/// A document that a batch put or deleted; without an id, the whole collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentChange {
    pub seq: u64,
    pub collection: Arc<str>,
    pub id: Option<DocumentId>,
}

impl RecentChanges {
    /// Returns a list that knows of no change up to batch `seq`.
    pub fn starting_after(seq: u64) -> RecentChanges {
        RecentChanges { changes: VecDeque::new(), complete_after: seq }
    }

    pub fn push(&mut self, seq: u64, collection: &Arc<str>, id: Option<DocumentId>) {
        if self.changes.len() == MOST
            && let Some(forgotten) = self.changes.pop_front()
        {
            self.complete_after = forgotten.seq;
        }
        self.changes.push_back(RecentChange { seq, collection: Arc::clone(collection), id });
    }

    /// Returns the changes by batches after `seq`; `None` if some of them are forgotten.
    pub fn after(&self, seq: u64) -> Option<impl Iterator<Item = &RecentChange>> {
        let first = self.changes.partition_point(|change| change.seq <= seq);
        (seq >= self.complete_after).then(|| self.changes.range(first..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(recent: &RecentChanges, seq: u64) -> Option<Vec<u64>> {
        Some(recent.after(seq)?.map(|change| change.seq).collect())
    }

    #[test]
    fn only_changes_after_the_given_sequence_number_are_returned() {
        let mut recent = RecentChanges::starting_after(4);
        let collection: Arc<str> = "a".into();
        for seq in [5, 5, 7] {
            recent.push(seq, &collection, None);
        }
        assert_eq!(ids(&recent, 3), None);
        assert_eq!(ids(&recent, 4), Some(vec![5, 5, 7]));
        assert_eq!(ids(&recent, 5), Some(vec![7]));
        assert_eq!(ids(&recent, 9), Some(vec![]));
    }

    #[test]
    fn a_reader_too_far_behind_gets_no_list_of_changes() {
        let mut recent = RecentChanges::starting_after(0);
        let collection: Arc<str> = "a".into();
        // One batch changes more documents than are remembered.
        (0..=MOST).for_each(|_| recent.push(1, &collection, None));
        assert_eq!(ids(&recent, 0), None);
        assert_eq!(ids(&recent, 1), Some(vec![]));
    }
}
