//! `history`.

use serde::Serialize;
use serde_json::value::RawValue;

use super::show::version_of;
use super::stored_path;
use super::walk::with_slashes;
use crate::Run;
use crate::arguments::HistoryArguments;
use crate::console::{Console, Style};
use crate::display;
use crate::failure::Result;
use crate::line_diff::{self, Side};
use crate::lookup::Found;
use crate::project::versions::{self, Wanted};
use crate::record::Record;

#[derive(Serialize)]
struct Told {
    file: Box<RawValue>,
    /// What has changed since the previous version, or since the one it is compared with; none for the first version.
    diff: Option<String>,
}

pub fn history(run: &mut Run, arguments: &HistoryArguments) -> Result<()> {
    let reader = run.reader()?;
    let projects = reader.projects_in(arguments.project.as_deref(), &run.directory)?;
    let found = reader.file(&arguments.file, &projects, &run.directory)?;
    let read = |wanted| -> Result<Vec<Record>> {
        let texts = versions::read(&reader.database, &found.files, found.file.id(), wanted, reader.options)?;
        Ok(texts.into_iter().map(Record::new).collect())
    };
    let pairs: Vec<(Option<Record>, Record)> = if arguments.from.is_none() && arguments.to.is_none() {
        let all = read(Wanted::All)?;
        let before = std::iter::once(None).chain(all.iter().cloned().map(Some));
        before.zip(all.iter().cloned()).collect()
    } else {
        let to = match arguments.to {
            Some(version) => version_of(&reader, &found, version)?,
            None => read(Wanted::Latest)?.pop().unwrap_or_else(|| found.file.clone()),
        };
        let from = match arguments.from {
            Some(version) => Some(version_of(&reader, &found, version)?),
            // Deleted versions leave gaps.
            None => read(Wanted::All)?.into_iter().rfind(|one| one.chain().version < to.chain().version),
        };
        vec![(from, to)]
    };
    run.console.warn_all(&reader.database.take_warnings());
    let path = below_project(&found);
    let told = pairs.iter().rev().map(|(before, version)| {
        let diff = before.as_ref().filter(|_| !arguments.no_diff).map(|before| diff(&path, before, version));
        (version, diff)
    });
    if run.console.is_json() {
        let told: Result<Vec<Told>> =
            told.map(|(version, diff)| Ok(Told { file: version.head()?, diff })).collect();
        return run.console.document(&told?);
    }
    for (at, (version, diff)) in told.enumerate() {
        if at > 0 && !arguments.no_diff {
            run.console.line("")?;
        }
        heading(&mut run.console, version)?;
        if let Some(diff) = diff {
            show_diff(&mut run.console, &diff)?;
        }
    }
    Ok(())
}

fn heading(console: &mut Console, version: &Record) -> Result<()> {
    let chain = version.chain();
    let number = console.paint(Style::Strong, &format!("version {}", chain.version));
    let updated = version.number("updated");
    let latest = if chain.is_latest { ", the latest" } else { "" };
    console.line(&format!(
        "{number}{latest}  {}  {}  {}  {}",
        version.id(),
        display::size(version.number("size")),
        display::time(updated),
        console.paint(Style::Dim, &display::ago(updated)),
    ))
}

/// Returns the path of the file below its project's directory, or as it is stored if it is elsewhere.
fn below_project(found: &Found) -> String {
    let path = found.file.text("path");
    let relative = stored_path::relative(&path, &found.project.text("path")).ok();
    relative.and_then(|relative| with_slashes(&relative)).unwrap_or(path)
}

/// Returns what has changed, as a patch that `git apply` and `patch -p1` accept in the project's directory. They ignore what
/// comes after the tab.
fn diff(path: &str, before: &Record, after: &Record) -> String {
    let (old, new) = (before.content_text(), after.content_text());
    let name = |side, record: &Record| {
        format!("{}\tversion {}", in_patch(&format!("{side}/{path}")), record.chain().version)
    };
    let (before, after) = (name("a", before), name("b", after));
    line_diff::unified(&Side { name: &before, text: &old }, &Side { name: &after, text: &new })
}

/// Returns a path as patches have it: in quotes, as C writes strings, if it could be read as another path without them.
fn in_patch(path: &str) -> String {
    if !path.ends_with(' ') && !path.contains(|c: char| c.is_ascii_control()) {
        return path.to_owned();
    }
    let quoted = path.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_ascii_control() => format!("\\{:03o}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", quoted.collect::<String>())
}

fn show_diff(console: &mut Console, diff: &str) -> Result<()> {
    if diff.is_empty() {
        return console.line("the content is the same");
    }
    for (at, line) in diff.trim_end_matches('\n').split('\n').enumerate() {
        let style = match line.as_bytes().first() {
            // The first two lines name the versions.
            _ if at < 2 => Style::Strong,
            Some(b'+') => Style::Added,
            Some(b'-') => Style::Removed,
            Some(b'@') => Style::Place,
            Some(b'\\') => Style::Dim,
            _ => Style::Plain,
        };
        let line = console.paint(style, &display::lines(line));
        console.line(&line)?;
    }
    Ok(())
}
