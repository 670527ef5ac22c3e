//! `migrate`. Migrations are JavaScript, so the command is only prepared here.

use crate::arguments::MigrateArguments;
use crate::engine::{Error, normal_path};
use crate::failure::{Failure, Result};
use crate::{Goal, MigrateOrder, Outcome, Run};

pub fn migrate(run: &mut Run, arguments: MigrateArguments) -> Result<Outcome> {
    let file = normal_path(&run.directory.join(&arguments.file));
    // Before anybody is asked anything. What the module contains is seen where modules can be loaded.
    if !file.is_file() {
        return Err(Error::InvalidArgument(format!("there is no file {}", file.display())).into());
    }
    // JavaScript gets both paths as strings, which cannot hold every path.
    for path in [run.place.base(), &file] {
        if path.to_str().is_none() {
            let path = path.display();
            return Err(Failure::usage(format!(
                "the path {path} is not valid Unicode, so migrations cannot use it"
            )));
        }
    }
    if let Some(version) = &arguments.rollback {
        let base = run.place.base().display();
        let what = format!("the migrations after {version} will be undone under {base}");
        run.console.confirm(&what, arguments.confirmed.yes)?;
    }
    let goal = match (arguments.rollback, arguments.status) {
        (Some(version), _) => Goal::Rollback(version),
        (None, true) => Goal::Status,
        (None, false) => Goal::Apply(arguments.to),
    };
    Ok(Outcome::Migrate(Box::new(MigrateOrder {
        base_path: run.place.base().to_path_buf(),
        file,
        goal,
        lock_timeout_ms: u64::try_from(run.place.lock_timeout().as_millis()).unwrap_or(u64::MAX),
        json: run.console.is_json(),
        color: run.console.colored(),
        errors_color: run.console.errors_colored(),
    })))
}
