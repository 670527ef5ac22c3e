//! `search`.

use std::ops::Range;

use serde::Serialize;

use crate::Run;
use crate::arguments::SearchArguments;
use crate::console::{Console, Style};
use crate::display;
use crate::failure::{Failure, Result};
use crate::project::{Files, fold};
use crate::record::Record;

/// How many lines of one file are shown; the others are only counted.
const SHOWN: usize = 5;
/// How many characters of a line are shown if no terminal says how wide it is, and how many are shown at least.
const USUAL: usize = 140;
const LEAST: usize = 30;
/// The columns before a line.
const NUMBER: usize = 8;

/// A file that was found.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hit {
    id: u64,
    project_id: u64,
    path: String,
    version: u64,
    matches: Vec<Line>,
}

/// A line with one of the words.
#[derive(Debug, Serialize)]
struct Line {
    /// The number of the line, from 1.
    line: usize,
    text: String,
    /// Where the first match is in the text.
    #[serde(skip)]
    at: Range<usize>,
}

pub fn search(run: &mut Run, arguments: &SearchArguments) -> Result<()> {
    let mut words: Vec<String> = arguments.words.iter().map(|word| fold(word)).collect();
    if words.iter().any(|word| word.trim().is_empty()) {
        return Err(Failure::usage("an empty word is in every file; give a word to look for".into()));
    }
    // The longest word is probably the rarest, so the others are looked for only in files that have it.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let reader = run.reader()?;
    let mut found = 0;
    for project in reader.projects_in(arguments.project.as_deref(), &run.directory)? {
        let files = Files::of(project.id());
        let candidates = files.search(&reader.database, &words[0], reader.options)?;
        for file in candidates.into_iter().map(Record::new) {
            let (path, content) = (file.text("path"), file.content_text());
            let folded = (fold(&path), fold(&content));
            if words[1..].iter().all(|word| folded.0.contains(word) || folded.1.contains(word)) {
                found += 1;
                tell(&mut run.console, &project, &file, lines(&content, &words))?;
            }
        }
    }
    run.console.warn_all(&reader.database.take_warnings());
    if found == 0 {
        run.console.remark("nothing found");
    }
    Ok(())
}

/// Returns the lines that have one of the words, which are folded.
fn lines(content: &str, words: &[String]) -> Vec<Line> {
    let numbered = content.lines().enumerate();
    let line = |(number, text): (usize, &str)| {
        let first = words.iter().filter_map(|word| find(text, word)).min_by_key(|at| at.start);
        first.map(|at| Line { line: number + 1, text: text.to_owned(), at })
    };
    numbered.filter_map(line).collect()
}

/// Returns where a folded word occurs in a text, whatever its case there.
fn find(text: &str, word: &str) -> Option<Range<usize>> {
    // Characters may change their length with their case, so the place is translated back to the original.
    let mut folded = String::with_capacity(text.len());
    let mut starts = Vec::new();
    for (at, c) in text.char_indices() {
        starts.push((folded.len(), at));
        folded.push_str(&fold(c.encode_utf8(&mut [0; 4])));
    }
    let start = folded.find(word)?;
    let end = start + word.len();
    let original =
        |place: usize| starts[..starts.partition_point(|(at, _)| *at <= place)].last().map(|one| one.1);
    let after = starts.get(starts.partition_point(|(at, _)| *at < end)).map_or(text.len(), |one| one.1);
    Some(original(start)?..after)
}

fn tell(console: &mut Console, project: &Record, file: &Record, matches: Vec<Line>) -> Result<()> {
    if console.is_json() {
        let (path, version) = (file.text("path"), file.chain().version);
        return console.document(&Hit { id: file.id(), project_id: project.id(), path, version, matches });
    }
    let name = console.paint(Style::Place, &display::line(&file.text("path")));
    let whose = format!("{} {}", display::line(&project.text("name")), file.id());
    let whose = console.paint(Style::Dim, &whose);
    console.line(&format!("{name}  {whose}"))?;
    let room = console.width().map_or(USUAL, |width| width.saturating_sub(NUMBER).max(LEAST));
    for line in matches.iter().take(SHOWN) {
        let text = excerpt(line, room, |found| console.paint(Style::Match, found));
        console.line(&format!("{:>6}: {text}", line.line))?;
    }
    match matches.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => console.line(&format!("        and {} more", display::count(more as u64, "line"))),
    }
}

/// Returns the part of a line around its first match, which is highlighted, in about as many characters as there is room
/// for.
fn excerpt(line: &Line, room: usize, highlight: impl Fn(&str) -> String) -> String {
    let (before, found, after) =
        (&line.text[..line.at.start], &line.text[line.at.clone()], &line.text[line.at.end..]);
    let (before, after) = (before.trim_start(), after.trim_end());
    let left = room.saturating_sub(found.chars().count());
    let (ahead, behind) = (before.chars().count(), after.chars().count());
    // Room that one side does not need goes to the other.
    let behind = behind.min(left.saturating_sub(ahead).max(left / 2));
    let ahead = ahead.min(left - behind);
    let start = before.char_indices().rev().take(ahead).last().map_or(before.len(), |(at, _)| at);
    let end = after.char_indices().nth(behind).map_or(after.len(), |(at, _)| at);
    let cut = |is: bool| if is { "…" } else { "" };
    format!(
        "{}{}{}{}{}",
        cut(start > 0),
        display::line(&before[start..]),
        highlight(&display::line(found)),
        display::line(&after[..end]),
        cut(end < after.len())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_in_any_case_even_if_case_folding_changes_its_length() {
        assert_eq!(find("const PORT = 80", "port"), Some(6..10));
        // The lower case of this capital is longer than the capital.
        assert_eq!(find("İİ Port", "port"), Some(5..9));
        assert_eq!(find("aİb", "i\u{307}b"), Some(1..4));
        // The last letter has two small forms.
        assert_eq!(find("ΟΔΟΣ", &fold("οδος")), Some(0..8));
        assert_eq!(find("οδος", &fold("ΟΔΟΣ")), Some(0..8));
        assert_eq!(find("nothing", "port"), None);
    }

    #[test]
    fn a_long_line_is_shown_around_its_match() {
        let text = format!("{}HERE{}", "a".repeat(200), "é".repeat(200));
        let found = lines(&text, &["here".to_owned()]);
        let shown = excerpt(&found[0], 44, |found| format!("[{found}]"));
        assert_eq!(shown, format!("…{}[HERE]{}…", "a".repeat(20), "é".repeat(20)));
    }

    #[test]
    fn indentation_is_not_shown() {
        let found = lines("one\n\t  two words\n", &["words".to_owned()]);
        assert_eq!(found[0].line, 2);
        assert_eq!(excerpt(&found[0], 30, str::to_owned), "two words");
    }

    #[test]
    fn an_excerpt_gives_unused_width_on_one_side_to_the_other() {
        let shown = |text: &str| {
            let found = lines(text, &["here".to_owned()]);
            excerpt(&found[0], 14, str::to_owned)
        };
        assert_eq!(shown("here 3456789012345678"), "here 345678901…");
        assert_eq!(shown("1234567890123456 here"), "…890123456 here");
        assert_eq!(shown("12345 here 1234"), "…2345 here 1234");
    }
}
