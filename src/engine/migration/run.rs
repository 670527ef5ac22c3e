//! A run: the steps of a plan, each carried out entirely or not at all.

use std::collections::VecDeque;

use super::plan::{Goal, Registered, Registry, Step, plan};
use super::state::{Record, State, StateFile};
use super::version::Version;
use crate::engine::error::{Error, Result};

/// Protects the data of a run. The state file is part of the data.
pub trait Safeguard {
    /// Keeps a copy of the data as it is now. From here on, a crash puts this copy back.
    fn keep(&mut self) -> Result<()>;
    /// Restores the data to what it was at the last [`Safeguard::keep`], byte for byte.
    fn put_back(&mut self) -> Result<()>;
    /// Accepts the data as it is now. From here on, a crash leaves it so.
    fn accept(&mut self) -> Result<()>;
}

/// What to do next.
#[derive(Debug)]
pub enum Next {
    /// Carry out this step, then call [`Run::succeeded`] or [`Run::failed`].
    Begin(Step),
    Done(Summary),
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The versions that were applied or rolled back, in this order.
    pub versions: Vec<Version>,
    pub current: Version,
}

/// How a failed step ended.
#[derive(Debug)]
pub enum Undone {
    /// The data is as before the step, and the failure is recorded.
    Recorded,
    /// The data is as before the step; the state file could not be written.
    NotRecorded(Error),
}

/// A run in progress. Dropping it in the middle of a step puts the data back.
pub struct Run<S: Safeguard> {
    steps: VecDeque<Step>,
    /// The step that was begun.
    current: Option<Step>,
    done: Vec<Version>,
    state: State,
    file: StateFile,
    registry: Registry,
    /// `None` if there is nothing to do.
    safeguard: Option<S>,
}

impl<S: Safeguard> Run<S> {
    /// Plans a run. `lock` keeps other runs away; if there is anything to do, `protect` turns it into the safeguard.
    ///
    /// # Errors
    /// Those of `plan`, [`StateFile::load`] and `protect`. Nothing has changed in these cases.
    pub fn start<L>(
        lock: L,
        file: StateFile,
        registry: Registry,
        goal: &Goal,
        protect: impl FnOnce(L) -> Result<S>,
    ) -> Result<Run<S>> {
        let state = file.load()?;
        let steps = VecDeque::from(plan(&registry, &state, goal)?);
        let safeguard = if steps.is_empty() { None } else { Some(protect(lock)?) };
        Ok(Run { steps, current: None, done: Vec::new(), state, file, registry, safeguard })
    }

    /// Begins the next step, after keeping a copy of the data.
    ///
    /// # Errors
    /// Those of the safeguard, in which case the step has not begun. `INVALID_ARGUMENT` while a step is under way.
    pub fn advance(&mut self) -> Result<Next> {
        if let Some(step) = &self.current {
            return Err(Error::InvalidArgument(format!("migration {} has not ended", step.version())));
        }
        let Some(step) = self.steps.pop_front() else {
            return Ok(Next::Done(Summary { versions: self.done.clone(), current: self.state.current() }));
        };
        self.safeguard()?.keep()?;
        self.current = Some(step.clone());
        Ok(Next::Begin(step))
    }

    /// Records that the step under way has done its work, and makes its changes final. `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// If the success cannot be recorded, the data is put back and the run ends. `MIGRATION_FAILED` if the data cannot be
    /// put back either.
    pub fn succeeded(&mut self, now: u64) -> Result<()> {
        let step = self.take_current()?;
        let mut next = self.state.clone();
        match &step {
            Step::Up(version) => next.record(self.entry(version, now, None)),
            Step::Down(version) => next.forget(version),
        }
        // A crash puts the state file back too, so it may record the success before the changes are final.
        let accepted = self.file.save(&next).and_then(|()| self.safeguard()?.accept());
        match accepted {
            Ok(()) => {
                self.state = next;
                self.done.push(step.version().clone());
                Ok(())
            }
            Err(error) => {
                self.steps.clear();
                self.put_back(&step, &error.to_string())?;
                Err(error)
            }
        }
    }

    /// Ends the run because the step under way failed: puts the data back and records the failure.
    ///
    /// # Errors
    /// `MIGRATION_FAILED` if the data cannot be put back. It is put back when it is next opened.
    pub fn failed(&mut self, message: &str, now: u64) -> Result<Undone> {
        let step = self.take_current()?;
        self.steps.clear();
        self.put_back(&step, message)?;
        let mut next = self.state.clone();
        match &step {
            Step::Up(version) => next.record(self.entry(version, now, Some(message.to_owned()))),
            Step::Down(version) => next.rollback_failed(version, message.to_owned()),
        }
        Ok(match self.file.save(&next) {
            Ok(()) => {
                self.state = next;
                Undone::Recorded
            }
            Err(error) => Undone::NotRecorded(error),
        })
    }

    fn put_back(&mut self, step: &Step, message: &str) -> Result<()> {
        self.safeguard()?.put_back().map_err(|error| {
            let version = step.version();
            Error::NotPutBack(format!(
                "migration {version} failed ({message}), and putting the data back failed too ({error}); close every \
                 process that uses it: the next process that opens it restores it"
            ))
        })
    }

    fn entry(&self, version: &Version, now: u64, error: Option<String>) -> Record {
        let description =
            self.registry.get(version).map(|migration: &Registered| migration.description.clone());
        Record::new(version.clone(), description.unwrap_or_default(), now, error)
    }

    fn take_current(&mut self) -> Result<Step> {
        self.current.take().ok_or_else(|| Error::InvalidArgument("no migration is under way".into()))
    }

    fn safeguard(&mut self) -> Result<&mut S> {
        self.safeguard.as_mut().ok_or_else(|| Error::InvalidArgument("the run has nothing to do".into()))
    }
}

impl<S: Safeguard> Drop for Run<S> {
    /// The driver of the run is gone. If the data cannot be put back now, it is put back when it is next opened.
    fn drop(&mut self) {
        if let (Some(_), Some(safeguard)) = (self.current.take(), &mut self.safeguard) {
            let _ = safeguard.put_back();
        }
    }
}
