//! The command line, run where it may block.

use napi_derive::napi;
use octoprompt_storage_cli::{Goal, MigrateOrder, Outcome, Setting};
use serde_json::{Value, json};

use super::port::{Answer, Port};
use super::session::guarded;
use crate::engine::{Error, Result};
use crate::pool::run_blocking;

/// Runs a command over the standard streams of this process. Answers `{ exit }`, the number to exit with, or
/// `{ migrate: { basePath, file, goal, version, lockTimeout, json, color } }`, what is left to do where modules can be
/// loaded; `goal` is `apply`, `rollback` or `status`.
#[napi(catch_unwind)]
pub fn run_command_line(port: &Port, ticket: u32, arguments: Vec<String>) {
    let mailbox = port.mailbox();
    run_blocking(move || {
        let ended = guarded(|| run(arguments));
        mailbox.answer(ticket, ended.map(|value| Answer::text(value.to_string().into_bytes())));
    });
}

fn run(arguments: Vec<String>) -> Result<Value> {
    let setting = Setting::of_process()
        .map_err(|error| Error::io("look up", std::path::Path::new("the working directory"), &error))?;
    let arguments: Vec<_> = arguments.into_iter().map(Into::into).collect();
    Ok(match octoprompt_storage_cli::run(&arguments, setting) {
        Outcome::Exit(exit) => json!({ "exit": exit as u8 }),
        Outcome::Migrate(order) => json!({ "migrate": describe(&order) }),
    })
}

fn describe(order: &MigrateOrder) -> Value {
    let (goal, version) = match &order.goal {
        Goal::Apply(version) => ("apply", version.as_deref()),
        Goal::Rollback(version) => ("rollback", Some(version.as_str())),
        Goal::Status => ("status", None),
    };
    json!({
        "basePath": order.base_path.to_string_lossy(),
        "file": order.file.to_string_lossy(),
        "goal": goal,
        "version": version,
        "lockTimeout": order.lock_timeout_ms,
        "json": order.json,
        "color": order.color,
    })
}
