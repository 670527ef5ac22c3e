//! The arguments of the command line, and the help that explains them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use super::help;

/// The name of the program.
pub const NAME: &str = "octoprompt-storage";
/// The environment variable that says where the data is if no option does.
pub const BASE_PATH: &str = "OCTOPROMPT_STORAGE_PATH";

/// Shows the data of @octoprompt/storage, imports and exports files, and maintains the data.
#[derive(Debug, Parser)]
#[command(
    name = NAME,
    bin_name = NAME,
    version,
    after_help = help::SHORT,
    after_long_help = help::LONG,
    max_term_width = 100
)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The directory above `data/` [default: $OCTOPROMPT_STORAGE_PATH, else the working directory]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Global options")]
    pub base_path: Option<PathBuf>,
    /// Print JSON: one document on one line, or one on each line if there may be many
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// When to use colours; `auto` means in a terminal, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        help_heading = "Global options"
    )]
    pub color: Color,
    /// How long to wait for other processes
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value = "30",
        value_parser = seconds,
        allow_negative_numbers = true,
        help_heading = "Global options"
    )]
    pub lock_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what there is: projects, files, versions, databases, migrations, backups
    #[command(after_help = help::STATUS)]
    Status,
    /// Show sizes on disk: JSON files, journals, indexes, and what waits for a checkpoint
    #[command(after_help = help::STATS)]
    Stats,
    /// List the projects
    #[command(after_help = help::PROJECTS)]
    Projects,
    /// List the files of a project, in their latest versions
    #[command(after_help = help::FILES)]
    Files(FilesArguments),
    /// Show a file with its content, or a project
    #[command(after_help = help::SHOW)]
    Show(ShowArguments),
    /// Show the versions of a file with their differences, latest first
    #[command(after_help = help::HISTORY)]
    History(HistoryArguments),
    /// Find files whose path or content has all the words, ignoring case
    #[command(after_help = help::SEARCH)]
    Search(SearchArguments),
    /// Store the files of a directory as a project; changed files become new versions
    #[command(after_help = help::IMPORT)]
    Import(ImportArguments),
    /// Write the files of a project into a directory
    #[command(after_help = help::EXPORT)]
    Export(ExportArguments),
    /// Check everything on disk, or a backup; changes nothing
    #[command(after_help = help::VERIFY)]
    Verify(VerifyArguments),
    /// Repair what `verify` found, keeping the originals
    #[command(after_help = help::REPAIR)]
    Repair(Confirmed),
    /// Bring the JSON files up to date with everything written so far
    #[command(after_help = help::CHECKPOINT)]
    Checkpoint,
    /// Copy everything to `backups/`, while other processes keep writing
    #[command(after_help = help::BACKUP)]
    Backup(BackupArguments),
    /// List the backups
    #[command(after_help = help::BACKUPS)]
    Backups,
    /// Replace all data with a backup
    #[command(after_help = help::RESTORE)]
    Restore(RestoreArguments),
    /// Run the migrations of a JavaScript module
    #[command(after_help = help::MIGRATE)]
    Migrate(MigrateArguments),
    /// Print a script that completes commands and options in a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell to complete in
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub struct FilesArguments {
    /// The project: its id, its name if no other has it, or its path
    pub project: String,
    /// List every version
    #[arg(long)]
    pub all_versions: bool,
}

#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The file: its id or its path; or a project: its id, name or path
    pub id: String,
    /// Look in this project only
    #[arg(long, value_name = "PROJECT")]
    pub project: Option<String>,
    /// Show this version of the file
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub version: Option<u64>,
    /// Print the content and nothing else, byte for byte unless it goes to a terminal
    #[arg(long, conflicts_with = "json")]
    pub content: bool,
}

#[derive(Debug, Args)]
pub struct HistoryArguments {
    /// The file: its id, that of any of its versions, or its path
    pub file: String,
    /// Look in this project only
    #[arg(long, value_name = "PROJECT")]
    pub project: Option<String>,
    /// Compare with this version instead of the previous one
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub from: Option<u64>,
    /// Compare this version only [default with --from: the latest]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub to: Option<u64>,
    /// List the versions without their differences
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub no_diff: bool,
}

#[derive(Debug, Args)]
pub struct SearchArguments {
    /// Words that must all occur; quote several to search for them as one phrase
    #[arg(required = true)]
    pub words: Vec<String>,
    /// Look in this project only
    #[arg(long, value_name = "PROJECT")]
    pub project: Option<String>,
}

#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The directory to store
    #[arg(value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
    /// Store into this project [default: the project whose path is the directory, or a new one]
    #[arg(long, value_name = "PROJECT")]
    pub project: Option<String>,
    /// The name of a new project [default: that of the directory]
    #[arg(long, conflicts_with = "project")]
    pub name: Option<String>,
    /// Change files in place instead of making new versions
    #[arg(long)]
    pub in_place: bool,
    /// Delete stored files that the directory no longer has, with all their versions
    #[arg(long)]
    pub prune: bool,
    /// Also store what .gitignore excludes
    #[arg(long)]
    pub no_ignore: bool,
    /// Skip files that are larger; at most 512
    #[arg(long, value_name = "MIB", default_value_t = 3, value_parser = mebibytes, allow_negative_numbers = true)]
    pub max_size: u64,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub confirmed: Confirmed,
}

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The project: its id, its name if no other has it, or its path
    pub project: String,
    /// The directory to write into; it is created if it does not exist
    #[arg(value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
    /// Overwrite files whose content differs
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Check this backup instead of the data, given by its name or the path of its directory
    #[arg(long, value_name = "BACKUP", value_hint = ValueHint::DirPath)]
    pub backup: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct BackupArguments {
    /// The name of the backup [default: the time]
    pub name: Option<String>,
    /// Another file or directory to copy, relative to the base path; may be repeated
    #[arg(long, value_name = "PATH")]
    pub include: Vec<String>,
    /// Keep this many backups and remove the oldest
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub keep: Option<u64>,
}

#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The name of the backup, or the path of its directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub backup: PathBuf,
    #[command(flatten)]
    pub confirmed: Confirmed,
}

#[derive(Debug, Args)]
pub struct MigrateArguments {
    /// The module: its default export is an array of migrations
    #[arg(long, value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Apply the migrations up to this version [default: all]
    #[arg(long, value_name = "VERSION")]
    pub to: Option<String>,
    /// Undo the migrations after this version; 0.0.0 undoes all
    #[arg(long, value_name = "VERSION", conflicts_with = "to")]
    pub rollback: Option<String>,
    /// Show what is applied and what is not, and change nothing
    #[arg(long, conflicts_with_all = ["to", "rollback"])]
    pub status: bool,
    #[command(flatten)]
    pub confirmed: Confirmed,
}

#[derive(Debug, Args)]
pub struct Confirmed {
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

fn positive(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| "expected a whole number of at least 1".to_owned())
}

/// A larger content may not fit into a document: each of its bytes may take several in JSON.
const LARGEST: u64 = 512;

fn mebibytes(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (1..=LARGEST).contains(number));
    number.ok_or_else(|| format!("expected a whole number of MiB, from 1 to {LARGEST}"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        // Longer than any process lives. Below it, deadlines stay in range.
        .filter(|duration| duration.as_secs() <= 86_400 * 365)
        .ok_or_else(|| "expected a number of seconds, from 0 to a year".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_has_an_example() {
        for command in Arguments::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example = format!("$ {NAME} {}", command.get_name());
            assert!(help.contains(&example), "{} has no example", command.get_name());
        }
    }
}
