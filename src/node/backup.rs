//! Native calls for backups. While a call runs, its progress reaches JavaScript through the port.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use napi_derive::napi;
use serde_json::json;

use super::options::milliseconds;
use super::port::{Answer, Mailbox, Port};
use super::session::guarded;
use super::site::site;
use crate::engine::backup::{
    BackupOptions, Progress, Site, back_up, list_backups, prune_backups, restore, verify_backup,
};
use crate::engine::{Result, Wait};
use crate::pool::run_blocking;
use crate::reports;

/// The shortest time between two reports of a call's progress.
const PROGRESS_PAUSE: Duration = Duration::from_millis(50);

#[napi]
pub struct NativeBackups {
    mailbox: Mailbox,
    base: PathBuf,
}

#[napi]
impl NativeBackups {
    /// `base` is absolute. Touches no file.
    #[napi(constructor, catch_unwind)]
    pub fn new(port: &Port, base: String) -> NativeBackups {
        NativeBackups { mailbox: port.mailbox(), base: PathBuf::from(base) }
    }

    /// Answers with the path of the backup, a JSON string. Reports progress.
    #[napi(catch_unwind)]
    pub fn backup(&self, ticket: u32, name: Option<String>, include: Vec<String>, lock_timeout: f64) {
        let mailbox = self.mailbox.clone();
        self.run(ticket, lock_timeout, move |site, wait, progress| {
            let made = back_up(&site, name.as_deref(), &BackupOptions { include, wait }, progress)?;
            mailbox.warn(made.warnings);
            Ok(Answer::json(json!(made.path.to_string_lossy())))
        });
    }

    /// `backup` is a name or an absolute path. Answers with nothing. Reports progress.
    #[napi(catch_unwind)]
    pub fn restore(&self, ticket: u32, backup: String, lock_timeout: f64) {
        self.run(ticket, lock_timeout, move |site, wait, progress| {
            restore(&site, Path::new(&backup), wait, progress).map(|()| Answer::Nothing)
        });
    }

    /// `backup` is a name or an absolute path. Answers with the report of [`reports::backup_report`]. Reports progress.
    #[napi(catch_unwind)]
    pub fn verify(&self, ticket: u32, backup: String) {
        self.run(ticket, 0.0, move |site, _, progress| {
            verify_backup(&site, Path::new(&backup), progress)
                .map(|report| Answer::json(reports::backup_report(&report)))
        });
    }

    /// Answers `[{ name, path, created, size, files, complete, problem }]`, the oldest first; `created` is in milliseconds
    /// or null, `problem` a sentence or null.
    #[napi(catch_unwind)]
    pub fn list(&self, ticket: u32) {
        self.run(ticket, 0.0, |site, _, _| {
            Ok(Answer::json(list_backups(&site)?.iter().map(reports::backup).collect()))
        });
    }

    /// Answers with the names of the backups that were removed.
    #[napi(catch_unwind)]
    pub fn prune(&self, ticket: u32, keep: f64, lock_timeout: f64) {
        self.run(ticket, lock_timeout, move |site, wait, _| {
            Ok(Answer::json(json!(prune_backups(&site, keep as usize, wait)?)))
        });
    }
}

impl NativeBackups {
    fn run(
        &self,
        ticket: u32,
        lock_timeout: f64,
        work: impl FnOnce(Site, Wait, &mut Progress<'_>) -> Result<Answer> + Send + 'static,
    ) {
        let wait = Wait::at_most(milliseconds(lock_timeout));
        let site = site(&self.base, wait);
        let (mailbox, cancel) = (self.mailbox.clone(), self.mailbox.cancel_of(ticket));
        run_blocking(move || {
            let mut told: Option<Instant> = None;
            let mut progress = |done: u64, total: u64| {
                if done == total || told.is_none_or(|told| told.elapsed() >= PROGRESS_PAUSE) {
                    told = Some(Instant::now());
                    mailbox.progress(ticket, done, total);
                }
                if cancel.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let result =
                guarded(|| cancel.scope(|| mailbox.watched(ticket, || work(site, wait, &mut progress))));
            mailbox.answer(ticket, result);
        });
    }
}
