//! Indexes filled by hand, crashed at every call: creating, filling, rebuilding, and dropping and creating again are each
//! all or nothing, and what was acknowledged is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use octoprompt_storage::engine::fs::{Extreme, SimFs};
use octoprompt_storage::engine::index::{IndexConfig, IndexKey, IndexType};
use octoprompt_storage::engine::index_set::{Entity, IndexSet};
use octoprompt_storage::engine::{Durability, Error, IndexQuery, Transaction};

use crate::explore::wanted;
use crate::reached::reached;
use crate::support::no_wait;
use crate::world::{DIRECTORY, Handle, READ, disk_hash, machine, open};

const NAME: &str = "by_field";
const KEYS: u64 = 4;

/// The field of the index, and the key of each entity; `None` if there is no index.
type State = Option<(&'static str, BTreeMap<u64, u64>)>;

#[derive(Debug, Clone, Copy)]
enum Op {
    Create(&'static str),
    Drop,
    /// Drops the index, creates it on the other field and fills it, in one batch.
    Replace,
    Add(u64, u64),
    Remove(u64),
    Rebuild(u64),
    /// Fails in the middle of a rebuild.
    Clash,
    Checkpoint,
    Reopen,
}

fn config(field: &str) -> IndexConfig {
    IndexConfig {
        name: NAME.into(),
        kind: IndexType::Btree,
        fields: vec![field.into()],
        unique: true,
        sparse: false,
    }
}

/// Returns an entity whose keys in the two fields differ, the one in `a` being `key`.
fn entity(key: u64) -> String {
    format!("{{\"a\":{key},\"b\":{},\"c\":\"not looked at\"}}", key + 100)
}

fn whole(text: &str) -> Entity<'_> {
    Entity { text: text.as_bytes(), members: None }
}

fn key_in(field: &str, key: u64) -> IndexKey {
    IndexKey::number((key + if field == "a" { 0 } else { 100 }) as f64).expect("a number")
}

/// Returns the entities of a rebuild: the key of each is its id plus `shift`, modulo `KEYS`.
fn rebuilt(shift: u64) -> BTreeMap<u64, u64> {
    (0..KEYS).map(|id| (id, (id + shift) % KEYS)).collect()
}

fn rebuild(indexes: &IndexSet, tx: &mut Transaction<'_>, entities: &[(u64, u64)]) -> Result<(), Error> {
    let texts: Vec<_> = entities.iter().map(|&(id, key)| (id.into(), entity(key))).collect();
    indexes.rebuild(tx, NAME, texts.iter().map(|(id, text): &(_, String)| (Clone::clone(id), whole(text))))
}

fn run_op(
    op: Op,
    field: Option<&'static str>,
    indexes: &IndexSet,
    tx: &mut Transaction<'_>,
) -> Result<(), Error> {
    match op {
        Op::Create(field) => indexes.create(tx, &config(field)),
        Op::Drop => indexes.drop_index(tx, NAME).map(drop),
        Op::Replace => {
            indexes.drop_index(tx, NAME)?;
            indexes.create(tx, &config(other(field)))?;
            indexes.add(tx, NAME, 9.into(), whole(&entity(1)))
        }
        Op::Add(id, key) => indexes.add(tx, NAME, id.into(), whole(&entity(key))),
        Op::Remove(id) => indexes.remove(tx, NAME, id.into()).map(drop),
        Op::Rebuild(shift) => rebuild(indexes, tx, &Vec::from_iter(rebuilt(shift))),
        Op::Clash => rebuild(indexes, tx, &[(1, 1), (2, 2), (3, 1)]),
        Op::Checkpoint | Op::Reopen => Ok(()),
    }
}

fn other(field: Option<&'static str>) -> &'static str {
    if field == Some("a") { "b" } else { "a" }
}

fn after(op: Op, state: &State) -> State {
    let mut state = state.clone();
    match (op, &mut state) {
        (Op::Create(field), _) => return Some((field, BTreeMap::new())),
        (Op::Drop, _) => return None,
        (Op::Replace, _) => {
            let field = other(state.as_ref().map(|(field, _)| *field));
            return Some((field, BTreeMap::from([(9, 1)])));
        }
        (Op::Add(id, key), Some((_, entities))) => drop(entities.insert(id, key)),
        (Op::Remove(id), Some((_, entities))) => drop(entities.remove(&id)),
        (Op::Rebuild(shift), Some((_, entities))) => *entities = rebuilt(shift),
        _ => {}
    }
    state
}

/// Returns what a process finds, asked in every way.
fn observe(database: &Handle) -> Result<State, String> {
    let indexes = IndexSet::new(None);
    let unreadable = |error: Error| format!("unreadable: {}: {error}", error.code());
    let listed = indexes.list(database, READ).map_err(unreadable)?;
    let Some(index) = listed.first() else { return Ok(None) };
    let field = if index.config.fields == ["a"] { "a" } else { "b" };
    let mut entities = BTreeMap::new();
    for key in 0..KEYS {
        let query = IndexQuery::Key(key_in(field, key));
        for id in indexes.ask(database, READ, NAME, &query).map_err(unreadable)?.unwrap_or_default() {
            entities.insert(id.to_string().parse().map_err(|_| format!("found {id}"))?, key);
        }
    }
    let all = IndexQuery::Range { start: IndexKey::Null, end: IndexKey::tuple([]), inclusive: true };
    let in_range = indexes.ask(database, READ, NAME, &all).map_err(unreadable)?.unwrap_or_default();
    let stats =
        indexes.stats(database, READ, NAME).map_err(unreadable)?.ok_or("listed, but has no statistics")?;
    if in_range.len() != entities.len() || stats.total_entries != entities.len() {
        return Err(format!("{entities:?}, but {in_range:?} in the whole range and {stats:?}"));
    }
    Ok(Some((field, entities)))
}

/// An operation, with the number of file calls when it began and when it was acknowledged, and the state after it.
struct Step {
    begun: u64,
    acknowledged: u64,
    state: State,
}

fn run(fs: &SimFs, ops: &[Op]) -> Result<Vec<Step>, String> {
    let mut database = open(fs, None)?;
    let indexes = Arc::new(IndexSet::new(None));
    let mut steps = vec![Step { begun: 0, acknowledged: fs.total_calls(), state: None }];
    for &op in ops {
        let before = steps.last().map(|step| step.state.clone()).unwrap_or_default();
        let begun = fs.total_calls();
        let field = before.as_ref().map(|(field, _)| *field);
        let result = match op {
            Op::Checkpoint => database.checkpoint(no_wait()),
            Op::Reopen => {
                drop(database);
                database = open(fs, None)?;
                Ok(())
            }
            _ => {
                let indexes = Arc::clone(&indexes);
                database.write(Durability::Full, move |tx| run_op(op, field, &indexes, tx))
            }
        };
        match (op, result.map_err(|error| error.code())) {
            (Op::Clash, Err("UNIQUE_VIOLATION")) => {}
            (Op::Clash, result) => return Err(format!("a clash gave {result:?}")),
            (_, Ok(())) => {}
            (_, Err(code)) => return Err(format!("{op:?} gave {code}")),
        }
        let state = after(op, &before);
        let seen = observe(&database)?;
        if seen != state {
            return Err(format!("after {op:?} there is {seen:?} instead of {state:?}"));
        }
        steps.push(Step { begun, acknowledged: fs.total_calls(), state });
    }
    Ok(steps)
}

/// Checks that after a crash the index is as after the last acknowledged operation or one under way, that it is so a second
/// time, and that it can be changed.
fn check(after_crash: &SimFs, allowed: &[Step]) -> Result<(), String> {
    let database = open(after_crash, None)?;
    let found = observe(&database)?;
    if !allowed.iter().any(|step| step.state == found) {
        let states: Vec<_> = allowed.iter().map(|step| &step.state).collect();
        return Err(format!("opened to {found:?}, which is none of {states:?}"));
    }
    drop(database);
    let database = open(after_crash, None)?;
    if observe(&database)? != found {
        return Err("opened to something else the second time".into());
    }
    let indexes = IndexSet::new(None);
    let field = found.as_ref().map(|(field, _)| *field);
    database
        .write(Durability::Full, move |tx| run_op(Op::Replace, field, &indexes, tx))
        .map_err(|e| e.to_string())?;
    database.checkpoint(no_wait()).map_err(|error| error.to_string())?;
    let expected = after(Op::Replace, &found);
    let seen = observe(&database)?;
    if seen == expected { Ok(()) } else { Err(format!("then there is {seen:?} instead of {expected:?}")) }
}

fn explore(ops: &[Op], limit: usize, least: usize) {
    let fs = machine();
    fs.record();
    let steps = run(&fs, ops).unwrap_or_else(|problem| panic!("{ops:?}: {problem}"));
    let moments = fs.moments();
    let mut disks = std::collections::HashSet::new();
    for (at, moment) in moments.iter().enumerate() {
        let since = moment.calls();
        let until =
            moments.get(at + 1).map_or(fs.total_calls(), |next| next.calls().saturating_sub(1).max(since));
        let first = steps.iter().rposition(|step| step.acknowledged <= until).unwrap_or(0);
        let last = steps.iter().rposition(|step| step.begun < since).unwrap_or(0);
        let allowed = &steps[first.min(last)..=first.max(last)];
        for crashed in moment.crash_states(limit, at as u64).chain([moment.kill()]) {
            disks.insert(disk_hash(&crashed));
            if let Err(problem) = check(&crashed, allowed) {
                let origin = crashed.origin().map(ToString::to_string).unwrap_or_default();
                panic!("{ops:?}, call {since}: {problem}\n{origin}");
            }
        }
    }
    reached("a crash around indexes filled by hand", format!("{} different disks", disks.len()));
    assert!(disks.len() >= least, "only {} of {least} different disks", disks.len());
}

#[test]
fn filling_and_rebuilding_an_index_survives_every_crash() {
    let ops = [
        Op::Create("a"),
        Op::Add(1, 2),
        Op::Add(1, 3),
        Op::Add(2, 2),
        Op::Checkpoint,
        Op::Rebuild(1),
        Op::Clash,
        Op::Remove(2),
        Op::Checkpoint,
        Op::Rebuild(2),
        Op::Reopen,
        Op::Add(1, 3),
    ];
    explore(&ops, wanted(20), 240);
}

#[test]
fn dropping_and_recreating_an_index_survives_every_crash() {
    let ops = [
        Op::Create("a"),
        Op::Rebuild(0),
        Op::Checkpoint,
        Op::Drop,
        Op::Create("b"),
        Op::Add(1, 1),
        Op::Checkpoint,
        Op::Replace,
        Op::Replace,
        Op::Reopen,
        Op::Rebuild(3),
        Op::Drop,
        Op::Checkpoint,
        Op::Create("a"),
    ];
    explore(&ops, wanted(20), 350);
}

/// The damaged file must not come back in the place of what was written anew.
#[test]
fn rebuilding_a_damaged_index_survives_power_loss() {
    for op in [Op::Rebuild(1), Op::Replace] {
        let fs = machine();
        let expected =
            after(op, &run(&fs, &[Op::Create("a"), Op::Add(1, 2), Op::Checkpoint]).expect("runs")[3].state);
        let file = format!("{DIRECTORY}/indexes/{NAME}.json");
        fs.remove(&file);
        fs.write_file(&file, b"{\"1\":{}}");
        let database = open(&fs, None).expect("opens");
        assert!(observe(&database).is_err_and(|problem| problem.contains("CORRUPT_DATA")));
        let indexes = IndexSet::new(None);
        database
            .write(Durability::Full, move |tx| run_op(op, Some("a"), &indexes, tx))
            .expect("written anew");
        for kept in [&mut Extreme::Nothing, &mut Extreme::Everything] {
            let database = open(&fs.power_loss(kept), None).expect("opens");
            assert_eq!(observe(&database), Ok(expected.clone()));
            database.checkpoint(no_wait()).expect("checkpointed");
            assert_eq!(observe(&database), Ok(expected.clone()));
        }
    }
}
