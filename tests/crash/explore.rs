//! Crashing a recorded workload at every call.

use std::collections::HashSet;

use crate::check::report;
use crate::workload::Run;
use crate::world::disk_hash;

/// How many crash states to look at where an ordinary run looks at `ordinary`.
pub fn wanted(ordinary: usize) -> usize {
    let all: Option<usize> = std::env::var("CRASH_STATES").ok().and_then(|count| count.parse().ok());
    all.map_or(ordinary, |all| (ordinary * all / 20_000).max(ordinary))
}

/// Looks at crash states, each once, and remembers what it found wrong.
#[derive(Default)]
pub struct Explorer {
    seen: HashSet<(u64, usize, usize)>,
    disks: HashSet<u64>,
    /// How many states were looked at; the same disk counts again where more is demanded of it.
    pub checked: usize,
    pub violations: Vec<String>,
}

impl Explorer {
    /// How many different disks there were.
    pub fn states(&self) -> usize {
        self.disks.len()
    }

    /// Loses power at every moment of the interesting part of a run, `limit` times in different ways.
    pub fn power_losses(&mut self, run: &Run, limit: usize, seed: u64) {
        let interesting = |calls: u64| calls >= run.interesting;
        for moment in run.moments.iter().filter(|moment| interesting(moment.snapshot.calls())) {
            if moment.page_only {
                continue;
            }
            let allowed = run.allowed(moment, true);
            for after in moment.snapshot.crash_states(limit, seed) {
                let disk = disk_hash(&after);
                if !self.seen.insert((disk, *allowed.start(), *allowed.end())) {
                    continue;
                }
                self.disks.insert(disk);
                self.checked += 1;
                self.violations.extend(report(&after, run, allowed.clone()).err());
                if self.is_hopeless() {
                    return;
                }
            }
        }
    }

    /// Kills all processes at every moment of the interesting part of a run.
    pub fn kills(&mut self, run: &Run) {
        for moment in run.moments.iter().filter(|moment| moment.snapshot.calls() >= run.interesting) {
            let after = moment.snapshot.kill();
            self.disks.insert(disk_hash(&after));
            self.checked += 1;
            let allowed = run.allowed(moment, false);
            self.violations.extend(report(&after, run, allowed).err());
            if self.is_hopeless() {
                return;
            }
        }
    }

    fn is_hopeless(&self) -> bool {
        self.violations.len() >= 5
    }

    /// Takes in a run that may have failed by itself.
    pub fn run(&mut self, run: Result<Run, String>, look: impl FnOnce(&mut Explorer, &Run)) {
        match run {
            Ok(run) => look(self, &run),
            Err(problem) => self.violations.push(problem),
        }
    }

    /// As [`Explorer::finish`], but what counts is how often a state was looked at: disks after kills differ little.
    pub fn finish_checked(self, what: &str, least: usize) {
        let checked = self.checked;
        self.finish(what, 0);
        assert!(checked >= least, "{what}: only {checked} of {least} states");
    }

    /// # Panics
    /// If anything was wrong, or if fewer than `least` different disks were looked at.
    pub fn finish(self, what: &str, least: usize) {
        println!("{what}: {} states of {} different disks", self.checked, self.states());
        if let Some(violation) = self.violations.first() {
            panic!("{what}: {} violations, the first one: {violation}", self.violations.len());
        }
        assert!(self.states() >= least, "{what}: only {} of {least} states", self.states());
    }
}
