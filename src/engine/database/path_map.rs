//! Paths with values, in which those at, above or below another path are found without looking at all of them.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Relative paths with slashes, each with a value.
#[derive(Clone, Debug)]
pub struct PathMap<V>(BTreeMap<String, V>);

impl<V> Default for PathMap<V> {
    fn default() -> PathMap<V> {
        PathMap(BTreeMap::new())
    }
}

impl<V> FromIterator<(String, V)> for PathMap<V> {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(paths: I) -> PathMap<V> {
        PathMap(paths.into_iter().collect())
    }
}

impl<V> Extend<(String, V)> for PathMap<V> {
    fn extend<I: IntoIterator<Item = (String, V)>>(&mut self, paths: I) {
        self.0.extend(paths);
    }
}

impl<V> PathMap<V> {
    pub fn insert(&mut self, path: String, value: V) {
        self.0.insert(path, value);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(path, value)| (path.as_str(), value))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn retain(&mut self, mut is_kept: impl FnMut(&V) -> bool) {
        self.0.retain(|_, value| is_kept(value));
    }

    /// Returns the paths that are the same as `path`, above or below it. O(log n × levels of the path + found).
    pub fn overlapping<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let above = path.match_indices('/').filter_map(|(end, _)| self.0.get_key_value(&path[..end]));
        above.chain(at_or_below(&self.0, path)).map(|(path, _)| path.as_str())
    }

    /// Whether a path is the same as `path`, above or below it. O(log n × levels of the path).
    pub fn overlaps(&self, path: &str) -> bool {
        self.overlapping(path).next().is_some()
    }

    /// Removes the paths that are the same as `path`, above or below it.
    pub fn remove_overlapping(&mut self, path: &str) {
        let removed: Vec<String> = self.overlapping(path).map(str::to_owned).collect();
        for path in removed {
            self.0.remove(&path);
        }
    }
}

/// Returns the entries whose path is the same as `path` or below it. O(log n + found).
pub fn at_or_below<'a, K: Borrow<str> + Ord, V>(
    paths: &'a BTreeMap<K, V>,
    path: &str,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    let below = format!("{path}/");
    let range = paths.range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded));
    let found = range.take_while(move |(path, _)| (*path).borrow().starts_with(&below));
    paths.get_key_value(path).into_iter().chain(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_at_above_and_below_overlap_and_others_that_begin_alike_do_not() {
        let all = ["a", "a b", "a-b", "a/b", "a/b/c", "a/bc", "a/c", "ab", "b"];
        let paths: PathMap<()> = all.map(|path| (path.to_owned(), ())).into_iter().collect();
        let found = |path| paths.overlapping(path).collect::<Vec<_>>();
        assert_eq!(found("a/b"), ["a", "a/b", "a/b/c"]);
        assert_eq!(found("a"), ["a", "a/b", "a/b/c", "a/bc", "a/c"]);
        assert_eq!(found("a/b/x/y"), ["a", "a/b"]);
        assert_eq!(found("x"), Vec::<&str>::new());
    }
}
