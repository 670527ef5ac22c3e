//! `files`.

use crate::cli::Run;
use crate::cli::arguments::FilesArguments;
use crate::cli::console::Style;
use crate::cli::display;
use crate::cli::failure::Result;
use crate::cli::table::Table;
use crate::project::Files;

pub fn files(run: &mut Run, arguments: &FilesArguments) -> Result<()> {
    let reader = run.reader()?;
    let project = reader.project(&arguments.project, &run.directory)?;
    let all = arguments.all_versions;
    let found = reader.heads(&Files::of(project.id()), |chain| all || chain.is_latest)?;
    run.console.warn_all(&reader.database.take_warnings());
    if run.console.is_json() {
        return found.iter().try_for_each(|file| run.console.document(&file.head()?));
    }
    if found.is_empty() {
        return run.console.line("no files");
    }
    let mut table = Table::new(&["ID", ">VERSION", ">SIZE", "UPDATED", "PATH"]);
    for file in &found {
        let chain = file.chain();
        let style = if chain.is_latest { Style::Plain } else { Style::Dim };
        table.row(
            style,
            [
                file.id().to_string(),
                chain.version.to_string(),
                display::size(file.number("size")),
                display::time(file.number("updated")),
                file.text("path"),
            ],
        );
    }
    run.console.table(table)
}
