//! The inverted index: from words to the documents that have them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::posting::{Posting, Removal};
use super::tokenize::query_words;
use crate::engine::document::DocumentId;

#[derive(Debug, Clone, Default)]
pub(super) struct InvertedIndex {
    /// Words ascending, so that the words with one prefix lie together. The number beside an id is how
    /// often the word occurs in that document.
    words: BTreeMap<Box<str>, Posting<DocumentId, u32>>,
}

impl InvertedIndex {
    /// O(log n); returns whether the document did not have this word yet.
    pub fn insert(&mut self, word: &str, count: u32, id: &DocumentId) -> bool {
        match self.words.get_mut(word) {
            Some(documents) => documents.insert(id.clone(), count),
            None => {
                self.words.insert(word.into(), Posting::One(id.clone(), count));
                true
            }
        }
    }

    /// O(log n); returns whether the document had this word.
    pub fn remove(&mut self, word: &str, id: &DocumentId) -> bool {
        match self.words.get_mut(word).map(|documents| documents.remove(id)) {
            Some(Removal::Emptied) => self.words.remove(word).is_some(),
            removal => removal == Some(Removal::Removed),
        }
    }

    pub fn unique_keys(&self) -> usize {
        self.words.len()
    }

    /// The documents that have every word of the query, as a word or as a prefix; best first, ties by id.
    /// A query without words finds nothing.
    ///
    /// A document's score is the sum over the query's words of `c / (c + 1)`, where `c` is the number of
    /// times that the word occurs, plus 1 if it occurs as a whole (then only such occurrences count). So
    /// for each word a whole word beats any number of prefixes, and more occurrences beat fewer, each by
    /// less than the one before.
    ///
    /// Time is linear in the number of entries of the matching words.
    pub fn search(&self, query: &str) -> Vec<(DocumentId, f64)> {
        let mut scores: Option<HashMap<&DocumentId, f64>> = None;
        for word in query_words(query) {
            let found = self.matches(&word, scores.as_ref());
            if found.is_empty() {
                return Vec::new();
            }
            scores = Some(found);
        }
        let mut ranked: Vec<_> = scores.unwrap_or_default().into_iter().collect();
        ranked.sort_unstable_by(|(id, score), (other_id, other)| {
            other.total_cmp(score).then_with(|| id.cmp(other_id))
        });
        ranked.into_iter().map(|(id, score)| (id.clone(), score)).collect()
    }

    /// The documents that match one word of a query, with their scores; of those `so_far` only, if given,
    /// with the scores added up.
    fn matches<'a>(
        &'a self,
        word: &str,
        so_far: Option<&HashMap<&'a DocumentId, f64>>,
    ) -> HashMap<&'a DocumentId, f64> {
        let mut prefixes: HashMap<&DocumentId, u64> = HashMap::new();
        let from_word = self.words.range::<str, _>((Bound::Excluded(word), Bound::Unbounded));
        for (_, documents) in from_word.take_while(|(found, _)| found.starts_with(word)) {
            for (id, &count) in documents.iter() {
                if so_far.is_none_or(|scores| scores.contains_key(id)) {
                    *prefixes.entry(id).or_default() += u64::from(count);
                }
            }
        }
        let mut scores: HashMap<_, _> =
            prefixes.into_iter().map(|(id, count)| (id, saturate(count))).collect();
        for (id, &count) in self.words.get(word).iter().flat_map(|documents| documents.iter()) {
            if so_far.is_none_or(|scores| scores.contains_key(id)) {
                scores.insert(id, 1.0 + saturate(count.into()));
            }
        }
        if let Some(so_far) = so_far {
            for (id, score) in &mut scores {
                *score += so_far.get(id).copied().unwrap_or_default();
            }
        }
        scores
    }
}

/// From 1/2 for one occurrence towards 1 for many.
fn saturate(count: u64) -> f64 {
    let count = count as f64;
    count / (count + 1.0)
}
