//! What one document has in one index.

use super::key::IndexKey;

/// The keys (sorted, each once) or, for an inverted index, the words with their counts that one document has in one index.
/// One key, the usual case, needs no allocation besides its own text: 24 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entries(pub(super) Repr);

/// Each set of entries has only one form, so that equality is equality of content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Repr {
    #[default]
    None,
    Key(IndexKey),
    /// Two or more, ascending.
    Keys(Box<[IndexKey]>),
    /// One or more, ascending by word.
    Words(Box<[(Box<str>, u32)]>),
    /// More keys than an index accepts from one document, which is left out.
    TooMany,
}

impl Entries {
    pub(super) fn from_keys(mut keys: Vec<IndexKey>) -> Entries {
        keys.sort_unstable();
        keys.dedup();
        if keys.len() > 1 {
            return Entries(Repr::Keys(keys.into()));
        }
        Entries(keys.pop().map_or(Repr::None, Repr::Key))
    }

    pub(super) fn from_words(mut words: Vec<(Box<str>, u32)>) -> Entries {
        if words.is_empty() {
            return Entries::default();
        }
        words.sort_unstable();
        Entries(Repr::Words(words.into()))
    }

    pub(super) fn keys(&self) -> &[IndexKey] {
        match &self.0 {
            Repr::Key(key) => std::slice::from_ref(key),
            Repr::Keys(keys) => keys,
            Repr::None | Repr::Words(_) | Repr::TooMany => &[],
        }
    }

    pub(super) fn words(&self) -> &[(Box<str>, u32)] {
        match &self.0 {
            Repr::Words(words) => words,
            _ => &[],
        }
    }

    pub(super) fn into_keys(self) -> impl Iterator<Item = IndexKey> {
        let (key, keys) = match self.0 {
            Repr::Key(key) => (Some(key), Vec::new()),
            Repr::Keys(keys) => (None, keys.into_vec()),
            Repr::None | Repr::Words(_) | Repr::TooMany => (None, Vec::new()),
        };
        key.into_iter().chain(keys)
    }

    pub(super) fn into_words(self) -> Vec<(Box<str>, u32)> {
        match self.0 {
            Repr::Words(words) => words.into_vec(),
            _ => Vec::new(),
        }
    }

    /// The number of keys or words.
    pub fn len(&self) -> usize {
        self.keys().len() + self.words().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// False if the arrays in a document's fields combine to more than [`super::MAX_TUPLES`] composite
    /// keys. Such a document has no entries; a caller that writes documents should refuse it.
    pub fn is_complete(&self) -> bool {
        self.0 != Repr::TooMany
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_with_a_single_key_are_compact() {
        assert_eq!(size_of::<IndexKey>(), 24);
        assert_eq!(size_of::<Entries>(), 24);
    }

    #[test]
    fn equal_keys_make_equal_entries() {
        let key = IndexKey::text("a");
        assert_eq!(Entries::from_keys(vec![key.clone(), key.clone()]), Entries::from_keys(vec![key]));
        assert_eq!(Entries::from_keys(Vec::new()), Entries::default());
    }
}
