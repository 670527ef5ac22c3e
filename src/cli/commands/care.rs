//! `verify`, `repair` and `checkpoint`.

use serde_json::{Value, json};

use crate::console::{Console, Style};
use crate::engine::{self, Problem, RepairReport, Severity, VerifyReport};
use crate::failure::{Exit, Result};
use crate::reports;
use crate::table::Table;
use crate::{Run, display};

pub fn verify(run: &mut Run) -> Result<Exit> {
    let mut found = Vec::new();
    for directory in run.place.databases()? {
        found.push(engine::verify(&run.place.file_system(), &directory, run.place.wait())?);
    }
    let record = run.place.site().base.verify_record()?;
    let ok = record.is_none() && found.iter().all(VerifyReport::is_ok);
    if run.console.is_json() {
        let databases: Vec<Value> = found.iter().map(reports::verify_report).collect();
        let problems: Vec<Value> = record.iter().map(reports::problem).collect();
        run.console.document(&json!({ "ok": ok, "databases": databases, "problems": problems }))?;
    } else {
        for report in &found {
            let path = run.place.relative(&report.directory);
            show_report(&mut run.console, &path, report)?;
        }
        show_problems(&mut run.console, &record.into_iter().collect::<Vec<_>>())?;
        if !ok {
            run.console.remark("`repair` mends what can be mended and keeps the originals");
        }
    }
    Ok(if ok { Exit::Done } else { Exit::Problems })
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
    for directory in &run.place.databases()? {
        repaired.push(engine::repair(&run.place.file_system(), directory, run.place.wait())?);
    }
    let ok = repaired.iter().all(RepairReport::is_ok);
    if run.console.is_json() {
        let databases: Vec<Value> = repaired.iter().map(reports::repair_report).collect();
        run.console.document(&json!({ "ok": ok, "databases": databases }))?;
    } else {
        for report in &repaired {
            let path = run.place.relative(&report.directory);
            show_repair(&mut run.console, &path, report)?;
        }
    }
    Ok(if ok { Exit::Done } else { Exit::Problems })
}

pub fn checkpoint(run: &mut Run) -> Result<()> {
    let mut done = Vec::new();
    for directory in run.place.databases()? {
        let database = run.place.open_directory(&directory)?;
        database.checkpoint(run.place.wait())?;
        run.console.warn_all(&database.take_warnings());
        done.push(run.place.relative(&directory));
    }
    if run.console.is_json() {
        return run.console.document(&json!({ "databases": done }));
    }
    done.iter().try_for_each(|path| {
        run.console.line(&format!("{}: the JSON files are up to date", display::line(path)))
    })
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
