//! Tables with aligned columns, whose cells are wrapped if the terminal is narrow.

use comfy_table::{CellAlignment, ContentArrangement, Table as Layout, presets};

use super::console::Style;
use super::display;

/// Marks the beginning of a row's first line, so that rows can be told apart after the layout. It takes no room, and no cell
/// contains it, because `display::line` replaces it.
const ROW: char = '\u{2060}';

/// The columns before a table.
const INDENT: usize = 2;
/// The narrowest layout. On a terminal that is narrower still, the terminal wraps the lines.
const NARROWEST: usize = 24;

pub struct Table {
    layout: Layout,
    styles: Vec<Style>,
}

impl Table {
    /// Creates a table with these headings. Columns whose heading begins with `>` are aligned to the right.
    pub fn new(headings: &[&str]) -> Table {
        let mut layout = Layout::new();
        layout.load_style(presets::NOTHING);
        layout.add_row(headings.iter().enumerate().map(|(at, heading)| {
            let heading = heading.trim_start_matches('>');
            if at == 0 { format!("{ROW}{heading}") } else { heading.to_owned() }
        }));
        for (at, heading) in headings.iter().enumerate() {
            if let Some(column) = layout.column_mut(at) {
                column.set_padding((0, if at + 1 < headings.len() { 2 } else { 0 }));
                if heading.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Table { layout, styles: vec![Style::Dim] }
    }

    /// Adds a row. Cells may have any text, which is shown on one line unless it is wrapped.
    pub fn row<T: AsRef<str>>(&mut self, style: Style, cells: impl IntoIterator<Item = T>) {
        self.layout.add_row(cells.into_iter().enumerate().map(|(at, cell)| {
            let cell = display::line(cell.as_ref());
            if at == 0 { format!("{ROW}{cell}") } else { cell }
        }));
        self.styles.push(style);
    }

    /// Returns the lines, each with the style of its row. Without a width, nothing is wrapped.
    pub fn lines(mut self, width: Option<usize>) -> Vec<(Style, String)> {
        match width.and_then(|width| u16::try_from(width.saturating_sub(INDENT).max(NARROWEST)).ok()) {
            Some(width) => {
                self.layout.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            }
            None => drop(self.layout.set_content_arrangement(ContentArrangement::Disabled)),
        }
        let mut styles = self.styles.into_iter();
        let mut style = Style::Plain;
        let mut lines = Vec::new();
        for line in self.layout.lines() {
            if line.contains(ROW) {
                style = styles.next().unwrap_or(Style::Plain);
            }
            let line = line.replace(ROW, "");
            lines.push((style, format!("{:INDENT$}{}", "", line.trim_end())));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", ">SIZE", "PATH"]);
        table.row(Style::Plain, ["7", "12 B", "src/日本.ts"]);
        table.row(Style::Error, ["1718000000000", "1.0 KiB", "a path with\x1b[2J words in it"]);
        table
    }

    fn text(table: Table, width: Option<usize>) -> String {
        table.lines(width).into_iter().map(|(_, line)| line + "\n").collect()
    }

    #[test]
    fn columns_are_aligned_and_control_characters_are_replaced() {
        let expected = "  ID                SIZE  PATH
  7                 12 B  src/日本.ts
  1718000000000  1.0 KiB  a path with␛[2J words in it
";
        assert_eq!(text(table(), None), expected);
        assert_eq!(text(table(), Some(200)), expected);
    }

    #[test]
    fn cells_are_wrapped_if_the_terminal_is_narrow() {
        let wrapped = text(table(), Some(40));
        assert!(wrapped.lines().all(|line| line.chars().count() <= 40), "{wrapped}");
        assert!(wrapped.lines().count() > 3, "{wrapped}");
    }

    #[test]
    fn every_line_has_the_style_of_its_row() {
        let styles: Vec<Style> = table().lines(Some(40)).into_iter().map(|(style, _)| style).collect();
        assert_eq!(styles[..2], [Style::Dim, Style::Plain]);
        assert!(styles[2..].iter().all(|style| *style == Style::Error) && styles.len() > 3);
    }
}
