//! How a run can fail, and the exit code for each failure.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::engine::Error;

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The exit codes of a run. They are part of the public contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    /// The command ran and found something wrong.
    Problems = 3,
    Nothing = 4,
    Busy = 5,
    Refused = 6,
}

impl Exit {
    /// Returns this code of a command whose work is done, once its result is told. The code does not depend on who reads
    /// that.
    pub fn after(self, told: Result<()>) -> Result<Exit> {
        match told {
            Ok(()) | Err(Failure::Unread) => Ok(self),
            Err(failure) => Err(failure),
        }
    }
}

#[derive(Debug)]
pub enum Failure {
    Engine(Error),
    Told {
        exit: Exit,
        code: &'static str,
        message: String,
    },
    /// The output is no longer read by anybody.
    Unread,
}

impl Failure {
    /// What the command line names fits several things.
    pub fn ambiguous(message: String) -> Failure {
        Failure::Told { exit: Exit::Usage, code: "AMBIGUOUS", message }
    }

    pub fn usage(message: String) -> Failure {
        Failure::Told { exit: Exit::Usage, code: "USAGE", message }
    }

    pub fn not_found(message: String) -> Failure {
        Failure::Told { exit: Exit::Nothing, code: "NOT_FOUND", message }
    }

    pub fn no_data(base: &Path) -> Failure {
        let message = format!(
            "there is no data under {}; give the directory above data/ with --base-path, or store a first project with import",
            base.display()
        );
        Failure::Told { exit: Exit::Nothing, code: "NO_DATA", message }
    }

    /// There are databases, but none of projects.
    pub fn no_projects(base: &Path) -> Failure {
        let message = format!(
            "there are no projects under {}, only data of other storages; store a first project with import, or give another directory with --base-path",
            base.display()
        );
        Failure::Told { exit: Exit::Nothing, code: "NO_DATA", message }
    }

    /// The command must be confirmed, and nobody can be asked.
    pub fn unconfirmed(what: impl Display) -> Failure {
        let message = format!("{what}; repeat the command with --yes to continue");
        Failure::Told { exit: Exit::Refused, code: "CONFIRMATION_REQUIRED", message }
    }

    /// A call of the operating system on one of the user's files failed.
    pub fn io(operation: &'static str, path: &Path, error: &io::Error) -> Failure {
        Failure::Engine(Error::io(operation, path, error))
    }

    /// Writing the output failed.
    pub fn output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Unread,
            _ => Failure::io("write to", Path::new("the standard output"), error),
        }
    }

    pub fn code(&self) -> &'static str {
        match self {
            Failure::Engine(error) => error.code(),
            Failure::Told { code, .. } => code,
            Failure::Unread => "UNREAD",
        }
    }

    pub fn message(&self) -> String {
        match self {
            Failure::Engine(error) => error.to_string().replace("raise lockTimeout", "raise --lock-timeout"),
            Failure::Told { message, .. } => message.clone(),
            Failure::Unread => "nobody reads the output".to_owned(),
        }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Failure::Engine(error) => match error.code() {
                "NOT_FOUND" => Exit::Nothing,
                "LOCK_TIMEOUT" => Exit::Busy,
                "INVALID_ARGUMENT" => Exit::Usage,
                _ => Exit::Failed,
            },
            Failure::Told { exit, .. } => *exit,
            // As when `head` has read enough of a program's output.
            Failure::Unread => Exit::Done,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Engine(error)
    }
}
