//! Crashing a recorded workload at every call.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};

use octoprompt_storage::engine::fs::SimFs;
use parking_lot::Mutex;

use crate::check::report;
use crate::reached::reached;
use crate::workload::Run;
use crate::world::disk_hash;

/// The number of states of an ordinary run, when `CRASH_STATES` is not set.
const ORDINARY: usize = 100_000;

/// Returns how many crash states to examine where an ordinary run examines `ordinary`.
pub fn wanted(ordinary: usize) -> usize {
    let all: Option<usize> = std::env::var("CRASH_STATES").ok().and_then(|count| count.parse().ok());
    all.map_or(ordinary, |all| (ordinary * all / ORDINARY).max(ordinary))
}

/// What several explorers have examined together. None of them examines a state again, so their counts can be added.
#[derive(Default)]
pub struct Seen {
    /// Disks, each with what was demanded of the machine.
    states: Mutex<HashSet<(u64, u64)>>,
    disks: Mutex<HashSet<u64>>,
}

/// What was examined after a single crash.
pub static CRASHED: LazyLock<Arc<Seen>> = LazyLock::new(Arc::default);

/// Examines crash states, each once, and remembers what it found wrong.
#[derive(Default)]
pub struct Explorer {
    seen: Arc<Seen>,
    /// The number of different states that this explorer examined. A disk counts again if something else is demanded of it.
    pub states: usize,
    /// The number of different disks that it examined.
    pub disks: usize,
    pub violations: Vec<String>,
}

impl Explorer {
    /// Creates an explorer that skips what others have examined.
    pub fn beside(seen: &Arc<Seen>) -> Explorer {
        Explorer { seen: Arc::clone(seen), ..Explorer::default() }
    }

    /// Loses power at every moment of the interesting part of a run, in up to `limit` different ways.
    pub fn power_losses(&mut self, run: &Run, limit: usize, seed: u64) {
        let interesting = |calls: u64| calls >= run.interesting;
        for moment in run.moments.iter().filter(|moment| interesting(moment.snapshot.calls())) {
            if moment.page_only {
                continue;
            }
            let allowed = run.allowed(moment, true);
            let demand = demand(run, &allowed);
            for after in moment.snapshot.crash_states(limit, seed) {
                self.look(&after, run, &allowed, demand);
                if self.is_hopeless() {
                    return;
                }
            }
        }
    }

    /// Kills all processes at every moment of the interesting part of a run.
    pub fn kills(&mut self, run: &Run) {
        for moment in run.moments.iter().filter(|moment| moment.snapshot.calls() >= run.interesting) {
            let allowed = run.allowed(moment, false);
            // The shared page survives, so the disk alone does not determine the state of the machine.
            let after = moment.snapshot.kill();
            let demand = demand(run, &allowed) ^ after.image_hash();
            self.look(&after, run, &allowed, demand);
            if self.is_hopeless() {
                return;
            }
        }
    }

    /// Checks one machine, unless it was checked before.
    pub fn look(&mut self, after: &SimFs, run: &Run, allowed: &RangeInclusive<usize>, demand: u64) {
        let disk = disk_hash(after);
        if !self.seen.states.lock().insert((disk, demand)) {
            return;
        }
        self.states += 1;
        self.disks += usize::from(self.seen.disks.lock().insert(disk));
        self.violations.extend(report(after, run, allowed.clone()).err());
    }

    fn is_hopeless(&self) -> bool {
        self.violations.len() >= 5
    }

    /// Examines a run, which may itself have failed.
    pub fn run(&mut self, run: Result<Run, String>, look: impl FnOnce(&mut Explorer, &Run)) {
        match run {
            Ok(run) => look(self, &run),
            Err(problem) => self.violations.push(problem),
        }
    }

    /// Adds the findings of another explorer that worked beside this one.
    pub fn take_in(&mut self, other: Explorer) {
        self.states += other.states;
        self.disks += other.disks;
        self.violations.extend(other.violations);
    }

    /// # Panics
    /// If anything was wrong, or if there were fewer than `least` different states.
    pub fn finish(self, what: &str, least: usize) {
        if let Some(violation) = self.violations.first() {
            panic!("{what}: {} violations, the first one: {violation}", self.violations.len());
        }
        let Explorer { states, disks, .. } = self;
        reached(what, format!("{states} states of {disks} different disks"));
        assert!(states >= least, "{what}: only {states} of {least} states");
    }

    /// # Panics
    /// As [`Explorer::finish`], if there were fewer than `least` different disks.
    pub fn finish_disks(self, what: &str, least: usize) {
        let disks = self.disks;
        self.finish(what, 0);
        assert!(disks >= least, "{what}: only {disks} of {least} different disks");
    }
}

/// Identifies what must hold of a machine on which one of these states is to be found.
fn demand(run: &Run, allowed: &RangeInclusive<usize>) -> u64 {
    let mut hasher = DefaultHasher::new();
    run.history[allowed.clone()].hash(&mut hasher);
    run.edits().hash(&mut hasher);
    hasher.finish()
}
