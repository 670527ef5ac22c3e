//! Random long lives of a database against a model: writes, checkpoints, reopening, edits by hand, kills and power losses.
//!
//! `PROPERTY_CASES=20000 PROPERTY_STEPS=200 cargo test --test crash properties` goes further.

use std::collections::BTreeMap;
use std::path::Path;

use octoprompt_storage::engine::fs::{Extreme, Seeded, SimFs};
use octoprompt_storage::engine::{Durability, Error, repair, verify};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::no_wait;
use crate::workload::{Batch, write_group};
use crate::world::{DIRECTORY, Documents, Handle, PATHS, file, machine, map_file, observe, open};

#[derive(Debug, Clone)]
enum Step {
    /// Some batches in one group, and whether it is synced.
    Write(Vec<Writes>, bool),
    Checkpoint,
    Reopen,
    Kill,
    PowerLoss(u64),
    /// A person rewrites a collection's file while nobody has the database open and the journal holds nothing that the files
    /// lack.
    Edit(usize, Vec<u64>),
    Verify,
    Repair,
}

/// What a batch writes.
#[derive(Debug, Clone)]
struct Writes {
    drop_nested: bool,
    passing: Vec<(usize, u64)>,
    delete: Vec<(usize, u64)>,
    put: Vec<(usize, u64)>,
    fails: bool,
}

fn writes() -> impl Strategy<Value = Writes> {
    let keys = |most: usize| prop::collection::vec(key(), 0..most);
    let rarely = || prop::bool::weighted(0.1);
    (rarely(), keys(2), keys(2), keys(4), rarely()).prop_map(|(drop_nested, passing, delete, put, fails)| {
        Writes { drop_nested, passing, delete, put, fails }
    })
}

fn key() -> impl Strategy<Value = (usize, u64)> {
    (0..PATHS.len(), 1..12_u64)
}

fn step() -> impl Strategy<Value = Step> {
    let group = prop_oneof![2 => 1..2_usize, 1 => 2..5_usize]
        .prop_flat_map(|batches| prop::collection::vec(writes(), batches));
    prop_oneof![
        14 => (group, any::<bool>()).prop_map(|(group, full)| Step::Write(group, full)),
        3 => Just(Step::Checkpoint),
        2 => Just(Step::Reopen),
        2 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::PowerLoss),
        1 => (0..PATHS.len(), prop::collection::vec(1..12_u64, 0..6)).prop_map(|(at, ids)| Step::Edit(at, ids)),
        1 => Just(Step::Verify),
        1 => Just(Step::Repair),
    ]
}

struct Life {
    fs: SimFs,
    database: Option<Handle>,
    /// The states to which a power loss may go back, and last the current state.
    states: Vec<Documents>,
    version: u32,
}

impl Life {
    fn begin(most_open: usize) -> Result<Life, String> {
        let fs = machine();
        fs.set_most_open(most_open);
        let fs = fs.process();
        let database = Some(open(&fs, None)?);
        Ok(Life { fs, database, states: vec![Documents::new()], version: 0 })
    }

    fn database(&self) -> Result<&Handle, String> {
        self.database.as_ref().ok_or_else(|| "closed".to_owned())
    }

    fn now(&self) -> Documents {
        self.states.last().cloned().unwrap_or_default()
    }

    fn versions(&mut self, keys: Vec<(usize, u64)>) -> Vec<(usize, u64, u32)> {
        let version = &mut self.version;
        let next = |(collection, id)| {
            *version += 1;
            (collection, id, *version)
        };
        keys.into_iter().map(next).collect()
    }

    fn batch(&mut self, Writes { drop_nested, passing, delete, put, fails }: Writes) -> Batch {
        Batch { drop_nested, passing, delete, put: self.versions(put), in_files: false, fails }
    }

    fn commit(&mut self, batches: &[Batch], durability: Durability) -> Result<(), String> {
        for (batch, result) in batches.iter().zip(write_group(self.database()?, batches, durability)) {
            match result {
                Err(Error::NotFound { .. }) if batch.fails => continue,
                other => other.map_err(|error| error.to_string())?,
            }
            let mut state = self.now();
            batch.model(&mut state);
            self.states.push(state);
        }
        // A group of requests that all fail waits for no disk.
        if durability == Durability::Full && batches.iter().any(|batch| !batch.fails) {
            self.settle();
        }
        Ok(())
    }

    /// From now on nothing can be lost any more.
    fn settle(&mut self) {
        self.states.drain(..self.states.len() - 1);
    }

    /// Opens what a crash or a close left. It must be one of the allowed states.
    fn open(&mut self, least: usize) -> Result<(), String> {
        let database = open(&self.fs, None)?;
        let found = observe(&database)?;
        if !self.states[least..].contains(&found) {
            return Err(format!("opened to {found:?}, which is none of {:?}", &self.states[least..]));
        }
        self.states = vec![found];
        self.database = Some(database);
        Ok(())
    }

    fn live(&mut self, step: Step) -> Result<(), String> {
        let last = self.states.len() - 1;
        match step {
            Step::Write(group, full) => {
                let batches: Vec<Batch> = group.into_iter().map(|writes| self.batch(writes)).collect();
                self.commit(&batches, if full { Durability::Full } else { Durability::Os })?;
            }
            Step::Checkpoint => {
                self.database()?.checkpoint(no_wait()).map_err(|error| error.to_string())?;
                self.settle();
            }
            Step::Reopen => {
                self.database = None;
                self.open(last)?;
            }
            Step::Kill => {
                self.fs = self.fs.kill();
                self.database = None;
                self.open(last)?;
            }
            Step::PowerLoss(seed) => {
                self.fs = match seed % 3 {
                    0 => self.fs.power_loss(&mut Extreme::Nothing),
                    _ => self.fs.power_loss(&mut Seeded::new(seed)),
                };
                self.database = None;
                self.open(0)?;
            }
            Step::Edit(collection, ids) => {
                self.database()?.checkpoint(no_wait()).map_err(|error| error.to_string())?;
                self.database = None;
                let keys = ids.into_iter().map(|id| (collection, id)).collect();
                let content: BTreeMap<u64, u32> =
                    self.versions(keys).into_iter().map(|(_, id, version)| (id, version)).collect();
                // If there is no file yet, it needs its folders.
                self.fs.make_dirs(Path::new(&file(collection)).parent().unwrap_or(Path::new("/")));
                if self.fs.read_file(file(collection)).is_some() {
                    self.fs.remove(file(collection));
                }
                self.fs.write_file(file(collection), map_file(&content).as_bytes());
                let mut state = self.now();
                state.retain(|key, _| key.0 != collection);
                state.extend(content.into_iter().map(|(id, version)| ((collection, id), version)));
                self.states = vec![state];
                self.open(0)?;
            }
            Step::Verify => {
                let report = self.database()?.verify(no_wait()).map_err(|error| error.to_string())?;
                if !report.is_ok() || report.documents() != self.now().len() as u64 {
                    return Err(format!("verifying finds\n{report}"));
                }
            }
            Step::Repair => {
                self.database = None;
                let report = repair(&self.fs.handle(), Path::new(DIRECTORY), no_wait());
                let report = report.map_err(|error| error.to_string())?;
                if !report.is_ok() || !report.before.is_ok() {
                    return Err(format!("repairing finds\n{report}"));
                }
                self.open(last)?;
            }
        }
        let found = observe(self.database()?)?;
        if found == self.now() {
            Ok(())
        } else {
            Err(format!("there is {found:?} instead of {:?}", self.now()))
        }
    }
}

fn number(name: &str, ordinary: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(ordinary)
}

/// Runs `cases` random lives. At most `most_open` files that nobody reads stay open. Two tests share the cases, so that two
/// cores are busy.
fn lives(cases: usize, most_open: usize) {
    let config = Config { cases: cases as u32, failure_persistence: None, ..Config::default() };
    let steps = number("PROPERTY_STEPS", 100);
    let lives = prop::collection::vec(step(), steps);
    let result = TestRunner::new(config).run(&lives, |steps| {
        let mut life = Life::begin(most_open).map_err(TestCaseError::fail)?;
        for (at, step) in steps.into_iter().enumerate() {
            let shown = format!("{step:?}");
            life.live(step)
                .map_err(|problem| TestCaseError::fail(format!("step {at}, {shown}: {problem}")))?;
        }
        let left = life.fs.kill();
        let report = verify(&left.handle(), Path::new(DIRECTORY), no_wait());
        prop_assert!(report.is_ok_and(|report| report.is_ok()));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn random_histories_agree_with_the_model() {
    lives(number("PROPERTY_CASES", 256) / 2, 256);
}

#[test]
fn random_histories_with_files_closed_between_reads_agree_with_the_model() {
    lives(number("PROPERTY_CASES", 256) / 2, 0);
}
