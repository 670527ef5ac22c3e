//! Native calls for `MigrationManager`. JavaScript runs the callbacks; the run determines which one is next.

use std::path::PathBuf;
use std::sync::Arc;

use napi_derive::napi;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::error::describe;
use super::options::milliseconds;
use super::port::{Answer, Mailbox, Port};
use super::session::guarded;
use super::site::site;
use crate::engine::backup::settle;
use crate::engine::cancel;
use crate::engine::migration::{
    Goal, HeldData, Next, Registered, Registry, Run, State, StateFile, Step, Summary, Undone, Version,
    acquire, status,
};
use crate::engine::{Error, Result, Wait, now_ms};
use crate::pool::run_blocking;

#[napi]
pub struct NativeMigrations {
    mailbox: Mailbox,
    base: PathBuf,
    registry: Mutex<Registry>,
    /// The run in progress. JavaScript starts only one at a time.
    run: Arc<Mutex<Option<Run<HeldData>>>>,
}

/// Returns the goal of a kind as numbered in `migration-manager.js`.
fn goal(kind: u32, target: Option<&str>) -> Result<Goal> {
    Ok(match (kind, target) {
        (0, None) => Goal::Latest,
        (0, Some(target)) => Goal::Up(Version::parse(target)?),
        (_, target) => Goal::Down(Version::parse(target.unwrap_or_default())?),
    })
}

#[napi]
impl NativeMigrations {
    /// `base` is absolute. Touches no file.
    #[napi(constructor, catch_unwind)]
    pub fn new(port: &Port, base: String) -> NativeMigrations {
        NativeMigrations {
            mailbox: port.mailbox(),
            base: PathBuf::from(base),
            registry: Mutex::default(),
            run: Arc::default(),
        }
    }

    /// Returns what is wrong as the JSON of an error, or nothing.
    #[napi(catch_unwind)]
    pub fn register(&self, version: String, description: String, reversible: bool) -> Option<String> {
        let parsed = Version::parse(&version);
        let register =
            |version| self.registry.lock().register(Registered { version, description, reversible });
        parsed.and_then(register).err().map(|error| describe(&error))
    }

    /// Takes the migration lock and begins the first step. Answers like `succeeded`.
    #[napi(catch_unwind)]
    pub fn start(&self, ticket: u32, kind: u32, target: Option<String>, lock_timeout: f64) {
        let (base, registry) = (self.base.clone(), self.registry.lock().clone());
        let wait = Wait::at_most(milliseconds(lock_timeout));
        self.work(ticket, move |place| {
            let goal = goal(kind, target.as_deref())?;
            let site = site(&base, wait);
            let lock = acquire(&site, wait)?;
            let file = StateFile::of(&site.base);
            let protect = |lock| HeldData::take(site, lock, wait);
            let run = Run::start(lock, file, registry, &goal, protect)?;
            // A caller that aborts from now on has a run that must be undone.
            cancel::begin()?;
            next(place, run)
        });
    }

    /// Called when the step that was begun has done its work. Answers `{ up: version }` or `{ down: version }` for the next
    /// step, or at the end `{ done: [version, …], currentVersion }`.
    #[napi(catch_unwind)]
    pub fn succeeded(&self, ticket: u32) {
        self.work(ticket, |place| {
            let mut run = place.take().ok_or_else(none_under_way)?;
            run.succeeded(now_ms())?;
            next(place, run)
        });
    }

    /// Called when the step that was begun has failed, which ends the run. Answers with nothing, or with the JSON of an
    /// error if the failure could not be recorded.
    #[napi(catch_unwind)]
    pub fn failed(&self, ticket: u32, message: String) {
        self.work(ticket, move |place| {
            let mut run = place.take().ok_or_else(none_under_way)?;
            Ok(match run.failed(&message, now_ms())? {
                Undone::Recorded => Answer::Nothing,
                Undone::NotRecorded(error) => Answer::text(describe(&error).into_bytes()),
            })
        });
    }

    /// Answers with the state as stored, after clearing up what an interrupted run left behind.
    #[napi(catch_unwind)]
    pub fn state(&self, ticket: u32, lock_timeout: f64) {
        let load = self.load(lock_timeout);
        self.answer(ticket, move || Ok(Answer::text(load()?.to_json().into_bytes())));
    }

    /// Answers `{ currentVersion, latestVersion, pending, migrations: [{ version, description, state, appliedAt, error,
    /// hasDown }] }`.
    #[napi(catch_unwind)]
    pub fn status(&self, ticket: u32, lock_timeout: f64) {
        let (load, registry) = (self.load(lock_timeout), self.registry.lock().clone());
        self.answer(ticket, move || {
            let state = load()?;
            let all = status(&registry, &state);
            let latest = registry.iter().next_back().map(|migration| migration.version.to_string());
            let migrations: Vec<Value> = all
                .iter()
                .map(|one| {
                    json!({
                        "version": one.version.to_string(),
                        "description": one.description,
                        "state": one.progress.as_str(),
                        "appliedAt": one.applied_at,
                        "error": one.error,
                        "hasDown": one.reversible,
                    })
                })
                .collect();
            Ok(Answer::json(json!({
                "currentVersion": state.current().to_string(),
                "latestVersion": latest,
                "pending": all.iter().filter(|one| one.progress.is_pending()).count(),
                "migrations": migrations,
            })))
        });
    }
}

impl NativeMigrations {
    /// Loads the state. If a run died after it had recorded a success but before the success was final, the state that it
    /// left is first restored together with the data.
    fn load(&self, lock_timeout: f64) -> impl FnOnce() -> Result<State> + Send + 'static {
        let wait = Wait::at_most(milliseconds(lock_timeout));
        let site = site(&self.base, wait);
        move || {
            settle(&site, wait)?;
            StateFile::of(&site.base).load()
        }
    }

    /// Works on the run in progress, on the pool, where it may block.
    fn work(
        &self,
        ticket: u32,
        work: impl FnOnce(&mut Option<Run<HeldData>>) -> Result<Answer> + Send + 'static,
    ) {
        let run = Arc::clone(&self.run);
        // The lock is held for the bookkeeping of a step, never while a callback runs.
        self.answer(ticket, move || work(&mut run.lock()));
    }

    fn answer(&self, ticket: u32, work: impl FnOnce() -> Result<Answer> + Send + 'static) {
        let (mailbox, cancel) = (self.mailbox.clone(), self.mailbox.cancel_of(ticket));
        run_blocking(move || {
            let result = guarded(|| cancel.scope(|| mailbox.watched(ticket, work)));
            mailbox.answer(ticket, result);
        });
    }
}

fn none_under_way() -> Error {
    Error::InvalidArgument("no migration is under way".into())
}

/// Begins the next step of a run and keeps the run, or ends the run.
fn next(place: &mut Option<Run<HeldData>>, mut run: Run<HeldData>) -> Result<Answer> {
    let step = match run.advance()? {
        Next::Begin(Step::Up(version)) => json!({ "up": version.to_string() }),
        Next::Begin(Step::Down(version)) => json!({ "down": version.to_string() }),
        Next::Done(Summary { versions, current }) => {
            let versions: Vec<String> = versions.iter().map(Version::to_string).collect();
            return Ok(Answer::json(json!({ "done": versions, "currentVersion": current.to_string() })));
        }
    };
    *place = Some(run);
    Ok(Answer::json(step))
}
