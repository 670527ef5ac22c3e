//! Random long lives of a database against a model: groups of requests, checkpoints, reopening, edits by hand, kills and power
//! losses, with up to two processes that have it open. What each of them sees and hears of changes must agree.
//!
//! `PROPERTY_CASES=20000 PROPERTY_STEPS=200 cargo test --test crash properties` goes further.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use octoprompt_storage::engine::fs::{Extreme, Seeded, SimFs};
use octoprompt_storage::engine::{
    Change, Durability, Error, ProblemCode, Severity, Transaction, WarningCode, WriteOptions, repair, verify,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use crate::heard::{Listener, Log};
use crate::requests::{self, Draft, Key, OWN, Planned, State, Versions, group, key};
use crate::support::wait;
use crate::workload::submit;
use crate::world::{
    DIRECTORY, Documents, Handle, PATHS, READ, file, machine, map_file, observe, open, spec, text, warnings,
};

#[derive(Debug, Clone)]
enum Step {
    /// Requests in one group, and whether it is synced.
    Write(Vec<Vec<Draft>>, bool),
    /// A document again keeps a file in the directory of the nested collection.
    Keep(Key),
    Checkpoint,
    /// Writes the index checkpoints, or removes them.
    Indexes(bool),
    Close,
    Kill,
    PowerLoss(u64),
    /// Rebuilds the indexes of a collection.
    Rebuild(usize),
    /// A person rewrites a collection's file.
    Edit(Edit),
    Verify,
    Repair,
}

#[derive(Debug, Clone)]
struct Edit {
    collection: usize,
    ids: Vec<u64>,
    /// All documents get one version, although versions are unique.
    alike: bool,
    noticed: Noticed,
}

/// What notices an edit by hand.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Noticed {
    Read,
    Checkpoint,
    /// Nobody has the database open while it is edited.
    Opening,
}

/// A step, the process that takes it, and which processes look at what there is then.
#[derive(Debug, Clone)]
struct Moment {
    step: Step,
    who: usize,
    looks: [bool; 2],
    draw: u64,
}

fn moment() -> impl Strategy<Value = Moment> {
    let looks = prop::bool::weighted(0.6);
    (step(), 0..2_usize, [looks, looks], any::<u64>()).prop_map(|(step, who, looks, draw)| Moment {
        step,
        who,
        looks,
        draw,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (group(), any::<bool>()).prop_map(|(group, full)| Step::Write(group, full)),
        1 => key().prop_map(Step::Keep),
        4 => Just(Step::Checkpoint),
        1 => any::<bool>().prop_map(Step::Indexes),
        2 => Just(Step::Close),
        2 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::PowerLoss),
        1 => (0..PATHS.len()).prop_map(Step::Rebuild),
        2 => edit().prop_map(Step::Edit),
        1 => Just(Step::Verify),
        1 => Just(Step::Repair),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let noticed = prop_oneof![Just(Noticed::Read), Just(Noticed::Checkpoint), Just(Noticed::Opening)];
    let ids = prop::collection::vec(1..8_u64, 0..5);
    (0..PATHS.len(), ids, prop::bool::weighted(0.3), noticed)
        .prop_map(|(collection, ids, alike, noticed)| Edit { collection, ids, alike, noticed })
}

/// What happened since the database was open last.
#[derive(Debug, Clone, Copy, PartialEq)]
enum After {
    Close,
    PowerLoss,
}

struct Process {
    fs: SimFs,
    database: Handle,
    listener: Listener,
}

struct Life {
    /// The machine, as somebody outside sees it.
    machine: SimFs,
    processes: [Option<Process>; 2],
    /// The states to which a power loss may go back, and last the current state.
    states: Vec<State>,
    versions: Versions,
    log: Log,
    edits: usize,
}

fn shown(error: Error) -> String {
    format!("{}: {error}", error.code())
}

impl Life {
    fn begin(most_open: usize) -> Life {
        let machine = machine();
        machine.set_most_open(most_open);
        Life {
            machine,
            processes: [None, None],
            states: vec![State::default()],
            versions: Versions::default(),
            log: Log::default(),
            edits: 0,
        }
    }

    fn now(&self) -> State {
        self.states.last().cloned().unwrap_or_default()
    }

    /// Returns the database as a process has it open.
    fn database(&mut self, who: usize) -> Result<Handle, String> {
        match &self.processes[who] {
            Some(process) => Ok(process.database.clone()),
            None => self.open(who, After::Close),
        }
    }

    /// Opens the database in a process that did not have it open. After a power loss it must be in one of the allowed states,
    /// otherwise in the current one.
    fn open(&mut self, who: usize, after: After) -> Result<Handle, String> {
        let fs = self.machine.process();
        let database = open(&fs, None)?;
        let documents = observe(&database)?;
        let seq = sequence(&database)?;
        let least = if after == After::PowerLoss { 0 } else { self.states.len() - 1 };
        let allowed = &self.states[least..];
        let Some(found) = allowed.iter().find(|state| state.seq == seq && state.documents == documents)
        else {
            return Err(format!("opened to {documents:?} at {seq}, which is none of {allowed:?}"));
        };
        if self.processes.iter().all(Option::is_none) {
            self.states = vec![found.clone()];
        }
        if after == After::PowerLoss {
            self.log.lose(seq);
        }
        self.log.note(&database, seq)?;
        let process = Process { fs, database: database.clone(), listener: Listener::new(&database)? };
        self.processes[who] = Some(process);
        Ok(database)
    }

    fn close(&mut self, who: usize) {
        let Some(Process { mut database, .. }) = self.processes[who].take() else { return };
        // The thread that looks after listeners may have it in its hands.
        while let Err(held) = Arc::try_unwrap(database) {
            database = held;
            std::thread::yield_now();
        }
    }

    fn close_all(&mut self) {
        (0..2).for_each(|who| self.close(who));
    }

    /// From now on nothing can be lost any more.
    fn settle(&mut self) {
        self.states.drain(..self.states.len() - 1);
    }

    fn write(&mut self, database: &Handle, group: &[Vec<Draft>], full: bool) -> Result<(), String> {
        let (mut before, mut planned) = (self.now(), Vec::new());
        for drafts in group {
            let plan = Planned::new(drafts, &before, &mut self.versions);
            before = plan.after.clone().unwrap_or(before);
            planned.push(plan);
        }
        requests::write(database, &planned, if full { Durability::Full } else { Durability::Os })?;
        // A group of requests that all fail waits for no disk.
        let settled = planned.iter().any(|plan| plan.after.is_some() && (full || plan.removes));
        for plan in planned {
            self.states.extend(plan.after);
            self.log.push(plan.changes);
        }
        if settled {
            self.settle();
        }
        Ok(())
    }

    fn keep(&mut self, database: &Handle, key: Key) -> Result<(), String> {
        let version = self.versions.next(key);
        let ((at, id), text) = (key, text(key.1, version).into_bytes());
        let mut state = self.now();
        let work = move |tx: &mut Transaction<'_>| {
            tx.put(&spec(at), id.into(), text)?;
            tx.keep_entity_paths([OWN].into_iter())
        };
        let options = WriteOptions { durability: Durability::Full, wait: wait() };
        submit(database, vec![work], options).remove(0).map_err(shown)?;
        self.machine.write_file(own(), b"x");
        (state.seq, state.own) = (state.seq + 1, true);
        let before = state.documents.insert(key, version);
        state.dirty.insert(key);
        let (created, updated) =
            if before.is_some() { (vec![], vec![id.into()]) } else { (vec![id.into()], vec![]) };
        self.log.push(vec![Change::Documents {
            seq: state.seq,
            collection: PATHS[at].into(),
            dropped: false,
            created,
            updated,
            deleted: Vec::new(),
        }]);
        self.states = vec![state];
        Ok(())
    }

    /// Everything is in the files now.
    fn checkpointed(&mut self, database: &Handle) -> Result<(), String> {
        let mut state = self.now();
        state.seq = sequence(database)?;
        state.dirty.clear();
        self.log.note(database, state.seq)?;
        self.states = vec![state];
        Ok(())
    }

    /// The edit wins, except where the journal has something newer.
    fn write_by_hand(&mut self, &Edit { collection, ref ids, alike, .. }: &Edit) {
        let mut content = BTreeMap::new();
        for &id in ids {
            let first = content.values().next().copied().filter(|_| alike);
            content.insert(id, first.unwrap_or_else(|| self.versions.next((collection, id))));
        }
        // If there is no file yet, it needs its folders.
        self.machine.make_dirs(Path::new(&file(collection)).parent().unwrap_or(Path::new("/")));
        // A person's editor replaces the file.
        if self.machine.read_file(file(collection)).is_some() {
            self.machine.remove(file(collection));
        }
        self.edits += 1;
        // No two edits leave the same file.
        let text = map_file(&content) + &" ".repeat(self.edits);
        self.machine.write_file(file(collection), text.as_bytes());
        let mut state = self.now();
        let is_edited = |key: &Key| key.0 == collection && !state.dirty.contains(key);
        state.documents.retain(|key, _| !is_edited(key));
        let edited = content.into_iter().map(|(id, version)| ((collection, id), version));
        state.documents.extend(edited.filter(|(key, _)| is_edited(key)));
        // It is adopted by a batch that is synced.
        self.states = vec![state];
    }

    fn adopted(&mut self, collection: usize, seq: u64) {
        self.log.push(vec![Change::Reset { seq, collection: Some(PATHS[collection].into()) }]);
        self.states.iter_mut().for_each(|state| state.seq = seq);
    }

    fn edit(&mut self, who: usize, edit: &Edit) -> Result<(), String> {
        let (seq, &Edit { collection, noticed, .. }) = (self.now().seq, edit);
        if noticed == Noticed::Opening {
            self.close_all();
            self.write_by_hand(edit);
            self.adopted(collection, seq + 1);
            return self.open(who, After::Close).map(drop);
        }
        let database = self.database(who)?;
        self.write_by_hand(edit);
        let mut before = sequence(&database)?;
        if noticed == Noticed::Checkpoint {
            database.checkpoint(wait()).map_err(shown)?;
            before = sequence(&database)?;
            self.log.note(&database, before)?;
        }
        // The next read looks at the file.
        database.clear_cache();
        observe(&database)?;
        // A checkpoint adopts an edit before it writes anything, but only of a file that it is about to write.
        let by_checkpoint = noticed == Noticed::Checkpoint && sequence(&database)? == before;
        self.adopted(collection, if by_checkpoint { seq + 1 } else { before + 1 });
        if noticed == Noticed::Checkpoint {
            database.checkpoint(wait()).map_err(shown)?;
            self.checkpointed(&database)?;
        }
        Ok(())
    }

    fn live(&mut self, who: usize, step: &Step) -> Result<(), String> {
        match step {
            Step::Write(group, full) => {
                let database = self.database(who)?;
                self.write(&database, group, *full)?;
            }
            Step::Keep(key) => {
                let database = self.database(who)?;
                self.keep(&database, *key)?;
            }
            Step::Checkpoint => {
                let database = self.database(who)?;
                database.checkpoint(wait()).map_err(shown)?;
                self.checkpointed(&database)?;
            }
            Step::Indexes(persist) => {
                let database = self.database(who)?;
                for spec in [0, 1].map(spec) {
                    if *persist {
                        database.persist_indexes(&spec, READ).map_err(shown)?;
                    } else {
                        database.remove_index_checkpoints(&spec, wait()).map_err(shown)?;
                    }
                }
                if *persist {
                    self.checkpointed(&database)?;
                }
            }
            Step::Close => self.close(who),
            Step::Kill => {
                if let Some(process) = self.processes[who].take() {
                    process.fs.kill();
                }
            }
            Step::PowerLoss(seed) => {
                self.machine = match seed % 3 {
                    0 => self.machine.power_loss(&mut Extreme::Nothing),
                    _ => self.machine.power_loss(&mut Seeded::new(*seed)),
                };
                self.close_all();
                self.open(who, After::PowerLoss)?;
            }
            Step::Rebuild(collection) => {
                let result = self.database(who)?.rebuild_indexes(&spec(*collection), READ);
                match (result, self.now().has_shared_version(*collection)) {
                    (Ok(()), false) | (Err(Error::UniqueViolation { .. }), true) => {}
                    (result, _) => return Err(format!("{result:?}")),
                }
            }
            Step::Edit(edit) => self.edit(who, edit)?,
            Step::Verify => {
                let report = self.database(who)?.verify(wait()).map_err(shown)?;
                let now = self.now();
                let problems = report.problems.iter().filter(|problem| problem.severity != Severity::Note);
                let found: BTreeSet<_> =
                    problems.map(|problem| (problem.code.as_str(), &*problem.path)).collect();
                let shared = PATHS.iter().enumerate().filter(|(at, _)| now.has_shared_version(*at));
                let expected =
                    shared.map(|(_, path)| (ProblemCode::UniqueViolation.as_str(), *path)).collect();
                if found != expected || report.documents() != now.documents.len() as u64 {
                    return Err(format!("verifying finds\n{report}"));
                }
            }
            Step::Repair => {
                self.close_all();
                let report = repair(&self.machine.process().handle(), Path::new(DIRECTORY), wait());
                let report = report.map_err(shown)?;
                if !report.is_ok() || !report.before.is_ok() {
                    return Err(format!("repairing finds\n{report}"));
                }
                self.open(who, After::Close)?;
            }
        }
        Ok(())
    }

    /// Compares what a process sees and has heard with the model.
    fn look(&mut self, who: usize, draw: u64) -> Result<(), String> {
        let State { seq, documents, own: kept, .. } = self.now();
        if self.machine.read_file(own()).is_some() != kept {
            return Err(format!("the file of a document is there: {}", !kept));
        }
        let Some(process) = &mut self.processes[who] else { return Ok(()) };
        let database = &process.database;
        let found: Documents = observe(database)?;
        if found != documents || sequence(database)? != seq {
            return Err(format!(
                "process {who} sees {found:?} at {} instead of {documents:?} at {seq}",
                sequence(database)?
            ));
        }
        process.listener.check(database, &self.log, seq)?;
        self.log.replay(database, seq, draw)?;
        let expected =
            |code: &WarningCode| *code == WarningCode::TailCut || *code == WarningCode::SnapshotChanged;
        match warnings(database).iter().find(|code| !expected(code)) {
            Some(code) => Err(format!("process {who} warns of {code:?}")),
            None => Ok(()),
        }
    }
}

fn own() -> String {
    format!("{DIRECTORY}/{OWN}")
}

fn sequence(database: &Handle) -> Result<u64, String> {
    database.sequence().map_err(shown)
}

fn number(name: &str, ordinary: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(ordinary)
}

/// Runs `cases` random lives. At most `most_open` files that nobody reads stay open. Two tests share the cases, so that two
/// cores are busy.
fn lives(cases: usize, most_open: usize) {
    let config = Config {
        cases: cases as u32,
        failure_persistence: None,
        max_shrink_iters: number("PROPERTY_SHRINK", 2000) as u32,
        ..Config::default()
    };
    let steps = number("PROPERTY_STEPS", 100);
    let lives = prop::collection::vec(moment(), 1..2 * steps);
    let result = TestRunner::new(config).run(&lives, |moments| {
        let mut life = Life::begin(most_open);
        for (at, Moment { step, who, looks, draw }) in moments.into_iter().enumerate() {
            let mut lived = life.live(who, &step);
            for who in (0..2).filter(|&who| looks[who]) {
                lived = lived.and_then(|()| life.look(who, draw));
            }
            lived
                .map_err(|problem| TestCaseError::fail(format!("step {at}, {step:?} by {who}: {problem}")))?;
        }
        let left = life.machine.snapshot().kill();
        life.close_all();
        let report = verify(&left.handle(), Path::new(DIRECTORY), wait());
        prop_assert!(report.is_ok_and(|report| report.is_ok()));
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(problem, life)) => {
            let life: Vec<String> = life.iter().map(|moment| format!("{moment:?}")).collect();
            panic!("{problem}, after\n{}", life.join("\n"))
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn random_histories_agree_with_the_model() {
    lives(number("PROPERTY_CASES", 256) / 2, 256);
}

#[test]
fn random_histories_with_files_closed_between_reads_agree_with_the_model() {
    lives(number("PROPERTY_CASES", 256) / 2, 0);
}
