//! `show`.

use crate::Run;
use crate::arguments::ShowArguments;
use crate::console::{Console, Style};
use crate::display;
use crate::failure::{Exit, Failure, Result};
use crate::lookup::{Found, Reader};
use crate::project::versions::{self, Wanted};
use crate::record::Record;

pub fn show(run: &mut Run, arguments: &ShowArguments) -> Result<()> {
    let reader = run.reader()?;
    let projects = reader.projects_in(arguments.project.as_deref(), &run.directory)?;
    let found = match reader.file(&arguments.id, &projects, &run.directory) {
        Err(failure) if failure.exit() == Exit::Nothing && arguments.asks_for_any() => {
            let project =
                reader.project(&arguments.id, &run.directory).map_err(|error| match error.exit() {
                    Exit::Nothing => failure,
                    _ => error,
                })?;
            return show_project(&mut run.console, &project);
        }
        other => other?,
    };
    let file = match arguments.version {
        None => found.file.clone(),
        Some(version) => version_of(&reader, &found, version)?,
    };
    run.console.warn_all(&reader.database.take_warnings());
    if arguments.content {
        return show_content(&mut run.console, &file);
    }
    if run.console.is_json() {
        return run.console.document(&file.whole()?);
    }
    show_file(&mut run.console, &found.project, &file)
}

impl ShowArguments {
    /// Whether a project would also be an answer.
    fn asks_for_any(&self) -> bool {
        self.project.is_none() && self.version.is_none() && !self.content
    }
}

/// Returns one version of the chain that a file belongs to.
pub fn version_of(reader: &Reader, found: &Found, version: u64) -> Result<Record> {
    let wanted = Wanted::One(version);
    let read = versions::read(&reader.database, &found.files, found.file.id(), wanted, reader.options)?;
    let missing = || {
        Failure::not_found(format!(
            "{} has no version {version}; `history` lists them",
            display::line(&found.file.text("path"))
        ))
    };
    read.into_iter().next().map(Record::new).ok_or_else(missing)
}

fn show_content(console: &mut Console, file: &Record) -> Result<()> {
    if console.is_terminal() {
        return console.line(display::lines(&file.content_text()).trim_end_matches('\n'));
    }
    console.raw(&file.content())
}

fn fields(console: &mut Console, fields: &[(&str, String)]) -> Result<()> {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        let name = console.paint(Style::Dim, &format!("{name:width$}"));
        console.line(&format!("{name}  {}", display::line(value)))?;
    }
    Ok(())
}

fn show_project(console: &mut Console, project: &Record) -> Result<()> {
    if console.is_json() {
        return console.document(&project.whole()?);
    }
    fields(
        console,
        &[
            ("project", project.text("name")),
            ("id", project.id().to_string()),
            ("path", project.text("path")),
            ("description", project.text("description")),
            ("created", display::time(project.number("created"))),
            ("updated", display::time(project.number("updated"))),
        ],
    )
}

fn show_file(console: &mut Console, project: &Record, file: &Record) -> Result<()> {
    let chain = file.chain();
    let version =
        if chain.is_latest { format!("{}, the latest", chain.version) } else { chain.version.to_string() };
    fields(
        console,
        &[
            ("file", file.text("path")),
            ("id", file.id().to_string()),
            ("project", format!("{} ({})", project.text("name"), project.id())),
            ("version", version),
            ("size", display::size(file.number("size"))),
            ("checksum", file.text("checksum")),
            ("created", display::time(file.number("created"))),
            ("updated", display::time(file.number("updated"))),
            ("summary", file.text("summary")),
        ],
    )?;
    console.line("")?;
    console.line(display::lines(&file.content_text()).trim_end_matches('\n'))
}
