//! Comparing two indexes piece by piece, because one of them may have to be locked, and nobody should wait for all of it.

use super::dispatch::{Ids, Index, Structure};
use super::inverted::Documents;
use super::key::IndexKey;

/// Some keys or words of an index, with the documents that have them.
pub struct Piece<'a>(Part<'a>);

enum Part<'a> {
    Keys(Vec<(&'a IndexKey, &'a Ids)>),
    Words(Vec<(&'a str, &'a Documents)>),
}

impl Index {
    /// Returns all keys or words, in pieces of about `size` entries. O(n) in all.
    pub fn pieces(&self, size: usize) -> Vec<Piece<'_>> {
        match &self.structure {
            Structure::Hash(index) => cut(index.iter(), |(_, ids)| ids.len(), size, Part::Keys),
            Structure::Btree(index) => cut(index.iter(), |(_, ids)| ids.len(), size, Part::Keys),
            Structure::Inverted(index) => cut(index.iter(), |(_, found)| found.len(), size, Part::Words),
        }
    }

    /// Whether the keys or words of a piece lead to the same documents in this index. O(entries of the piece).
    pub fn has_piece(&self, piece: &Piece<'_>) -> bool {
        match (&piece.0, &self.structure) {
            (Part::Keys(keys), Structure::Hash(index)) => {
                keys.iter().all(|(key, ids)| index.get(key) == Some(ids))
            }
            (Part::Keys(keys), Structure::Btree(index)) => {
                keys.iter().all(|(key, ids)| index.get(key) == Some(ids))
            }
            (Part::Words(words), Structure::Inverted(index)) => {
                words.iter().all(|(word, documents)| index.get(word) == Some(documents))
            }
            _ => false,
        }
    }

    /// Whether this index has as many entries and keys as `other`. If so, and if it has all pieces of the other one, it has
    /// nothing else. O(1).
    pub fn is_as_large_as(&self, other: &Index) -> bool {
        (self.total_entries(), self.unique_keys()) == (other.total_entries(), other.unique_keys())
    }
}

fn cut<'a, T>(
    found: impl Iterator<Item = T>,
    entries: impl Fn(&T) -> usize,
    size: usize,
    part: impl Fn(Vec<T>) -> Part<'a>,
) -> Vec<Piece<'a>> {
    let (mut pieces, mut open, mut count) = (Vec::new(), Vec::new(), 0);
    for one in found {
        count += entries(&one);
        open.push(one);
        if count >= size {
            pieces.push(Piece(part(std::mem::take(&mut open))));
            count = 0;
        }
    }
    pieces.push(Piece(part(open)));
    pieces
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::index::{Extractor, IndexConfig, IndexSpec, IndexType};

    fn index(kind: IndexType, names: &[(u64, &str)]) -> Index {
        let config = IndexConfig {
            name: "test".into(),
            kind,
            fields: vec!["name".into()],
            unique: false,
            sparse: false,
        };
        let mut index = Index::new(Arc::new(IndexSpec::new(config, Extractor::Fields)));
        for &(id, name) in names {
            let entries = index.extract(format!("{{\"name\":\"{name}\"}}").as_bytes());
            index.insert(&id.into(), entries);
        }
        index
    }

    fn same(one: &Index, other: &Index, size: usize) -> bool {
        one.is_as_large_as(other) && other.pieces(size).iter().all(|piece| one.has_piece(piece))
    }

    #[test]
    fn indexes_are_equal_exactly_if_every_key_leads_to_the_same_documents() {
        let all = [(1, "a"), (2, "b"), (3, "b"), (4, "c")];
        for kind in [IndexType::Hash, IndexType::Btree, IndexType::Inverted] {
            for size in [1, 2, 100] {
                assert!(same(&index(kind, &all), &index(kind, &all), size));
                let others: [&[(u64, &str)]; 5] = [
                    &all[1..],
                    &[(1, "a"), (2, "b"), (3, "b"), (4, "d")],
                    &[(1, "a"), (2, "b"), (3, "b"), (5, "c")],
                    &[(1, "a"), (2, "a"), (3, "b"), (4, "c")],
                    &[],
                ];
                for other in others {
                    assert!(!same(&index(kind, &all), &index(kind, other), size), "{kind:?} {other:?}");
                    assert!(!same(&index(kind, other), &index(kind, &all), size), "{kind:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn pieces_have_the_requested_size() {
        let names: Vec<(u64, &str)> =
            (0..10).map(|id| (id, ["a", "b", "c", "d", "e"][id as usize % 5])).collect();
        let index = index(IndexType::Hash, &names);
        assert_eq!(index.pieces(4).len(), 3);
        assert_eq!(index.pieces(1000).len(), 1);
    }
}
