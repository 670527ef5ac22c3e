//! The gate that every call passes: it is counted and logged, and then carried out, ignored or refused.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::call::{Call, LogEntry};
use super::fault::{Rule, power_lost};
use super::state::State;

pub type Filter = Arc<dyn Fn(&Call) -> bool + Send + Sync>;

/// The distinct states that power losses have left, on all machines that share it.
#[derive(Clone, Default)]
pub struct Coverage(Arc<Mutex<HashSet<u64>>>);

impl Coverage {
    pub(super) fn add(&self, image: u64) {
        self.0.lock().insert(image);
    }

    /// How many different states there were.
    pub fn states(&self) -> usize {
        self.0.lock().len()
    }
}

/// What outlives a power loss besides the disk.
#[derive(Clone, Default)]
pub struct Traits {
    pub coverage: Coverage,
    pub ignored: Vec<Filter>,
    /// How many of the files that it only reads a process keeps open.
    pub most_open: usize,
}

pub struct Machine(Mutex<Inner>);

pub struct Inner {
    pub state: State,
    pub traits: Traits,
    pub processes: Vec<Process>,
    pub log: Vec<LogEntry>,
    pub moments: Option<Vec<(u64, State)>>,
    /// The id of the next handle or child; never reused, not even after an earlier state is restored.
    pub next_id: u64,
    pub calls: u64,
}

#[derive(Default)]
pub struct Process {
    pub calls: u64,
    pub rules: Vec<Rule>,
    pub waiting: Vec<Waiting>,
    pub stop: Option<Stop>,
    pub stopped: bool,
}

/// An action to run before the first call that fits.
pub struct Waiting {
    pub fits: Box<dyn Fn(&Call) -> bool + Send>,
    pub act: Box<dyn FnOnce() + Send>,
}

#[derive(Clone, Copy)]
pub struct Stop {
    pub at: u64,
    /// How many bytes of a write at this very call are still applied.
    pub written: usize,
}

/// What happens to a call.
pub enum Verdict {
    Act,
    /// Succeed without doing anything.
    Ignore,
    /// Fail, with the effects of this failure: a write applies its first bytes, a sync leaves its pages clean.
    Fail {
        error: io::Error,
        written: usize,
    },
    /// Fail without any effect.
    Refuse(io::Error),
}

impl Machine {
    pub fn new(state: State, traits: Traits) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner {
            state,
            traits,
            processes: vec![Process::default()],
            log: Vec::new(),
            moments: None,
            next_id: 1,
            calls: 0,
        })))
    }

    /// Looks at the machine or changes it from outside: nothing is counted, and nothing fails.
    pub fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.0.lock())
    }

    /// Makes one call of a process. `act` gets a fresh id for a handle that it may open.
    pub fn call<T>(
        &self,
        process: usize,
        call: Call,
        act: impl FnOnce(&mut State, u64, Verdict) -> io::Result<T>,
    ) -> io::Result<T> {
        if let Some(act) = self.with(|inner| inner.processes[process].take_waiting(&call)) {
            act();
        }
        let inner = &mut *self.0.lock();
        let verdict = inner.judge(process, &call)?;
        let id = inner.next_id;
        inner.next_id += 1;
        let result = act(&mut inner.state, id, verdict);
        let changes = call.changes_disk();
        let error = result.as_ref().err().map(ToString::to_string);
        let number = inner.processes[process].calls;
        inner.log.push(LogEntry { process, number, call, error });
        if let Some(moments) = inner.moments.as_mut().filter(|_| changes) {
            moments.push((inner.calls, inner.state.clone()));
        }
        result
    }
}

impl Process {
    fn take_waiting(&mut self, call: &Call) -> Option<Box<dyn FnOnce() + Send>> {
        let at = self.waiting.iter().position(|waiting| (waiting.fits)(call))?;
        Some(self.waiting.remove(at).act)
    }
}

impl Inner {
    /// Decides what happens to a call. Fails if the process is dead or stopped; such calls are neither counted nor logged.
    fn judge(&mut self, process: usize, call: &Call) -> io::Result<Verdict> {
        if self.state.dead.contains(&process) {
            return Err(io::Error::other("the process was killed"));
        }
        let own = &mut self.processes[process];
        if own.stopped {
            return Err(power_lost());
        }
        own.calls += 1;
        self.calls += 1;
        if let Some(stop) = own.stop.filter(|stop| stop.at <= own.calls) {
            own.stopped = true;
            return Ok(match call {
                Call::Write { .. } => Verdict::Fail { error: power_lost(), written: stop.written },
                _ => Verdict::Refuse(power_lost()),
            });
        }
        // Nobody asks on a disk without rules, on which most calls are made.
        let exists = !own.rules.is_empty() && self.state.resolve(call.path()).is_ok();
        let fault = own.rules.iter_mut().find_map(|rule| rule.hit(own.calls, call, exists));
        Ok(match fault {
            Some(fault) if matches!(fault.error().kind(), io::ErrorKind::Interrupted) => {
                Verdict::Refuse(fault.error())
            }
            Some(fault) => Verdict::Fail { error: fault.error(), written: fault.written() },
            None if self.traits.ignored.iter().any(|ignores| ignores(call)) => Verdict::Ignore,
            None => Verdict::Act,
        })
    }
}
