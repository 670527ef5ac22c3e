//! What the engine reports, as the JSON that programs get.

use serde_json::{Value, json};

use crate::engine::backup::{BackupInfo, BackupProblem, BackupReport};
use crate::engine::{Action, Problem, RepairReport, VerifyReport};

pub fn verify_report(report: &VerifyReport) -> Value {
    let collections: Vec<Value> = report
        .collections
        .iter()
        .map(|found| json!({ "path": found.path, "documents": found.documents, "bytes": found.bytes }))
        .collect();
    json!({
        "ok": report.is_ok(),
        "directory": report.directory.display().to_string(),
        "documents": report.documents(),
        "collections": collections,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}

pub fn problem(problem: &Problem) -> Value {
    let mut value = json!({
        "severity": problem.severity.as_str(),
        "code": problem.code.as_str(),
        "path": problem.path,
        "message": problem.message,
    });
    if let Some(offset) = problem.offset {
        value["offset"] = offset.into();
    }
    if let Some(id) = &problem.id {
        value["id"] = id.as_str().into();
    }
    value
}

/// With the reports of before and after in it.
pub fn repair_report(report: &RepairReport) -> Value {
    let action = |action: &Action| json!({ "code": action.code.as_str(), "path": action.path, "message": action.message });
    json!({
        "ok": report.is_ok(),
        "changed": report.copies.is_some(),
        "copies": report.copies.as_ref().map(|path| path.display().to_string()),
        "actions": report.actions.iter().map(action).collect::<Vec<_>>(),
        "before": verify_report(&report.before),
        "after": verify_report(&report.after),
    })
}

/// `created` is in milliseconds or null, `problem` a sentence or null.
pub fn backup(backup: &BackupInfo) -> Value {
    json!({
        "name": backup.name,
        "path": backup.path.to_string_lossy(),
        "created": backup.created,
        "size": backup.size,
        "files": backup.files,
        "complete": backup.is_complete(),
        "problem": backup.problem,
    })
}

/// `created` is in milliseconds or null.
pub fn backup_report(report: &BackupReport) -> Value {
    let problem = |problem: &BackupProblem| json!({ "path": problem.path, "message": problem.message });
    json!({
        "ok": report.is_ok(),
        "name": report.name,
        "path": report.path.to_string_lossy(),
        "created": report.created,
        "size": report.size,
        "files": report.files,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}
