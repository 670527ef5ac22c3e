//! Changes of names that no directory sync has made durable yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub type Ino = u64;
pub type Entries = BTreeMap<Arc<str>, Ino>;

#[derive(Clone, Default)]
pub struct DirNode {
    pub live: Entries,
    pub durable: Entries,
}

/// A change of one entry of a directory: what its name refers to now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryChange {
    pub dir: Ino,
    pub name: Arc<str>,
    pub now: Option<Ino>,
}

/// What one call did to names: it survives a power loss as a whole or not at all.
#[derive(Debug, Clone)]
pub struct NameOp {
    pub changes: Vec<EntryChange>,
    /// Whether a failed directory sync counted it as written: then no later sync writes it by itself.
    pub abandoned: bool,
}

impl NameOp {
    pub fn touches(&self, dir: Ino) -> bool {
        self.changes.iter().any(|change| change.dir == dir)
    }

    pub fn touches_entry(&self, dir: Ino, name: &str) -> bool {
        self.changes.iter().any(|change| change.dir == dir && &*change.name == name)
    }
}

/// Returns, for each operation, the latest earlier ones on the same entries. It cannot survive without them, because the
/// changes of one entry reach the disk in order. Operations on different entries are independent.
pub fn dependencies(ops: &[Arc<NameOp>]) -> Vec<Vec<usize>> {
    let mut latest = BTreeMap::new();
    let of = |(index, op): (usize, &Arc<NameOp>)| {
        let before: BTreeSet<usize> = op
            .changes
            .iter()
            .filter_map(|change| latest.insert((change.dir, Arc::clone(&change.name)), index))
            .filter(|earlier| *earlier != index)
            .collect();
        before.into_iter().collect()
    };
    ops.iter().enumerate().map(of).collect()
}

/// Takes out the chosen operations and all that they depend on, in order.
pub fn take(ops: &mut Vec<Arc<NameOp>>, chosen: impl Fn(&NameOp) -> bool) -> Vec<Arc<NameOp>> {
    let needs = dependencies(ops);
    let mut taken: Vec<bool> = ops.iter().map(|op| chosen(op)).collect();
    for index in (0..ops.len()).rev() {
        if taken[index] {
            needs[index].iter().for_each(|&need| taken[need] = true);
        }
    }
    let (mut out, mut left) = (Vec::new(), Vec::new());
    for (op, taken) in ops.drain(..).zip(taken) {
        if taken { &mut out } else { &mut left }.push(op);
    }
    *ops = left;
    out
}

pub fn set(entries: &mut Entries, change: &EntryChange) {
    match change.now {
        Some(ino) => entries.insert(Arc::clone(&change.name), ino),
        None => entries.remove(&change.name),
    };
}
