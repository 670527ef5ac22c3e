//! Whole runs: whatever crashes or fails, the data is what the state file says, and each migration is applied entirely or
//! not at all.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use octoprompt_storage::engine::backup::Site;
use octoprompt_storage::engine::fs::{Extreme, Fault, Fs, OpenMode, Repeat, SimFs};
use octoprompt_storage::engine::migration::{
    Goal, HeldData, Next, Registered, Registry, Run, StateFile, Step, Version, acquire,
};
use octoprompt_storage::engine::{
    BasePath, Database, DatabaseOptions, Durability, Error, Outcome, Part, ReadOptions, Registry as Engines,
    Result,
};

use crate::reached::reached;
use crate::support::{no_wait, record, spec};

const BASE: &str = "/base";
const FILE: &str = "/base/data/notes.txt";
const VERSIONS: [&str; 3] = ["1.0.0", "1.1.0", "2.0.0-beta"];
/// The migration that fails after its work.
const BAD: &str = "2.0.0";
const READ: ReadOptions = ReadOptions { cached: false, lock_timeout: Duration::ZERO };

/// A process on the machine.
struct Process {
    fs: SimFs,
    site: Site,
}

impl Process {
    fn start(fs: &SimFs) -> Process {
        let fs = fs.process();
        let options =
            DatabaseOptions { lock_timeout: Duration::ZERO, background: false, ..DatabaseOptions::default() };
        let base = BasePath::new(fs.handle(), Path::new(BASE));
        Process { site: Site { base, registry: Engines::default(), options }, fs }
    }

    fn database(&self) -> Result<Arc<Database>> {
        self.site.open_under(&Path::new(BASE).join("data/one"))
    }

    fn put(&self, id: u64, name: &str) -> Result<()> {
        let (spec, text) = (spec("items.json"), record(id, name).into_bytes());
        self.database()?.write(Durability::Full, move |t| t.put(&spec, id.into(), text))
    }

    /// Replaces the file that is not the engine's, without any sync.
    fn note(&self, text: &str) -> std::io::Result<()> {
        let fs: &dyn Fs = &self.fs;
        fs.remove_file(Path::new(FILE))?;
        fs.open(Path::new(FILE), OpenMode::CreateNew)?.write_at(text.as_bytes(), 0)
    }

    /// Does the work of a migration: a document in the journal, one in the snapshot, and the file.
    fn work(&self, step: &Step) -> Result<()> {
        let version = step.version().to_string();
        let id = position(&version) * 10;
        let noted = |error: std::io::Error| Error::io("write", Path::new(FILE), &error);
        match step {
            Step::Up(_) => {
                self.put(id, &version)?;
                self.database()?.checkpoint(no_wait())?;
                self.put(id + 1, &version)?;
                self.note(&version).map_err(noted)
            }
            Step::Down(_) => {
                let spec = spec("items.json");
                self.database()?.write(Durability::Full, move |t| {
                    t.delete(&spec, id.into())?;
                    t.delete(&spec, (id + 1).into())
                })?;
                let before = position(&version).checked_sub(1).map_or("before", |at| name(at as usize));
                self.note(before).map_err(noted)
            }
        }
    }

    /// Runs to the goal, and calls `acknowledged` after each step.
    fn migrate(&self, goal: &Goal, mut acknowledged: impl FnMut()) -> Result<()> {
        let lock = acquire(&self.site, no_wait())?;
        let protect = |lock| HeldData::take(self.site.clone(), lock, no_wait());
        let mut run = Run::start(lock, StateFile::of(&self.site.base), registry(), goal, protect)?;
        loop {
            match run.advance()? {
                Next::Begin(step) => match self.work(&step) {
                    Ok(()) if step.version().to_string() != BAD => {
                        run.succeeded(1)?;
                        acknowledged();
                    }
                    Ok(()) => {
                        run.failed("it is bad", 1)?;
                        return Err(Error::InvalidArgument("it is bad".into()));
                    }
                    Err(error) => {
                        run.failed(&error.to_string(), 1)?;
                        return Err(error);
                    }
                },
                Next::Done(_) => return Ok(()),
            }
        }
    }

    /// Opens everything as a storage does and returns the applied versions. Their data must be there, and no other.
    fn applied(&self) -> std::result::Result<BTreeSet<String>, String> {
        let said = |error: Error| format!("{}: {error}", error.code());
        let database = self.database().map_err(said)?;
        let texts = database.filter(&spec("items.json"), Part::Whole, READ, |_| true).map_err(said)?;
        let found: BTreeSet<String> =
            texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
        let state = StateFile::of(&self.site.base).load().map_err(said)?;
        let applied: BTreeSet<String> = state.applied().map(|record| record.version.to_string()).collect();
        let mut expected = BTreeSet::from([record(1, "before")]);
        for version in &applied {
            let id = position(version) * 10;
            expected.extend([record(id, version), record(id + 1, version)]);
        }
        if found != expected {
            return Err(format!("applied are {applied:?}, and the documents are {found:?}"));
        }
        let note = applied.iter().max_by_key(|version| position(version)).map_or("before", String::as_str);
        let file = self.fs.read_file(FILE).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if file.as_deref() != Some(note) {
            return Err(format!("applied are {applied:?}, and the file holds {file:?}"));
        }
        if let Some(bad) = state.counting().remove(&version(BAD))
            && (bad.success || bad.error.is_none())
        {
            return Err("the bad one is recorded as applied".into());
        }
        Ok(applied)
    }
}

fn name(position: usize) -> &'static str {
    VERSIONS.get(position.wrapping_sub(1)).copied().unwrap_or(if position == 0 { "before" } else { BAD })
}

fn position(version: &str) -> u64 {
    VERSIONS.iter().position(|known| *known == version).map_or(4, |at| at as u64 + 1)
}

fn version(text: &str) -> Version {
    Version::parse(text).expect("a version")
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    for text in VERSIONS.iter().chain([&BAD]) {
        let migration = Registered { version: version(text), description: String::new(), reversible: true };
        registry.register(migration).expect("registered once");
    }
    registry
}

/// A machine with a document and a file.
fn machine() -> SimFs {
    let fs = SimFs::new();
    fs.make_dirs("/base/data");
    fs.write_file(FILE, b"before");
    let process = Process::start(&fs);
    process.put(1, "before").expect("written");
    process.database().expect("opens").checkpoint(no_wait()).expect("checkpointed");
    drop(process);
    fs.kill()
}

/// A machine on which the three good migrations are applied.
fn migrated() -> SimFs {
    let fs = machine();
    let process = Process::start(&fs);
    process.migrate(&Goal::Up(version(VERSIONS[2])), || {}).expect("migrates");
    drop(process);
    fs.kill()
}

/// Checks that the data after a crash is what the state says, that opening again changes nothing, and that the run can be
/// finished.
fn check(fs: &SimFs, least: usize, most: usize, goal: &Goal) -> std::result::Result<(), String> {
    let process = Process::start(fs);
    let applied = process.applied()?;
    if !(least..=most).contains(&applied.len()) {
        return Err(format!("{least} to {most} must be applied, and {applied:?} are"));
    }
    drop(process);
    let process = Process::start(fs);
    if process.applied()? != applied {
        return Err("opening again shows something else".into());
    }
    let finished = process.migrate(goal, || {});
    let expected = match goal {
        Goal::Down(_) => 0,
        _ => VERSIONS.len(),
    };
    // The bad migration fails each time.
    let bad = matches!(goal, Goal::Latest);
    if finished.is_err() != bad || process.applied()?.len() != expected {
        return Err(format!(
            "the run cannot be finished: {:?}",
            finished.err().map(|error| error.to_string())
        ));
    }
    Ok(())
}

/// Crashes a run at every call: kills the processes, and loses power in many ways. Returns the number of states.
fn crash_everywhere(fs: &SimFs, goal: &Goal, up: bool, losses: usize) -> usize {
    let begun = fs.total_calls();
    fs.record();
    let process = Process::start(fs);
    let mut acknowledged = Vec::new();
    let total = VERSIONS.len();
    let result = process.migrate(goal, || acknowledged.push(fs.total_calls()));
    assert_eq!(result.is_err(), matches!(goal, Goal::Latest));
    assert_eq!(acknowledged.len(), total);
    let mut states = 0;
    for moment in fs.moments() {
        let done = acknowledged.iter().filter(|calls| **calls <= moment.calls()).count();
        // One more step may have happened that was not acknowledged.
        let range =
            if up { (done, total.min(done + 1)) } else { (total.saturating_sub(done + 1), total - done) };
        for left in std::iter::once(moment.kill()).chain(moment.crash_states(losses, moment.calls())) {
            states += 1;
            if let Err(problem) = check(&left, range.0, range.1, goal) {
                let origin = left.origin().map_or_else(|| "killed".to_owned(), ToString::to_string);
                panic!(
                    "after {} calls, {} into the run: {problem}\n{origin}",
                    moment.calls(),
                    moment.calls() - begun
                );
            }
        }
    }
    reached("a crash inside backup, restore or migration", format!("{states} states"));
    states
}

#[test]
fn a_crash_anywhere_in_a_run_leaves_each_migration_fully_applied_or_not_at_all() {
    let states = crash_everywhere(&machine(), &Goal::Latest, true, 3);
    assert!(states > 1_000, "{states} states");
}

#[test]
fn a_crash_anywhere_in_a_rollback_leaves_each_migration_applied_or_not_at_all() {
    let states = crash_everywhere(&migrated(), &Goal::Down(Version::NONE), false, 3);
    assert!(states > 1_000, "{states} states");
}

/// Fails every call of a run in turn, once. The process continues, and another one follows it.
fn fail_everywhere(fault: Fault, least: usize) {
    let (mut runs, mut not_undone) = (0, 0);
    let mut next = 1;
    loop {
        let fs = machine();
        let process = Process::start(&fs);
        process.fs.fail_from(next, fault, Repeat::Once);
        let mut done = 0;
        let result = process.migrate(&Goal::Latest, || done += 1);
        let Some(call) = process.fs.first_fault() else { break };
        next = call + 1;
        process.fs.heal();
        let outcome = result.as_ref().err().map(Error::outcome);
        let code = result.map_err(|error| error.code());
        // A caller that is told that nothing changed may try again at once.
        let is_undone = code != Err("MIGRATION_FAILED");
        assert!(is_undone || outcome == Some(Outcome::Unknown), "{fault:?} at call {call}: {code:?}");
        not_undone += usize::from(!is_undone);
        assert!(
            matches!(code, Err("IO_ERROR" | "INVALID_ARGUMENT" | "MIGRATION_FAILED")),
            "{fault:?} at call {call}: {code:?}"
        );
        drop(process);
        for left in [fs.kill(), fs.power_loss(&mut Extreme::Nothing)] {
            // A success that could not be made final may be on disk anyway.
            if let Err(problem) = check(&left, done, VERSIONS.len().min(done + 1), &Goal::Latest) {
                panic!("{fault:?} at call {call}, {done} done, {code:?}: {problem}");
            }
        }
        runs += 1;
    }
    reached("a file call of backup, restore or migration failing", format!("{runs} runs"));
    assert!(runs > least, "{runs} runs");
    assert!(not_undone > 0);
}

#[test]
fn a_failed_call_in_a_run_leaves_each_migration_fully_applied_or_not_at_all() {
    fail_everywhere(Fault::Io, 1500);
}

#[test]
fn a_full_disk_in_a_run_leaves_each_migration_fully_applied_or_not_at_all() {
    fail_everywhere(Fault::NoSpace { written: 7 }, 300);
}
