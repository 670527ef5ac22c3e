//! What each command does.

mod backups;
mod care;
mod export;
mod files;
mod history;
mod import;
mod migrate;
mod projects;
mod search;
mod show;
mod stats;
mod status;
mod stored_path;
mod walk;

use super::arguments::{Command, VerifyArguments};
use super::failure::Result;
use super::{Exit, Outcome, Run, completions};

pub fn run(run: &mut Run, command: Command) -> Result<Outcome> {
    let done = |result: Result<()>| result.map(|()| Exit::Done);
    let exit = match command {
        Command::Status => done(status::status(run)),
        Command::Stats => done(stats::stats(run)),
        Command::Projects => done(projects::projects(run)),
        Command::Files(arguments) => done(files::files(run, &arguments)),
        Command::Show(arguments) => done(show::show(run, &arguments)),
        Command::History(arguments) => done(history::history(run, &arguments)),
        Command::Search(arguments) => done(search::search(run, &arguments)),
        Command::Import(arguments) => import::import(run, &arguments),
        Command::Export(arguments) => export::export(run, &arguments),
        Command::Verify(VerifyArguments { backup: Some(backup) }) => backups::verify(run, &backup),
        Command::Verify(VerifyArguments { backup: None }) => care::verify(run),
        Command::Repair(confirmed) => care::repair(run, confirmed.yes),
        Command::Checkpoint => done(care::checkpoint(run)),
        Command::Backup(arguments) => backups::backup(run, &arguments),
        Command::Backups => done(backups::list(run)),
        Command::Restore(arguments) => done(backups::restore(run, &arguments)),
        Command::Migrate(arguments) => return migrate::migrate(run, arguments),
        Command::Completions { shell } => done(run.console.raw(&completions(shell))),
    };
    exit.map(Outcome::Exit)
}
