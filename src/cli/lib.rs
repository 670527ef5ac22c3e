//! The command line, by which people and scripts reach the data.
//!
//! A run has its arguments and a [`Setting`]: where its output goes, which terminal there is, who answers questions. It
//! opens the data as one more process beside those that use it, and returns the exit code of the process. It contains no
//! JavaScript; what only JavaScript can do is returned as a [`MigrateOrder`].

// The modules of the engine's crate, under the names that they have there.
use octoprompt_storage::*;

mod arguments;
mod commands;
mod console;
mod display;
mod failure;
mod help;
mod line_diff;
mod lookup;
mod own_paths;
mod place;
mod record;
mod stream;
mod table;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use clap_complete::Shell;

use arguments::{Arguments, Color, Global, NAME};
use console::Console;
pub use console::Setting;
use engine::{Error, patience};
pub use failure::Exit;
use failure::{Failure, Result};
use lookup::Reader;
use place::Place;

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    Exit(Exit),
    /// The run continues where JavaScript modules can be loaded.
    Migrate(Box<MigrateOrder>),
}

/// Migrations to run.
#[derive(Debug, PartialEq)]
pub struct MigrateOrder {
    pub base_path: PathBuf,
    /// The module with the migrations.
    pub file: PathBuf,
    pub goal: Goal,
    pub lock_timeout_ms: u64,
    pub json: bool,
    /// Whether standard output has colours.
    pub color: bool,
    /// Whether standard error has colours.
    pub errors_color: bool,
}

#[derive(Debug, PartialEq)]
pub enum Goal {
    /// Applies the migrations up to this version, or all.
    Apply(Option<String>),
    Rollback(String),
    /// Only shows what is applied.
    Status,
}

/// A command in progress.
struct Run {
    console: Console,
    place: Place,
    /// The working directory.
    directory: PathBuf,
}

impl Run {
    fn reader(&self) -> Result<Reader> {
        Ok(Reader { database: self.place.open()?, options: self.place.read_options() })
    }
}

/// Runs the command given by the arguments, which do not include the name of the program. Blocks.
pub fn run(arguments: &[OsString], setting: Setting) -> Outcome {
    let arguments = match parse(arguments, &setting) {
        Ok(arguments) => arguments,
        Err((global, error)) => return Outcome::Exit(explain(&error, Console::new(setting, &global))),
    };
    let place = Place::new(&setting, &arguments.global);
    let directory = setting.directory.clone();
    let console = Console::new(setting, &arguments.global);
    let mut run = Run { console, place, directory };
    let (base, remark) = (run.place.base().to_path_buf(), run.console.remark_meanwhile());
    let watcher = move |busy: &Error| {
        remark(&patience::describe(busy, |path| display::below(path, &base)));
    };
    let ended = patience::watched(watcher, || commands::run(&mut run, arguments.command));
    let ended = ended.and_then(|outcome| match run.console.flush() {
        // What the command found does not depend on who reads it.
        Ok(()) | Err(Failure::Unread) => Ok(outcome),
        Err(failure) => Err(failure),
    });
    ended.unwrap_or_else(|failure| {
        let failure = run.place.explain(failure);
        if !matches!(failure, Failure::Unread) {
            run.console.fail(&failure);
        }
        Outcome::Exit(failure.exit())
    })
}

/// Parses the arguments. If they are wrong or ask for help, returns what is to be shown together with the values of `--json`
/// and `--color`, as far as they can be told.
fn parse(arguments: &[OsString], setting: &Setting) -> Result<Arguments, (Global, clap::Error)> {
    let is = |wanted: &str| arguments.iter().take_while(|one| *one != "--").any(|one| one == wanted);
    let follows = |value: &str| {
        is(&format!("--color={value}"))
            || arguments.windows(2).any(|pair| pair[0] == "--color" && pair[1] == value)
    };
    let color = match () {
        () if follows("never") => Color::Never,
        () if follows("always") => Color::Always,
        () => Color::Auto,
    };
    let mut command = Arguments::command().term_width(setting.output_width.unwrap_or(100));
    let named = std::iter::once(OsString::from(NAME)).chain(arguments.iter().cloned());
    let parsed = command.try_get_matches_from_mut(named).and_then(|mut matches| {
        Arguments::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    });
    parsed.map_err(|error| {
        let global = Global { base_path: None, json: is("--json"), color, lock_timeout: Default::default() };
        (global, error)
    })
}

/// Shows what is wrong with the arguments, or the help that was asked for.
fn explain(error: &clap::Error, mut console: Console) -> Exit {
    let rendered = error.render();
    let text = |colored| if colored { rendered.ansi().to_string() } else { rendered.to_string() };
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let text = text(console.colored());
        return match console.raw(text.as_bytes()).and_then(|()| console.flush()) {
            Ok(()) => Exit::Done,
            Err(failure) => failure.exit(),
        };
    }
    if console.is_json() {
        let message = error.to_string();
        let message = message.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default();
        console.fail(&Failure::usage(message.lines().map(str::trim).collect::<Vec<_>>().join(" ")));
    } else {
        let text = text(console.errors_colored());
        console.explain(text.trim_end());
    }
    Exit::Usage
}

/// Returns the script that completes this command line in a shell.
fn completions(shell: Shell) -> Vec<u8> {
    let generate = |name: &str| {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), name, &mut script);
        script
    };
    if shell != Shell::Bash {
        return generate(NAME);
    }
    // In a name with a hyphen, the generator for bash takes what follows for a command. Only the lines that say what is
    // completed have the name at their end.
    let name = NAME.replace('-', "_");
    let script =
        String::from_utf8_lossy(&generate(&name)).replace(&format!(" {name}\n"), &format!(" {NAME}\n"));
    script.into_bytes()
}
