//! Whether a history of reads and writes of registers is linearizable.
//!
//! Every value is written once, so the operations of a value form a cluster: its write and the reads that found it. Given
//! the times at which operations began and ended, a cluster spans a zone from its first end to its last beginning. All
//! values can be put in one order exactly if no two such forward zones overlap, and no cluster whose operations all overlap
//! is within the forward zone of another (Gibbons and Korach, 1997).

use std::collections::HashMap;

/// One operation on one register. All times are from one clock, in any unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    pub register: u64,
    pub value: u64,
    pub kind: Kind,
    pub began: u64,
    /// `None` if nobody knows whether it happened, because its process was killed.
    pub ended: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Read,
    Write,
}

#[derive(Debug, Clone, Copy)]
struct Cluster {
    write: Operation,
    first_end: u64,
    last_begin: u64,
}

/// The value of a register that nobody has written yet.
pub const INITIAL: u64 = 0;

/// # Errors
/// What is wrong, with the operations that show it.
pub fn check(operations: &[Operation]) -> Result<(), String> {
    let mut registers: HashMap<u64, Vec<Operation>> = HashMap::new();
    for operation in operations {
        registers.entry(operation.register).or_default().push(*operation);
    }
    registers.into_iter().try_for_each(|(register, operations)| {
        check_register(&operations).map_err(|problem| format!("register {register}: {problem}"))
    })
}

fn check_register(operations: &[Operation]) -> Result<(), String> {
    let initial = Operation { register: 0, value: INITIAL, kind: Kind::Write, began: 0, ended: Some(0) };
    let mut clusters: HashMap<u64, Cluster> = HashMap::new();
    let writes = operations.iter().filter(|operation| operation.kind == Kind::Write);
    for write in std::iter::once(&initial).chain(writes) {
        let first_end = write.ended.unwrap_or(u64::MAX);
        let cluster = Cluster { write: *write, first_end, last_begin: write.began };
        if clusters.insert(write.value, cluster).is_some() {
            return Err(format!("{} was written twice", write.value));
        }
    }
    for read in operations.iter().filter(|operation| operation.kind == Kind::Read) {
        let Some(ended) = read.ended else { continue };
        let Some(cluster) = clusters.get_mut(&read.value) else {
            return Err(format!("{read:?} found what nobody wrote"));
        };
        if ended < cluster.write.began {
            return Err(format!("{read:?} found what was written later: {:?}", cluster.write));
        }
        cluster.first_end = cluster.first_end.min(ended);
        cluster.last_begin = cluster.last_begin.max(read.began);
    }
    // A write whose outcome is unknown, and that nobody read, need not have happened.
    let (mut forward, backward): (Vec<Cluster>, Vec<Cluster>) = clusters
        .into_values()
        .filter(|cluster| cluster.first_end < u64::MAX)
        .partition(|cluster| cluster.first_end < cluster.last_begin);
    forward.sort_by_key(|cluster| cluster.first_end);
    for pair in forward.windows(2) {
        if pair[1].first_end < pair[0].last_begin {
            let (one, other) = (pair[0].write.value, pair[1].write.value);
            let seen = around(operations, pair[1].first_end, pair[0].last_begin);
            return Err(format!("{one} and {other} were each read after the other: {pair:?}\n{seen}"));
        }
    }
    for inner in backward {
        let at = forward.partition_point(|outer| outer.first_end < inner.last_begin);
        let Some(outer) = at.checked_sub(1).and_then(|at| forward.get(at)) else { continue };
        if inner.first_end < outer.last_begin {
            let (value, around) = (inner.write.value, outer.write.value);
            let seen = self::around(operations, inner.write.began, outer.last_begin);
            return Err(format!(
                "{value} came between two sights of {around}: {inner:?} within {outer:?}\n{seen}"
            ));
        }
    }
    Ok(())
}

/// Returns the operations at and around a time, one per line.
fn around(operations: &[Operation], from: u64, to: u64) -> String {
    /// Nanoseconds.
    const MARGIN: u64 = 2_000_000;
    let (from, to) = (from.saturating_sub(MARGIN), to.saturating_add(MARGIN));
    let mut near: Vec<&Operation> = operations
        .iter()
        .filter(|operation| operation.began <= to && operation.ended.is_none_or(|ended| ended >= from))
        .collect();
    near.sort_by_key(|operation| operation.began);
    near.iter().map(|operation| format!("{operation:?}\n")).collect()
}

fn operation(kind: Kind, value: u64, began: u64, ended: u64) -> Operation {
    Operation { register: 1, value, kind, began, ended: Some(ended) }
}

fn write(value: u64, began: u64, ended: u64) -> Operation {
    operation(Kind::Write, value, began, ended)
}

fn read(value: u64, began: u64, ended: u64) -> Operation {
    operation(Kind::Read, value, began, ended)
}

fn lost(value: u64, began: u64) -> Operation {
    Operation { ended: None, ..write(value, began, 0) }
}

#[test]
fn linearizable_histories_are_accepted() {
    let histories: [&[Operation]; 6] = [
        &[read(INITIAL, 1, 2), write(1, 3, 4), read(1, 5, 6)],
        // While a write runs, either value may be read, including the old one after the write began.
        &[write(1, 1, 2), write(2, 3, 9), read(1, 4, 5), read(2, 6, 7), read(2, 8, 10)],
        // Overlapping writes may come in either order.
        &[write(1, 1, 9), write(2, 2, 8), read(2, 10, 11)],
        &[write(1, 1, 9), write(2, 2, 8), read(1, 10, 11)],
        // A write that was cut short has happened or has not.
        &[write(1, 1, 2), lost(2, 3), read(1, 5, 6), read(2, 7, 8)],
        &[write(1, 1, 2), lost(2, 3), read(1, 5, 6), write(3, 7, 8), read(3, 9, 10)],
    ];
    for history in histories {
        assert_eq!(check(history), Ok(()), "{history:?}");
    }
}

#[test]
fn histories_that_are_not_linearizable_are_rejected() {
    let histories: [(&str, &[Operation]); 7] = [
        ("a lost write", &[write(1, 1, 2), read(INITIAL, 3, 4)]),
        ("an old value again", &[write(1, 1, 2), write(2, 3, 4), read(2, 5, 6), read(1, 7, 8)]),
        ("a value of nobody", &[write(1, 1, 2), read(7, 3, 4)]),
        ("a value of the future", &[read(1, 1, 2), write(1, 3, 4)]),
        ("a cut write that came and went", &[write(1, 1, 2), lost(2, 3), read(2, 5, 6), read(1, 7, 8)]),
        (
            "two readers that disagree",
            &[write(1, 1, 20), write(2, 1, 20), read(1, 2, 3), read(2, 4, 5), read(1, 6, 7)],
        ),
        ("a write in the middle of another's sights", &[write(1, 1, 2), write(2, 4, 5), read(1, 6, 7)]),
    ];
    for (what, history) in histories {
        assert!(check(history).is_err(), "{what} passes");
    }
}

#[test]
fn registers_are_judged_independently() {
    let other = |operation: Operation| Operation { register: 2, ..operation };
    let history = [write(1, 1, 2), other(read(INITIAL, 3, 4)), read(1, 3, 4)];
    assert_eq!(check(&history), Ok(()));
}
