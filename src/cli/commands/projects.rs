//! `projects`.

use serde::Serialize;

use crate::Run;
use crate::console::Style;
use crate::display;
use crate::failure::Result;
use crate::project::Files;
use crate::table::Table;

/// A project, and how many files and versions of files it has.
#[derive(Serialize)]
struct Listed {
    id: u64,
    name: String,
    path: String,
    description: String,
    created: u64,
    updated: u64,
    files: usize,
    versions: usize,
}

pub fn projects(run: &mut Run) -> Result<()> {
    let reader = run.reader()?;
    let mut listed = Vec::new();
    let mut table = Table::new(&["ID", "NAME", ">FILES", ">VERSIONS", "UPDATED", "PATH"]);
    for project in reader.projects()? {
        let chains = reader.heads(&Files::of(project.id()), |_| true)?;
        let files = chains.iter().filter(|file| file.chain().is_latest).count();
        let one = Listed {
            id: project.id(),
            name: project.text("name"),
            path: project.text("path"),
            description: project.text("description"),
            created: project.number("created"),
            updated: project.number("updated"),
            files,
            versions: chains.len(),
        };
        table.row(
            Style::Plain,
            [
                &one.id.to_string(),
                &one.name,
                &one.files.to_string(),
                &one.versions.to_string(),
                &display::time(one.updated),
                &one.path,
            ],
        );
        listed.push(one);
    }
    run.console.warn_all(&reader.database.take_warnings());
    if run.console.is_json() {
        return run.console.document(&listed);
    }
    if listed.is_empty() {
        return run.console.line("no projects yet; `import <directory>` stores a first one");
    }
    run.console.table(table)
}
