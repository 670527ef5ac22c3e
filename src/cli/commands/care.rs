//! `verify`, `repair` and `checkpoint`.

use std::path::Path;

use serde_json::{Value, json};

use crate::console::{Console, Style};
use crate::engine::{
    self, Action, ActionCode, Database, Problem, ProblemCode, RepairReport, Severity, VerifyReport,
};
use crate::failure::{Exit, Failure, Result};
use crate::reports;
use crate::table::Table;
use crate::{Run, display};

pub fn verify(run: &mut Run) -> Result<Exit> {
    let mut found = Vec::new();
    for directory in run.place.databases()? {
        found.push(engine::verify(&run.place.file_system(), &directory, run.place.wait())?);
    }
    let records = engine::verify_records(&run.place.site().base)?;
    let ok = records.is_empty() && found.iter().all(VerifyReport::is_ok);
    let exit = if ok { Exit::Done } else { Exit::Problems };
    exit.after(tell_verified(run, ok, &found, &records))
}

fn tell_verified(run: &mut Run, ok: bool, found: &[VerifyReport], records: &[Problem]) -> Result<()> {
    if run.console.is_json() {
        let databases: Vec<Value> = found.iter().map(reports::verify_report).collect();
        let problems: Vec<Value> = records.iter().map(reports::problem).collect();
        return run.console.document(&json!({ "ok": ok, "databases": databases, "problems": problems }));
    }
    for report in found {
        let path = run.place.relative(&report.directory);
        show_report(&mut run.console, &path, report)?;
    }
    show_problems(&mut run.console, records)?;
    advise(&mut run.console, found.iter().flat_map(|report| &report.problems).chain(records));
    Ok(())
}

/// Says what to do about the problems. An edited file needs no repair.
fn advise<'a>(console: &mut Console, problems: impl Iterator<Item = &'a Problem>) {
    let (edits, others): (Vec<&Problem>, Vec<&Problem>) = problems
        .filter(|problem| problem.severity != Severity::Note)
        .partition(|problem| problem.code == ProblemCode::SnapshotChanged);
    if !edits.is_empty() {
        console.remark(
            "an edit of yours is adopted when the data is used next; if nobody edited it, restore a backup",
        );
    }
    if !others.is_empty() {
        console.remark("`repair` mends what can be mended and keeps the originals");
    }
}

/// Repairs every database that needs it.
pub fn repair(run: &mut Run, yes: bool) -> Result<Exit> {
    let known = run.place.databases()?;
    let what = format!("{} will be repaired where necessary", run.place.base().display());
    run.console.confirm(&what, yes)?;
    // The record comes first, because it names databases that must be repaired too.
    let base = run.place.site().base;
    for directory in &known {
        base.repair_record(directory, run.place.wait())?;
    }
    let mut repaired = Vec::new();
    let ended = run.place.databases().and_then(|directories| {
        for directory in &directories {
            repaired.push(engine::repair_under(&base, directory, run.place.wait())?);
        }
        Ok(())
    });
    let ok = ended.is_ok() && repaired.iter().all(RepairReport::is_ok);
    let lost = repaired.iter().flat_map(|report| &report.actions).any(is_lost);
    // As with fsck: a database that is sound again but lost something is not as it was.
    let exit = if ok && !lost { Exit::Done } else { Exit::Problems };
    // What was lost is told even if the rest cannot be repaired now: a database that is repaired does not show it any more.
    let told = if repaired.is_empty() { Ok(()) } else { tell_repaired(run, ok, lost, &repaired) };
    ended?;
    exit.after(told)
}

fn tell_repaired(run: &mut Run, ok: bool, lost: bool, repaired: &[RepairReport]) -> Result<()> {
    if run.console.is_json() {
        let databases: Vec<Value> = repaired.iter().map(reports::repair_report).collect();
        return run.console.document(&json!({ "ok": ok, "databases": databases }));
    }
    for report in repaired {
        let path = run.place.relative(&report.directory);
        show_repair(&mut run.console, &path, report)?;
    }
    if lost {
        run.console.remark("something was lost: the report says what; restore a backup if you need it");
    }
    Ok(())
}

fn is_lost(action: &Action) -> bool {
    matches!(action.code, ActionCode::BatchesLost | ActionCode::DocumentsLost)
}

pub fn checkpoint(run: &mut Run) -> Result<()> {
    let mut done = Vec::new();
    for directory in run.place.databases()? {
        let database = run.place.open_directory(&directory)?;
        database.checkpoint(run.place.wait())?;
        run.console.warn_all(&database.take_warnings());
        refuse_to_lag(&directory, &database)?;
        done.push(run.place.relative(&directory));
    }
    if run.console.is_json() {
        return run.console.document(&json!({ "databases": done }));
    }
    done.iter().try_for_each(|path| {
        run.console.line(&format!("{}: the JSON files are up to date", display::line(path)))
    })
}

/// # Errors
/// `IO_ERROR` if the JSON files lack batches because nothing can be written.
fn refuse_to_lag(directory: &Path, database: &Database) -> Result<()> {
    let sequence = database.statistics()?.sequence;
    let behind = sequence.acknowledged.saturating_sub(sequence.covered);
    if !database.is_read_only() || behind == 0 {
        return Ok(());
    }
    let batches = if behind == 1 { "1 batch".to_owned() } else { format!("{behind} batches") };
    let message = format!(
        "nothing can be written to {}, so its JSON files still lack {batches}; run the command as a user who may write there",
        directory.display()
    );
    Err(Failure::Told { exit: Exit::Failed, code: "IO_ERROR", message })
}

fn show_report(console: &mut Console, path: &str, report: &VerifyReport) -> Result<()> {
    let verdict =
        if report.is_ok() { console.paint(Style::Good, "ok") } else { console.paint(Style::Error, "NOT OK") };
    let documents = display::count(report.documents(), "document");
    let collections = display::count(report.collections.len() as u64, "collection");
    console.line(&format!("{}: {verdict}, {documents} in {collections}", display::line(path)))?;
    show_problems(console, &report.problems)
}

fn show_problems(console: &mut Console, problems: &[Problem]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["", "CODE", "WHERE", "WHAT"]);
    for problem in problems {
        let style = match problem.severity {
            Severity::Error => Style::Error,
            Severity::Warning => Style::Warning,
            Severity::Note => Style::Plain,
        };
        let offset = problem.offset.map(|offset| format!(":{offset}")).unwrap_or_default();
        let id = problem.id.as_ref().map(|id| format!(" document {id}")).unwrap_or_default();
        table.row(
            style,
            [
                problem.severity.as_str(),
                problem.code.as_str(),
                &format!("{}{offset}{id}", problem.path),
                &problem.message,
            ],
        );
    }
    console.table(table)
}

fn show_repair(console: &mut Console, path: &str, report: &RepairReport) -> Result<()> {
    let Some(copies) = &report.copies else {
        return console.line(&format!("{}: nothing to repair", display::line(path)));
    };
    let copies = display::line(&copies.to_string_lossy());
    console.line(&format!("{}: repaired; the originals are in {copies}", display::line(path)))?;
    let mut table = Table::new(&["DONE", "WHERE", "WHAT"]);
    for action in &report.actions {
        table.row(Style::Plain, [action.code.as_str(), &action.path, &action.message]);
    }
    console.table(table)?;
    show_report(console, path, &report.after)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::fs::{Call, Fault, Repeat, SimFs};
    use crate::engine::{DatabaseOptions, Durability, Wait};
    use crate::project::project_store;

    fn open(fs: &SimFs) -> Arc<Database> {
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        Database::open(fs.handle(), Path::new("/database"), options).expect("the database opens")
    }

    fn create_project(database: &Database) {
        let input = br#"{"name":"a","path":"/a"}"#;
        database.write(Durability::Full, |tx| project_store::create(tx, input)).expect("written");
    }

    #[test]
    fn files_of_a_read_only_directory_that_lack_batches_are_not_called_up_to_date() {
        let fs = SimFs::new();
        fs.make_dirs("/database");
        create_project(&open(&fs));
        fs.fail_when(Call::changes_state, Fault::ReadOnly, Repeat::Forever);
        let failure = refuse_to_lag(Path::new("/database"), &open(&fs)).expect_err("the files lack a batch");
        assert_eq!((failure.exit(), failure.code()), (Exit::Failed, "IO_ERROR"));
        assert!(failure.message().contains("still lack 1 batch;"), "{}", failure.message());
        fs.heal();
        let database = open(&fs);
        database.checkpoint(Wait::at_most(std::time::Duration::ZERO)).expect("written");
        drop(database);
        fs.fail_when(Call::changes_state, Fault::ReadOnly, Repeat::Forever);
        assert!(refuse_to_lag(Path::new("/database"), &open(&fs)).is_ok());
    }
}
