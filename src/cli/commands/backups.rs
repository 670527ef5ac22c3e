//! `backup`, `backups`, `restore` and `verify --backup`.

use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};

use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::arguments::{BackupArguments, RestoreArguments};
use crate::console::{Console, Measure, Style};
use crate::engine::backup::{
    self, BackupInfo, BackupOptions, BackupReport, back_up, find_backup, list_backups, prune_backups,
    verify_backup,
};
use crate::engine::normal_path;
use crate::failure::{Exit, Failure, Result};
use crate::reports;
use crate::table::Table;
use crate::{Run, display};

pub fn backup(run: &mut Run, arguments: &BackupArguments) -> Result<Exit> {
    run.place.databases()?;
    let site = run.place.site();
    let options = BackupOptions { include: arguments.include.clone(), wait: run.place.wait() };
    let bar = run.console.bar("backing up", Measure::Bytes, None);
    let made = back_up(&site, arguments.name.as_deref(), &options, &mut progress(&bar));
    bar.finish_and_clear();
    let made = made?;
    run.console.warn_all(&made.warnings);
    let pruned = match arguments.keep {
        Some(keep) => prune_backups(&site, usize::try_from(keep).unwrap_or(usize::MAX), run.place.wait()),
        None => Ok(Vec::new()),
    };
    let (removed, exit) = match pruned {
        Ok(removed) => (removed, Exit::Done),
        // The new backup is good all the same.
        Err(error) => {
            run.console.warn(error.code(), &format!("old backups could not be removed: {error}"));
            (Vec::new(), Exit::Problems)
        }
    };
    let info = find_backup(&site, &made.path)?;
    exit.after(tell(&mut run.console, &info, &removed))
}

fn tell(console: &mut Console, made: &BackupInfo, removed: &[String]) -> Result<()> {
    if console.is_json() {
        let mut document = reports::backup(made);
        document["removed"] = json!(removed);
        return console.document(&document);
    }
    let path = display::line(&made.path.to_string_lossy());
    console.line(&format!("backed up to {path}, {}", display::size(made.size)))?;
    removed.iter().try_for_each(|name| console.line(&format!("removed the backup {}", display::line(name))))
}

pub fn list(run: &mut Run) -> Result<()> {
    let found = list_backups(&run.place.site())?;
    if found.is_empty() {
        // If there is no data, the base path is probably wrong.
        run.place.databases()?;
    }
    if run.console.is_json() {
        return run.console.document(&found.iter().map(reports::backup).collect::<Value>());
    }
    if found.is_empty() {
        return run.console.line("no backups yet; `backup` makes one");
    }
    let mut table = Table::new(&["NAME", "CREATED", ">SIZE", ">FILES", "STATE"]);
    for backup in &found {
        let style = if backup.is_complete() { Style::Plain } else { Style::Error };
        table.row(
            style,
            [
                &backup.name,
                &backup.created.map(display::time).unwrap_or_default(),
                &display::size(backup.size),
                &backup.files.to_string(),
                backup.problem.as_deref().unwrap_or("complete"),
            ],
        );
    }
    run.console.table(table)
}

pub fn restore(run: &mut Run, arguments: &RestoreArguments) -> Result<()> {
    let site = run.place.site();
    let backup = named(run, &arguments.backup);
    let shown = display::line(&backup.to_string_lossy());
    let base = run.place.base().display().to_string();
    if !arguments.confirmed.yes {
        let found = find_backup(&site, &backup)?;
        if let Some(problem) = found.problem {
            let message =
                format!("the backup {shown} cannot be restored: {problem}; `backups` lists the others");
            return Err(Failure::Told { exit: Exit::Failed, code: "CORRUPT_DATA", message });
        }
        let created =
            found.created.map(|created| format!(" of {}", display::time(created))).unwrap_or_default();
        run.console.confirm(&format!("the backup {shown}{created} replaces all data under {base}"), false)?;
    }
    let bar = run.console.bar("restoring", Measure::Bytes, None);
    let restored = backup::restore(&site, &backup, run.place.wait(), &mut progress(&bar));
    bar.finish_and_clear();
    restored?;
    if run.console.is_json() {
        return run.console.document(&json!({ "restored": backup.to_string_lossy() }));
    }
    run.console.line(&format!("restored {shown}"))
}

/// Reads a backup and tells what is wrong with it.
pub fn verify(run: &mut Run, backup: &Path) -> Result<Exit> {
    let backup = named(run, backup);
    let bar = run.console.bar("verifying", Measure::Bytes, None);
    let report = verify_backup(&run.place.site(), &backup, &mut progress(&bar));
    bar.finish_and_clear();
    let report = report?;
    let exit = if report.is_ok() { Exit::Done } else { Exit::Problems };
    exit.after(tell_verified(&mut run.console, &backup, &report))
}

fn tell_verified(console: &mut Console, backup: &Path, report: &BackupReport) -> Result<()> {
    if console.is_json() {
        return console.document(&reports::backup_report(report));
    }
    let verdict =
        if report.is_ok() { console.paint(Style::Good, "ok") } else { console.paint(Style::Error, "NOT OK") };
    let files = display::count(report.files as u64, "file");
    let (shown, size) = (display::line(&backup.to_string_lossy()), display::size(report.size));
    console.line(&format!("{shown}: {verdict}, {size} in {files}"))?;
    if report.is_ok() {
        return Ok(());
    }
    let mut table = Table::new(&["WHERE", "WHAT"]);
    for problem in &report.problems {
        table.row(Style::Error, [&problem.path, &problem.message]);
    }
    console.table(table)?;
    console.remark("it cannot be restored as it is; use another one: `backups` lists them");
    Ok(())
}

/// Returns a backup as it is given to the engine. A name stays a name; a value with a separator is a path from the working
/// directory.
fn named(run: &Run, backup: &Path) -> PathBuf {
    if is_name(backup) { backup.to_path_buf() } else { normal_path(&run.directory.join(backup)) }
}

fn is_name(backup: &Path) -> bool {
    let mut components = backup.components();
    matches!((components.next(), components.next()), (Some(Component::Normal(_)), None))
        && !backup.to_string_lossy().ends_with(std::path::is_separator)
}

fn progress(bar: &ProgressBar) -> impl FnMut(u64, u64) -> ControlFlow<()> + '_ {
    |done, total| {
        if total > 0 {
            bar.set_length(total);
            bar.set_position(done);
        }
        ControlFlow::Continue(())
    }
}
