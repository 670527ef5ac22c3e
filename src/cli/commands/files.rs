//! `files`.

use crate::Run;
use crate::arguments::FilesArguments;
use crate::console::Style;
use crate::display;
use crate::failure::Result;
use crate::project::Files;
use crate::table::Table;

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
