//! What is to be done: the steps that follow from the registered migrations, the recorded ones, and the goal.

use std::collections::BTreeMap;

use super::state::State;
use super::version::Version;
use crate::engine::error::{Error, Result};
use crate::engine::order;

/// A migration that the program knows.
#[derive(Debug, Clone)]
pub struct Registered {
    /// As registered, including its build metadata.
    pub version: Version,
    pub description: String,
    /// Whether it can be rolled back.
    pub reversible: bool,
}

/// The migrations that the program knows, by version.
#[derive(Debug, Clone, Default)]
pub struct Registry(BTreeMap<Version, Registered>);

impl Registry {
    /// # Errors
    /// `ALREADY_EXISTS` if a migration with the same version is registered.
    pub fn register(&mut self, migration: Registered) -> Result<()> {
        if self.0.contains_key(&migration.version) {
            return Err(Error::AlreadyRegistered(migration.version.to_string()));
        }
        self.0.insert(migration.version.clone(), migration);
        Ok(())
    }

    pub fn get(&self, version: &Version) -> Option<&Registered> {
        self.0.get(version)
    }

    /// Iterates over the migrations in the order of their versions.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Registered> {
        self.0.values()
    }

    fn require(&self, version: &Version) -> Result<()> {
        match self.get(version) {
            Some(_) => Ok(()),
            None => Err(Error::NotFound { what: "migration", id: version.to_string() }),
        }
    }
}

/// Where a run is to end.
#[derive(Debug, Clone)]
pub enum Goal {
    /// Every pending version is applied.
    Latest,
    /// Every pending version up to and including this one is applied.
    Up(Version),
    /// No version above this one stays applied; none at all if it is [`Version::NONE`].
    Down(Version),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Up(Version),
    Down(Version),
}

impl Step {
    pub fn version(&self) -> &Version {
        match self {
            Step::Up(version) | Step::Down(version) => version,
        }
    }
}

/// Returns the steps that lead from a state to a goal, in the order in which they run: up in ascending order of versions,
/// down in descending order. The cost grows with the number of registered and recorded versions.
///
/// A version is pending if it is registered and not recorded as a success, even if it is lower than versions that are: it
/// may have come from a branch that was merged later.
///
/// # Errors
/// `NOT_FOUND` for a target that is not registered; `INVALID_ARGUMENT` for a target in the other direction, and for a
/// rollback past a migration that cannot be rolled back. Nothing has run in these cases.
pub fn plan(registry: &Registry, state: &State, goal: &Goal) -> Result<Vec<Step>> {
    let current = state.current();
    match goal {
        Goal::Latest => Ok(pending(registry, state).map(Step::Up).collect()),
        Goal::Up(target) => {
            registry.require(target)?;
            if *target < current && state.applied().next().is_some() {
                return Err(Error::InvalidArgument(format!(
                    "cannot migrate to {target}: {current} is applied, which is higher; use rollback"
                )));
            }
            Ok(pending(registry, state).take_while(|version| version <= target).map(Step::Up).collect())
        }
        Goal::Down(target) => {
            // Not even what precedes this version stays then.
            let is_none = *target == Version::NONE;
            if !is_none && !state.is_applied(target) {
                registry.require(target)?;
            }
            if !is_none && *target > current {
                return Err(Error::InvalidArgument(format!(
                    "cannot roll back to {target}: {current} is the highest version that is applied; use migrate"
                )));
            }
            let mut above: Vec<&Version> = state
                .applied()
                .map(|record| &record.version)
                .filter(|version| is_none || *version > target)
                .collect();
            order::sort_by(&mut above, |one, other| other.cmp(one));
            above.dedup();
            above.into_iter().map(|version| step_down(registry, version)).collect()
        }
    }
}

fn pending<'a>(registry: &'a Registry, state: &State) -> impl Iterator<Item = Version> + 'a {
    let mut applied: Vec<Version> = state.applied().map(|record| record.version.clone()).collect();
    order::sort_by(&mut applied, Ord::cmp);
    let is_pending = move |migration: &&Registered| applied.binary_search(&migration.version).is_err();
    registry.iter().filter(is_pending).map(|migration| migration.version.clone())
}

fn step_down(registry: &Registry, version: &Version) -> Result<Step> {
    let problem = match registry.get(version) {
        Some(migration) if migration.reversible => return Ok(Step::Down(migration.version.clone())),
        Some(_) => "it has no down",
        None => "it is not registered",
    };
    Err(Error::InvalidArgument(format!(
        "migration {version} does not support rollback: {problem}; nothing was rolled back"
    )))
}
