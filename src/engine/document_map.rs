//! Where the documents of a collection are stored, ordered by id.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU32};

use super::document::DocumentId;
use crate::engine::order;

/// Identifies a file that holds documents, a journal or a snapshot. Never reused within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// Distinguishes the successive texts of a document, whose hashes may happen to be equal. Known to this process only.
///
/// Invariant: two locations of one document with the same revision hold the same text. One text may have several revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Revision(u32);

impl Revision {
    /// The revision of a text found in a file, until its collection is shown to readers.
    pub const UNKNOWN: Revision = Revision(0);

    /// Returns a revision that no other text of this process has.
    pub fn fresh() -> Revision {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        match NEXT.fetch_add(1, atomic::Ordering::Relaxed) {
            // The counter wrapped after four billion revisions. Texts with revisions that old also differ in their hashes.
            0 => Revision::fresh(),
            number => Revision(number),
        }
    }
}

/// Distinguishes the texts of one document: their hash, and their revision if the hashes are equal.
pub type Stamp = (u64, Revision);

/// Where the text of a document is stored and the hash that it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    pub offset: u64,
    pub hash: u64,
    pub file: FileId,
    pub len: u32,
    /// Length of the text before the collection's large field: all that a listing without that field needs.
    pub head: u32,
    pub revision: Revision,
}

impl Location {
    pub fn stamp(&self) -> Stamp {
        (self.hash, self.revision)
    }
}

/// An entry of a [`DocumentMap`].
pub type Entry = (DocumentId, Location);

/// The length above which a chunk is split. It bounds what one change copies, and chunks are what clones share.
const CHUNK: usize = 128;

/// An ordered map from ids to locations whose clone costs one pointer per chunk.
///
/// A clone is a stable view: checkpoints and listings read from one while writers continue. A look-up is O(log n), a change
/// O(log n + chunk), a clone O(n / 128).
///
/// Invariants: no chunk is empty, none is longer than `CHUNK`, ids ascend within and across chunks, and each chunk has the
/// rank of its first id.
#[derive(Debug, Clone, Default)]
pub struct DocumentMap {
    chunks: Vec<Chunk>,
    len: usize,
}

/// A run of entries. Its rank is stored next to the pointer to the entries, so that a search for the right chunk touches few
/// cache lines.
#[derive(Debug, Clone)]
struct Chunk {
    /// The rank of the first id.
    rank: u64,
    entries: Arc<Vec<Entry>>,
}

impl Chunk {
    fn new(entries: Vec<Entry>) -> Chunk {
        let mut chunk = Chunk { rank: 0, entries: Arc::new(entries) };
        chunk.rank_anew();
        chunk
    }

    fn rank_anew(&mut self) {
        self.rank = self.entries.first().map_or(0, |(id, _)| rank(id));
    }

    fn first(&self) -> Option<&DocumentId> {
        self.entries.first().map(|(id, _)| id)
    }

    fn begins_at_or_before(&self, rank: u64, id: &DocumentId) -> bool {
        match self.rank.cmp(&rank) {
            Ordering::Less => true,
            Ordering::Equal => self.entries.first().is_some_and(|entry| entry.0 <= *id),
            Ordering::Greater => false,
        }
    }
}

/// Returns a number that orders ids as they are ordered themselves, except that several ids may have the same number.
fn rank(id: &DocumentId) -> u64 {
    match id {
        DocumentId::Number(number) => *number,
        DocumentId::Text(text) => {
            let mut first = [0; 8];
            first.iter_mut().zip(text.bytes()).for_each(|(place, byte)| *place = byte);
            // Texts come after all numbers, which have at most 53 bits.
            1 << 63 | u64::from_be_bytes(first) >> 1
        }
    }
}

/// Returns those chunks of two maps that are not the same, in the order of each.
fn unshared<'m>(one: &'m [Chunk], other: &'m [Chunk]) -> (Vec<&'m Chunk>, Vec<&'m Chunk>) {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    loop {
        // Chunks that are shared begin with the same id. Passing the one that begins first never passes the other's shared one.
        let order = match (one.peek(), other.peek()) {
            (Some(a), Some(b)) => a.first().cmp(&b.first()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return (ones, others),
        };
        let a = if order.is_le() { one.next() } else { None };
        let b = if order.is_ge() { other.next() } else { None };
        if !a.zip(b).is_some_and(|(a, b)| Arc::ptr_eq(&a.entries, &b.entries)) {
            ones.extend(a);
            others.extend(b);
        }
    }
}

fn entries<'c, 'm>(chunks: &'c [&'m Chunk]) -> impl Iterator<Item = &'m Entry> + use<'c, 'm> {
    chunks.iter().flat_map(|chunk| chunk.entries.iter())
}

impl DocumentMap {
    /// Builds the map from entries in any order. Of two entries with the same id, the later one counts.
    pub fn from_entries(mut entries: Vec<Entry>) -> DocumentMap {
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            entries.reverse();
            order::sort_by(&mut entries, |a, b| a.0.cmp(&b.0));
            entries.dedup_by(|later, kept| later.0 == kept.0);
        }
        let len = entries.len();
        let mut chunks = Vec::with_capacity(len.div_ceil(CHUNK / 2));
        let mut rest = entries.into_iter().peekable();
        while rest.peek().is_some() {
            // Half-filled chunks leave room, so that the first inserts split none.
            chunks.push(Chunk::new(rest.by_ref().take(CHUNK / 2).collect()));
        }
        DocumentMap { chunks, len }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the position of the chunk that contains `id` or would contain it.
    fn chunk_of(&self, id: &DocumentId) -> usize {
        let rank = rank(id);
        self.chunks.partition_point(|chunk| chunk.begins_at_or_before(rank, id)).saturating_sub(1)
    }

    pub fn entry(&self, id: &DocumentId) -> Option<&Entry> {
        let chunk = &self.chunks.get(self.chunk_of(id))?.entries;
        let at = chunk.binary_search_by(|entry| entry.0.cmp(id)).ok()?;
        chunk.get(at)
    }

    pub fn get(&self, id: &DocumentId) -> Option<&Location> {
        self.entry(id).map(|(_, location)| location)
    }

    /// Sets the location of `id` and returns its previous one.
    pub fn insert(&mut self, id: DocumentId, location: Location) -> Option<Location> {
        let at_chunk = self.chunk_of(&id);
        let last = self.chunks.len().saturating_sub(1);
        let Some(chunk) = self.chunks.get_mut(at_chunk) else {
            self.chunks.push(Chunk::new(vec![(id, location)]));
            self.len += 1;
            return None;
        };
        let entries = Arc::make_mut(&mut chunk.entries);
        match entries.binary_search_by(|entry| entry.0.cmp(&id)) {
            Ok(at) => return Some(std::mem::replace(&mut entries[at].1, location)),
            Err(at) => entries.insert(at, (id, location)),
        }
        self.len += 1;
        // Ids mostly ascend: splitting the last chunk near its end keeps the others full.
        let keep = if at_chunk == last { CHUNK - CHUNK / 8 } else { CHUNK / 2 };
        let upper = (entries.len() > CHUNK).then(|| entries.split_off(keep));
        chunk.rank_anew();
        if let Some(upper) = upper {
            self.chunks.insert(at_chunk + 1, Chunk::new(upper));
        }
        None
    }

    /// Sets the location of a document, or removes the document if `location` is `None`.
    pub fn set(&mut self, id: DocumentId, location: Option<Location>) {
        match location {
            Some(location) => drop(self.insert(id, location)),
            None => drop(self.remove(&id)),
        }
    }

    pub fn remove(&mut self, id: &DocumentId) -> Option<Location> {
        let at_chunk = self.chunk_of(id);
        let chunk = self.chunks.get_mut(at_chunk)?;
        let at = chunk.entries.binary_search_by(|entry| entry.0.cmp(id)).ok()?;
        let (_, location) = Arc::make_mut(&mut chunk.entries).remove(at);
        chunk.rank_anew();
        if chunk.entries.is_empty() {
            self.chunks.remove(at_chunk);
        }
        self.len -= 1;
        Some(location)
    }

    /// Returns the ids of the documents that differ in a later map, each with its entry there, ascending; `None` if these are
    /// more than `most`. Where documents are stored does not matter. O(n / 128 + chunks that the maps do not share).
    pub fn changes_to<'m>(
        &'m self,
        later: &'m DocumentMap,
        most: usize,
    ) -> Option<Vec<(&'m DocumentId, Option<&'m Entry>)>> {
        let (before, now) = unshared(&self.chunks, &later.chunks);
        let (mut before, mut now) = (entries(&before).peekable(), entries(&now).peekable());
        let mut changes = Vec::new();
        loop {
            let order = match (before.peek(), now.peek()) {
                (Some(one), Some(other)) => one.0.cmp(&other.0),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Some(changes),
            };
            let old = if order.is_le() { before.next() } else { None };
            let new = if order.is_ge() { now.next() } else { None };
            if old.map(|(_, location)| location.stamp()) == new.map(|(_, location)| location.stamp()) {
                continue;
            }
            if changes.len() == most {
                return None;
            }
            changes.extend(old.or(new).map(|(id, _)| (id, new)));
        }
    }

    /// Iterates over the entries with ids in a range, in ascending order or from the last one. O(log n) to start.
    pub fn range<'m>(
        &'m self,
        start: Bound<&DocumentId>,
        end: Bound<&DocumentId>,
    ) -> impl DoubleEndedIterator<Item = &'m Entry> + use<'m> {
        let (first, end) = (self.place_of_start(start), self.place_of_end(end));
        (first.0..=end.0).flat_map(move |at| {
            let chunk = self.chunks.get(at).map_or(&[][..], |chunk| &chunk.entries);
            let from = if at == first.0 { first.1 } else { 0 };
            let to = if at == end.0 { end.1 } else { chunk.len() };
            chunk.get(from..to).unwrap_or_default()
        })
    }

    /// Returns about how many entries have ids in a range: exactly so many if they are in one chunk, or if they are all.
    /// O(log n).
    pub fn estimate(&self, start: Bound<&DocumentId>, end: Bound<&DocumentId>) -> usize {
        let (first, end) = (self.place_of_start(start), self.place_of_end(end));
        let chunks = end.0.saturating_sub(first.0) * self.len / self.chunks.len().max(1);
        if end < first { 0 } else { (chunks + end.1).saturating_sub(first.1) }
    }

    /// Returns the chunk with the first entry that a range may have, and the place of this entry in it.
    fn place_of_start(&self, bound: Bound<&DocumentId>) -> (usize, usize) {
        match bound {
            Bound::Unbounded => (0, 0),
            Bound::Included(id) => self.place(id, |entry| entry.0 < *id),
            Bound::Excluded(id) => self.place(id, |entry| entry.0 <= *id),
        }
    }

    /// Returns the chunk with the first entry after a range, and the place of this entry in it.
    fn place_of_end(&self, bound: Bound<&DocumentId>) -> (usize, usize) {
        match bound {
            Bound::Unbounded => (self.chunks.len(), 0),
            Bound::Included(id) => self.place(id, |entry| entry.0 <= *id),
            Bound::Excluded(id) => self.place(id, |entry| entry.0 < *id),
        }
    }

    /// Returns the chunk of an id, and how many of its entries are `before`.
    fn place(&self, id: &DocumentId, before: impl Fn(&Entry) -> bool) -> (usize, usize) {
        let at = self.chunk_of(id);
        (at, self.chunks.get(at).map_or(0, |chunk| chunk.entries.partition_point(before)))
    }

    /// Iterates over all entries in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flat_map(|chunk| chunk.entries.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::ops::RangeBounds;

    fn location(offset: u64) -> Location {
        Location { offset, hash: 0, file: FileId(0), len: 0, head: 0, revision: Revision::UNKNOWN }
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_map(
            start in 0u64..1000,
            changes in proptest::collection::vec((0u64..1500, any::<bool>()), 0..1500),
        ) {
            let mut model: BTreeMap<DocumentId, u64> = (0..start).map(|id| (id.into(), id)).collect();
            let mut map = DocumentMap::from_entries((0..start).map(|id| (id.into(), location(id))).collect());
            let view = map.clone();
            for (step, (id, insert)) in changes.into_iter().enumerate() {
                let step = step as u64 + 10_000;
                let id = DocumentId::from(id);
                let (was, expected) = if insert {
                    (map.insert(id.clone(), location(step)), model.insert(id, step))
                } else {
                    (map.remove(&id), model.remove(&id))
                };
                prop_assert_eq!(was.map(|location| location.offset), expected);
            }
            prop_assert_eq!(map.len(), model.len());
            prop_assert!(map.iter().map(|(id, location)| (id, &location.offset)).eq(model.iter()));
            for (id, offset) in &model {
                prop_assert_eq!(map.get(id).map(|location| location.offset), Some(*offset));
            }
            let bounds = [
                Bound::Unbounded,
                Bound::Included(DocumentId::from(0)),
                Bound::Excluded(700.into()),
                Bound::Included(1000.into()),
                Bound::Excluded(1499.into()),
            ];
            for (start, end) in bounds.iter().flat_map(|start| bounds.iter().map(move |end| (start, end))) {
                let range = || map.range(start.as_ref(), end.as_ref()).map(|(id, _)| id.clone());
                let within = |id: &&DocumentId| (start.as_ref(), end.as_ref()).contains(*id);
                let expected: Vec<DocumentId> = model.keys().filter(within).cloned().collect();
                prop_assert!(range().eq(expected.iter().cloned()));
                prop_assert!(range().rev().eq(expected.iter().rev().cloned()));
                let estimate = map.estimate(start.as_ref(), end.as_ref());
                prop_assert!(estimate.abs_diff(expected.len()) <= map.len() / 2 + CHUNK, "{estimate}");
            }
            prop_assert_eq!(map.estimate(Bound::Unbounded, Bound::Unbounded), map.len());
            prop_assert_eq!(view.len() as u64, start);
            prop_assert!(view.iter().all(|(id, location)| *id == location.offset.into()));
        }

        #[test]
        fn changes_are_those_of_the_texts(
            start in 0u64..1000,
            changes in proptest::collection::vec((0u64..1500, proptest::option::of(0u64..3)), 0..300),
            moved in any::<bool>(),
        ) {
            let hashed = |offset, hash| Location { hash, ..location(offset) };
            let before = DocumentMap::from_entries((0..start).map(|id| (id.into(), hashed(id, 0))).collect());
            let mut after = before.clone();
            for (id, hash) in &changes {
                after.set((*id).into(), hash.map(|hash| hashed(5000 + id, hash)));
            }
            if moved {
                let elsewhere = |(id, location): &Entry| (id.clone(), Location { offset: location.offset + 9000, ..*location });
                after = DocumentMap::from_entries(after.iter().map(elsewhere).collect());
            }
            let hash = |map: &DocumentMap, id| map.get(&DocumentId::from(id)).map(|location| location.hash);
            let expected: Vec<_> = (0..1500).filter(|&id| hash(&before, id) != hash(&after, id)).collect();
            let found = before.changes_to(&after, expected.len()).expect("not too many");
            prop_assert!(found.iter().all(|(id, entry)| *entry == after.entry(id)));
            prop_assert!(found.into_iter().map(|(id, _)| id.clone()).eq(expected.iter().map(|&id| id.into())));
            if let Some(fewer) = expected.len().checked_sub(1) {
                prop_assert!(before.changes_to(&after, fewer).is_none());
            }
        }
    }

    proptest! {
        #[test]
        fn ranks_order_as_their_ids_do(one in id(), other in id()) {
            if rank(&one) != rank(&other) {
                prop_assert_eq!(rank(&one).cmp(&rank(&other)), one.cmp(&other));
            }
        }

        #[test]
        fn text_ids_with_a_common_prefix_are_found(ids in proptest::collection::btree_set("(prefix--|)[ab]{0,9}", 0..400)) {
            let mut map = DocumentMap::default();
            for (at, id) in ids.iter().enumerate() {
                map.insert(DocumentId::from_key(id), location(at as u64));
            }
            for (at, id) in ids.iter().enumerate() {
                let found = map.get(&DocumentId::from_key(id));
                prop_assert_eq!(found.map(|location| location.offset), Some(at as u64));
            }
        }
    }

    fn id() -> impl Strategy<Value = DocumentId> {
        prop_oneof![
            (0u64..1 << 53).prop_map(DocumentId::Number),
            any::<String>().prop_map(|text| DocumentId::Text(text.into()))
        ]
    }

    #[test]
    fn the_later_of_two_entries_with_the_same_id_counts() {
        let map = DocumentMap::from_entries(vec![
            (2.into(), location(1)),
            (1.into(), location(2)),
            (2.into(), location(3)),
        ]);
        assert_eq!(map.len(), 2);
        assert_eq!(map.get(&2.into()), Some(&location(3)));
    }
}
