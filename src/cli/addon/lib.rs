//! The addon through which JavaScript starts the command line. Only `bin/` loads it.

#![cfg_attr(test, allow(dead_code, reason = "exports are registered outside of tests only"))]

use std::panic::{AssertUnwindSafe, catch_unwind};

use napi::bindgen_prelude::{AsyncTask, Env, Task};
use napi::{Error, Result};
use napi_derive::napi;
use octoprompt_storage_cli::{Goal, MigrateOrder, Outcome, Setting};
use serde_json::{Value, json};

/// Runs a command over the standard streams of this process. Answers, as JSON text, `{ exit }` with the exit code, or
/// `{ migrate: { basePath, file, goal, version, lockTimeout, json, color, errorsColor } }` with what remains to be done where
/// modules can be loaded; `goal` is `apply`, `rollback` or `status`. Answers `{ nowhere }` with the reason if there is no
/// working directory.
#[napi(catch_unwind)]
pub fn run_command_line(arguments: Vec<String>) -> AsyncTask<Command> {
    AsyncTask::new(Command { arguments })
}

/// A command, run on a thread where it may block.
pub struct Command {
    arguments: Vec<String>,
}

impl Task for Command {
    type Output = String;
    type JsValue = String;

    fn compute(&mut self) -> Result<String> {
        let arguments = std::mem::take(&mut self.arguments);
        catch_unwind(AssertUnwindSafe(|| run(arguments)))
            .unwrap_or_else(|_| Err(Error::from_reason("the command panicked; this is a bug of the package")))
    }

    fn resolve(&mut self, _: Env, answer: String) -> Result<String> {
        Ok(answer)
    }
}

fn run(arguments: Vec<String>) -> Result<String> {
    let setting = match Setting::of_process() {
        Ok(setting) => setting,
        Err(error) => return Ok(json!({ "nowhere": error.to_string() }).to_string()),
    };
    let arguments: Vec<_> = arguments.into_iter().map(Into::into).collect();
    let answer = match octoprompt_storage_cli::run(&arguments, setting) {
        Outcome::Exit(exit) => json!({ "exit": exit as u8 }),
        Outcome::Migrate(order) => json!({ "migrate": describe(&order) }),
    };
    Ok(answer.to_string())
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
        "errorsColor": order.errors_color,
    })
}
