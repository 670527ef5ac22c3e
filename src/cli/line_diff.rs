//! The differences between two texts, line by line, in the unified format.

use std::time::{Duration, Instant};

use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::udiff::UnifiedHunkHeader;
use similar::{DiffOp, DiffTag};

/// The unchanged lines shown around a change.
const CONTEXT: usize = 3;
/// After this time, a change is shown in larger pieces than necessary.
const DILIGENCE: Duration = Duration::from_secs(2);

/// A text and its name.
pub struct Side<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// Returns the differences; empty if there are none.
pub fn unified(before: &Side<'_>, after: &Side<'_>) -> String {
    let old: Vec<&str> = before.text.split_inclusive('\n').collect();
    let new: Vec<&str> = after.text.split_inclusive('\n').collect();
    let (old, new) = (old.as_slice(), new.as_slice());
    // One algorithm is called by its name, because the crate's own differ for texts contains all of them.
    let mut changes = Compact::new(Replace::new(Capture::new()), old, new);
    let until = Instant::now().checked_add(DILIGENCE);
    let Ok(()) = myers::diff_deadline(&mut changes, old, 0..old.len(), new, 0..new.len(), until);
    let mut out = String::new();
    for hunk in changes.into_inner().into_inner().into_grouped_ops(CONTEXT) {
        if out.is_empty() {
            out.push_str(&format!("--- {}\n+++ {}\n", before.name, after.name));
        }
        push_hunk(&mut out, &hunk, old, new);
    }
    out
}

fn push_hunk(out: &mut String, hunk: &[DiffOp], old: &[&str], new: &[&str]) {
    out.push_str(&format!("{}\n", UnifiedHunkHeader::new(hunk)));
    for change in hunk {
        let (old, new) = (&old[change.old_range()], &new[change.new_range()]);
        if change.tag() == DiffTag::Equal {
            push_lines(out, ' ', old);
        } else {
            push_lines(out, '-', old);
            push_lines(out, '+', new);
        }
    }
}

fn push_lines(out: &mut String, mark: char, lines: &[&str]) {
    for line in lines {
        out.push(mark);
        out.push_str(line);
        if !line.ends_with('\n') {
            out.push_str("\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(before: &str, after: &str) -> String {
        unified(&Side { name: "old", text: before }, &Side { name: "new", text: after })
    }

    #[test]
    fn shows_a_change_with_its_surrounding_lines() {
        let (before, after) = ("a\nb\nc\nd\ne\nf\ng\nh\n", "a\nb\nc\nd\nE\nf\ng\nh\n");
        let expected = "--- old\n+++ new\n@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n";
        assert_eq!(diff(before, after), expected);
    }

    #[test]
    fn is_empty_if_nothing_changed() {
        assert_eq!(diff("a\nb", "a\nb"), "");
    }

    #[test]
    fn marks_a_last_line_without_a_newline() {
        let expected = "--- old\n+++ new\n@@ -1 +1,2 @@\n-a\n\\ No newline at end of file\n+a\n+b\n\\ No newline at end of file\n";
        assert_eq!(diff("a", "a\nb"), expected);
    }

    #[test]
    fn shows_lines_added_to_an_empty_text() {
        assert_eq!(diff("", "a\n"), "--- old\n+++ new\n@@ -0,0 +1 @@\n+a\n");
    }

    #[test]
    fn shows_distant_changes_in_separate_hunks() {
        let before: String = (0..30).map(|n| format!("{n}\n")).collect();
        let after = before.replace("\n2\n", "\ntwo\n").replace("\n27\n", "\n");
        assert_eq!(diff(&before, &after).matches("@@ -").count(), 2);
    }
}
