//! Reports of verification and repair on their way to JavaScript, each with the text for people.

use serde_json::Value;

use crate::engine::{RepairReport, VerifyReport};
use crate::reports;

pub fn verify_report(report: &VerifyReport) -> Value {
    with_text(reports::verify_report(report), report)
}

pub fn repair_report(report: &RepairReport) -> Value {
    let mut value = with_text(reports::repair_report(report), report);
    value["before"] = verify_report(&report.before);
    value["after"] = verify_report(&report.after);
    value
}

fn with_text(mut value: Value, report: &impl ToString) -> Value {
    value["text"] = report.to_string().into();
    value
}
