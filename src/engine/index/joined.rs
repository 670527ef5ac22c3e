//! Finding composite keys by their joined form.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::key::IndexKey;
use super::posting::{Posting, Removal};

/// The tuples of an index by their joined form, e.g. `electronics:active`, which is what `values.join(':')` returns in
/// JavaScript. Several tuples may share one form: `["a:b","c"]` and `["a","b:c"]`, or `[42,"x"]` and `["42","x"]`.
///
/// Splitting a text into every tuple it may stand for would take time exponential in the number of
/// fields, so the tuples are kept a second time, under the hash of their form.
#[derive(Debug, Clone, Default)]
pub(super) struct JoinedForms {
    hasher: RandomState,
    tuples: HashMap<u64, Posting<IndexKey, ()>>,
}

impl JoinedForms {
    pub fn insert(&mut self, tuple: IndexKey) {
        let hash = self.hash(&joined(&tuple));
        match self.tuples.get_mut(&hash) {
            Some(tuples) => drop(tuples.insert(tuple, ())),
            None => drop(self.tuples.insert(hash, Posting::One(tuple, ()))),
        }
    }

    pub fn remove(&mut self, tuple: &IndexKey) {
        let hash = self.hash(&joined(tuple));
        if self.tuples.get_mut(&hash).is_some_and(|tuples| tuples.remove(tuple) == Removal::Emptied) {
            self.tuples.remove(&hash);
        }
    }

    /// The tuples whose joined form is `text`, ascending. O(1) plus what is found.
    pub fn find<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = &'a IndexKey> {
        let tuples = self.tuples.get(&self.hash(text)).into_iter().flat_map(Posting::ids);
        tuples.filter(move |tuple| joined(tuple) == text)
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.tuples.is_empty()
    }

    fn hash(&self, form: &[u8]) -> u64 {
        self.hasher.hash_one(form)
    }
}

fn joined(tuple: &IndexKey) -> Vec<u8> {
    let mut out = Vec::new();
    push_joined(&mut out, tuple, b':');
    out
}

/// Works like `Array.prototype.join`: null is the empty text, and an array within is joined with commas.
fn push_joined(out: &mut Vec<u8>, key: &IndexKey, separator: u8) {
    match key {
        IndexKey::Null => {}
        IndexKey::Bool(value) => out.extend(value.to_string().as_bytes()),
        IndexKey::Number(number) => out.extend(number.to_string().as_bytes()),
        IndexKey::Text(text) => out.extend(text.iter()),
        IndexKey::Tuple(parts) => {
            for (position, part) in parts.iter().enumerate() {
                if position > 0 {
                    out.push(separator);
                }
                push_joined(out, part, b',');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_join_as_javascript_arrays() {
        for (json, form) in [
            (r#"["electronics","active"]"#, "electronics:active"),
            (r#"[42,true,null,"x"]"#, "42:true::x"),
            (r#"[1e21,[1,["a",null]]]"#, "1e+21:1,a,"),
        ] {
            let tuple = IndexKey::from_json(json.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(joined(&tuple)).unwrap(), form);
        }
    }

    #[test]
    fn a_joined_form_finds_every_tuple_it_stands_for_until_removed() {
        let tuples =
            [r#"[42,"x"]"#, r#"["42","x"]"#].map(|json| IndexKey::from_json(json.as_bytes()).unwrap());
        let mut forms = JoinedForms::default();
        tuples.iter().for_each(|tuple| forms.insert(tuple.clone()));
        assert!(forms.find(b"42:x").eq(&tuples));
        forms.remove(&tuples[0]);
        assert!(forms.find(b"42:x").eq(&tuples[1..]));
        forms.remove(&tuples[1]);
        assert!(forms.is_empty());
    }
}
