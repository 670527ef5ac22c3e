//! The inverted index: maps words to the documents that have them.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::posting::{Posting, Removal};
use super::tokenize::query_words;
use crate::engine::document::DocumentId;
use crate::engine::order;

/// The documents with one word, and how often each has it.
pub(super) type Documents = Posting<DocumentId, u32>;

/// Stands for the key null: no text has a word without characters, and no query asks for one.
pub(super) const NULL_WORD: &str = "";

#[derive(Debug, Clone, Default)]
pub(super) struct InvertedIndex {
    /// In ascending order of words, so that the words with the same prefix are adjacent.
    words: BTreeMap<Box<str>, Documents>,
}

impl InvertedIndex {
    /// O(n) if the words ascend.
    pub fn from_sorted(words: Vec<(Box<str>, Documents)>) -> InvertedIndex {
        InvertedIndex { words: words.into_iter().collect() }
    }

    /// O(log n); returns whether the document did not have this word yet.
    pub fn insert(&mut self, word: Box<str>, count: u32, id: &DocumentId) -> bool {
        match self.words.get_mut(&word) {
            Some(documents) => documents.insert(id.clone(), count),
            None => {
                self.words.insert(word, Posting::One(id.clone(), count));
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

    pub fn get(&self, word: &str) -> Option<&Documents> {
        self.words.get(word)
    }

    /// Ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Documents)> {
        self.words.iter().map(|(word, documents)| (&**word, documents))
    }

    pub fn unique_keys(&self) -> usize {
        self.words.len()
    }

    /// The documents that have every word of the query, as a word or as a prefix; best first, ties by id.
    /// A query without words finds nothing.
    ///
    /// A document's score is the sum over the query's words of `c / (c + 1)`, where `c` is the number of times that the word
    /// occurs, plus 1 if it occurs as a whole (then only such occurrences count). So for each word a whole word beats any
    /// number of prefixes, more occurrences beat fewer, and each occurrence adds less than the one before. Scores are rounded:
    /// equal sums differ by a few units in the last place if their terms were added in another order.
    ///
    /// Time is at most O(n log n) in the number of entries of the matching words. A rare word in the query
    /// spares most of the work for the frequent ones.
    pub fn search(&self, query: &str) -> Vec<(DocumentId, f64)> {
        let mut terms: Vec<Term> = query_words(query).iter().map(|word| self.term(word)).collect();
        order::sort_by(&mut terms, |one, other| one.entries.cmp(&other.entries));
        let mut terms = terms.into_iter();
        let mut scores = terms.next().map_or_else(Vec::new, |term| term.scores());
        for term in terms {
            term.narrow(&mut scores);
        }
        scores.iter_mut().for_each(|(_, score)| *score = rounded(*score));
        // Stable, so that ids stay ascending within one score.
        scores.sort_by(|(_, score), (_, other)| other.total_cmp(score));
        scores.into_iter().map(|(id, score)| (id.clone(), score)).collect()
    }

    fn term(&self, word: &str) -> Term<'_> {
        let longer = self.words.range::<str, _>((Bound::Excluded(word), Bound::Unbounded));
        let longer = longer.take_while(|(found, _)| found.starts_with(word));
        let prefixes: Vec<&Documents> = longer.map(|(_, documents)| documents).collect();
        let whole = self.words.get(word);
        Term {
            entries: whole.iter().chain(&prefixes).map(|documents| documents.len()).sum(),
            whole,
            prefixes,
        }
    }
}

/// What matches one word of a query.
struct Term<'a> {
    /// The documents with the word itself.
    whole: Option<&'a Documents>,
    /// The documents with each of the longer words that start with it.
    prefixes: Vec<&'a Documents>,
    /// The total length of these lists.
    entries: usize,
}

impl<'a> Term<'a> {
    /// The score of every document that matches, ids ascending.
    fn scores(&self) -> Vec<(&'a DocumentId, f64)> {
        let mut found: Vec<(&DocumentId, f64)> = Vec::with_capacity(self.entries);
        for documents in &self.prefixes {
            found.extend(documents.iter().map(|(id, &count)| (id, f64::from(count))));
        }
        if self.prefixes.len() > 1 {
            found.sort_unstable_by_key(|(id, _)| *id);
            found.dedup_by(|(id, count), (kept, sum)| {
                let same = id == kept;
                *sum += if same { *count } else { 0.0 };
                same
            });
        }
        found.iter_mut().for_each(|(_, score)| *score = saturate(*score));
        if let Some(whole) = self.whole {
            let unsorted = !found.is_empty();
            found.extend(whole.iter().map(|(id, &count)| (id, 1.0 + saturate(count.into()))));
            if unsorted {
                // Best first for each id: if there is a whole word, it alone counts.
                found.sort_unstable_by(|(id, score), (other_id, other)| {
                    id.cmp(other_id).then_with(|| other.total_cmp(score))
                });
                found.dedup_by_key(|(id, _)| *id);
            }
        }
        found
    }

    /// Keeps those of `scores` that match this term too, and adds its score to them.
    fn narrow(&self, scores: &mut Vec<(&'a DocumentId, f64)>) {
        let lists = self.prefixes.len() + 1;
        if scores.len().saturating_mul(lists) < self.entries {
            scores.retain_mut(|(id, score)| {
                let own = self.score(id);
                *score += own.unwrap_or_default();
                own.is_some()
            });
            return;
        }
        let mut own = self.scores().into_iter().peekable();
        scores.retain_mut(|(id, score)| {
            while own.next_if(|(other, _)| other < id).is_some() {}
            match own.peek() {
                Some((other, own)) if other == id => {
                    *score += own;
                    true
                }
                _ => false,
            }
        });
    }

    /// O(lists · log n).
    fn score(&self, id: &DocumentId) -> Option<f64> {
        if let Some(count) = self.whole.and_then(|documents| documents.get(id)) {
            return Some(1.0 + saturate(f64::from(*count)));
        }
        let counts = self.prefixes.iter().filter_map(|documents| documents.get(id));
        let sum: f64 = counts.map(|&count| f64::from(count)).sum();
        (sum > 0.0).then(|| saturate(sum))
    }
}

/// Grows from 1/2 for one occurrence towards 1 for many.
fn saturate(count: f64) -> f64 {
    count / (count + 1.0)
}

fn rounded(score: f64) -> f64 {
    const UNITS: f64 = (1_u64 << 36) as f64;
    (score * UNITS).round() / UNITS
}
