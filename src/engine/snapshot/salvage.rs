//! Saving documents from a broken snapshot.

use std::collections::BTreeMap;
use std::ops::Range;

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};

use super::scan::Scanned;
use crate::engine::document::DocumentId;
use crate::engine::json::{self, Scanner};

/// Returns the intact documents of a broken file, each id once, in the order of the file: members `"<id>": { … }` of the
/// outermost object whose value is valid JSON and whose own `id` agrees with the key.
///
/// Up to the first damage, every member is read in its place. After it, the layout tells which members belong to the
/// outermost object: if each begins a line, those that are indented like the first. In any other layout, whatever was read
/// of a broken member before it failed counts as part of that member, and members that end with the end of an object count
/// as members of an inner object if anything follows that end. Nothing found after damage replaces what was read in its
/// place.
///
/// O(n). After a member that fails, reading continues where it failed or, in lines, at the next line with that indentation.
/// No byte is therefore read more often than values can be nested.
pub fn salvage(bytes: &[u8]) -> Vec<Scanned> {
    let mut at = start(bytes);
    let lines = Lines::of(bytes, at);
    let mut saved = BTreeMap::new();
    let mut placed = true;
    loop {
        let run = Run::read(bytes, at, lines.as_ref());
        let trust = match &lines {
            _ if placed => Some(Trust::Placed),
            Some(_) => Some(Trust::Likely),
            None => run.trust(),
        };
        if let Some(trust) = trust {
            run.documents.into_iter().for_each(|document| keep(&mut saved, document, trust));
        }
        let next = match (&lines, run.end) {
            (Some(lines), End::Closed { at, .. } | End::Broken { member: at, .. }) => {
                lines.next(bytes, at..bytes.len())
            }
            (None, End::Closed { at, .. }) => after_comma(bytes, at),
            (None, End::Broken { member, at }) => after_comma(bytes, last_comma(bytes, member, at)),
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
        placed = false;
    }
    let mut found: Vec<Scanned> = saved.into_iter().map(|(id, (_, text))| Scanned { id, text }).collect();
    found.sort_unstable_by_key(|found| found.text.start);
    found
}

/// How certain it is that a member belongs to the outermost object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trust {
    /// Nothing contradicts it.
    Guessed,
    /// The layout indicates it.
    Likely,
    /// No damage precedes it.
    Placed,
}

fn keep(saved: &mut BTreeMap<DocumentId, (Trust, Range<usize>)>, document: Scanned, trust: Trust) {
    let Scanned { id, text } = document;
    // Of two members with one key, the later one counts, as in an intact file.
    let replaces = |known: Trust| trust > known || trust == Trust::Placed;
    if saved.get(&id).is_none_or(|(known, _)| replaces(*known)) {
        saved.insert(id, (trust, text));
    }
}

/// Returns where the members of the outermost object begin.
fn start(bytes: &[u8]) -> usize {
    let text = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut scanner = Scanner::at(bytes, text);
    if scanner.accept(b'{') { scanner.position() } else { text }
}

/// Consecutive members.
struct Run {
    documents: Vec<Scanned>,
    /// Whether all members are objects, as those of a snapshot are.
    objects: bool,
    end: End,
}

enum End {
    /// The object that contains the members ends before `at`.
    Closed { at: usize, outermost: bool },
    /// The text at `member` is not an intact member; it fails at `at`.
    Broken { member: usize, at: usize },
}

impl Run {
    fn read(bytes: &[u8], at: usize, lines: Option<&Lines>) -> Run {
        let (mut documents, mut objects) = (Vec::new(), true);
        let mut scanner = Scanner::at(bytes, at);
        let end = loop {
            match scanner.peek() {
                Some(b'"') => {}
                Some(b'}') => {
                    let at = scanner.position() + 1;
                    let outermost = !matches!(Scanner::at(bytes, at).peek(), Some(b',' | b'}' | b']'));
                    break End::Closed { at, outermost };
                }
                _ => break End::Broken { member: scanner.position(), at: scanner.position() },
            }
            let member = scanner.position();
            let Some((key, text)) = whole_member(&mut scanner) else {
                break End::Broken { member, at: scanner.position() };
            };
            if lines.is_some_and(|lines| lines.swallowed(bytes, &text)) {
                break End::Broken { member, at: text.start };
            }
            objects &= json::is_object(&bytes[text.clone()]);
            documents.extend(document(bytes, key, text));
            scanner.accept(b',');
        };
        Run { documents, objects, end }
    }

    /// Returns how certain it is that the members belong to the outermost object, if they may, where only their surroundings
    /// can tell.
    fn trust(&self) -> Option<Trust> {
        match self.end {
            End::Closed { outermost, .. } => outermost.then_some(Trust::Likely),
            End::Broken { .. } => self.objects.then_some(Trust::Guessed),
        }
    }
}

/// Skips a member and returns where its key and its value are. If the member is broken, the scanner stays where it fails.
fn whole_member(scanner: &mut Scanner<'_>) -> Option<(Range<usize>, Range<usize>)> {
    let key = scanner.string().ok()?;
    scanner.expect(b':', "").ok()?;
    Some((key, scanner.value().ok()?))
}

/// Returns an intact member as a document, if it is one.
fn document(bytes: &[u8], key: Range<usize>, text: Range<usize>) -> Option<Scanned> {
    let object = &bytes[text.clone()];
    if !json::is_object(object) {
        return None;
    }
    std::str::from_utf8(object).ok()?;
    let key = json::unescape_lossy(&bytes[key]);
    let id = json::get(object, "id")?;
    let own = if json::is_string(id) { json::unescape_lossy(id) } else { String::from_utf8_lossy(id) };
    (own == key).then(|| Scanned { id: DocumentId::from_key(&key), text })
}

/// A layout in which each member of the outermost object begins a line, and no member of an inner object has the same
/// indentation.
struct Lines {
    /// The end of a line, the indentation and the quote of a key.
    key: Finder<'static>,
}

impl Lines {
    fn of(bytes: &[u8], start: usize) -> Option<Lines> {
        let mut scanner = Scanner::at(bytes, start);
        let indentation = if scanner.peek() == Some(b'"') {
            let outer = indentation(bytes, scanner.position())?;
            let inner = first_inner_key(&mut scanner).and_then(|key| indentation(bytes, key));
            if inner.is_some_and(|inner| inner.len() <= outer.len()) {
                return None;
            }
            outer
        } else {
            // The first member is lost, but no member is indented less than those of the outermost object.
            let lines = memchr::memchr_iter(b'\n', bytes).filter_map(|end| {
                let mut scanner = Scanner::at(bytes, end);
                (scanner.peek() == Some(b'"')).then(|| indentation(bytes, scanner.position()))?
            });
            lines.min_by_key(|indentation| indentation.len())?
        };
        let key = [b"\n", indentation, b"\""].concat();
        Some(Lines { key: Finder::new(&key).into_owned() })
    }

    /// Returns the first key in the range that is indented like those of the outermost object.
    fn next(&self, bytes: &[u8], range: Range<usize>) -> Option<usize> {
        let found = self.key.find(bytes.get(range.clone())?)?;
        Some(range.start + found + self.key.needle().len() - 1)
    }

    /// Returns whether a value contains a document of the outermost object, because the end of an earlier object is missing.
    fn swallowed(&self, bytes: &[u8], value: &Range<usize>) -> bool {
        let mut at = value.start;
        while let Some(key) = self.next(bytes, at..value.end) {
            let found = whole_member(&mut Scanner::at(bytes, key));
            if found.is_some_and(|(key, text)| document(bytes, key, text).is_some()) {
                return true;
            }
            at = key;
        }
        false
    }
}

/// Returns the white space before `at` if nothing else precedes it on its line.
fn indentation(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = bytes[..at].iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    bytes[..at - length].ends_with(b"\n").then(|| &bytes[at - length..at])
}

/// Returns where the first key of a member's own object is.
fn first_inner_key(scanner: &mut Scanner<'_>) -> Option<usize> {
    scanner.string().ok()?;
    (scanner.accept(b':') && scanner.accept(b'{') && scanner.peek() == Some(b'"')).then(|| scanner.position())
}

/// Returns the first string at or after `at` that follows a comma.
fn after_comma(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr(b',', bytes.get(at..)?)? + 1;
        let mut scanner = Scanner::at(bytes, at);
        if scanner.peek() == Some(b'"') {
            return Some(scanner.position());
        }
        at = scanner.position();
    }
}

/// Returns where to continue the search for members: where the member that begins at `member` fails, or at the comma before
/// the quote that ended its last string. If a quote was lost, that quote may be the first quote of the next member's key.
fn last_comma(bytes: &[u8], member: usize, at: usize) -> usize {
    let first = member + 1;
    let Some(between) = bytes.get(first..at) else { return at };
    let Some(quote) = memrchr(b'"', between) else { return at };
    let blank = between[..quote].iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
    if between[..quote - blank].ends_with(b",") { first + quote - blank - 1 } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(bytes: &[u8]) -> Vec<String> {
        salvage(bytes).into_iter().map(|scanned| scanned.id.to_string()).collect()
    }

    fn texts(text: &str) -> Vec<&str> {
        salvage(text.as_bytes()).into_iter().map(|scanned| &text[scanned.text]).collect()
    }

    /// `{"<id>":{"id":<id>,"t":"x<id>"}, …}` on one line.
    fn on_one_line(count: usize) -> String {
        let members: Vec<String> =
            (1..=count).map(|id| format!("\"{id}\":{{\"id\":{id},\"t\":\"x{id}\"}}")).collect();
        format!("{{{}}}", members.join(","))
    }

    #[test]
    fn whole_documents_around_a_broken_one_are_saved() {
        let bytes = b"{\n\"1\":{\"id\":1},\n\"2\":{\"id\":2,\"a\":},\n\"3\":{\"id\":3}\n}\n";
        assert_eq!(ids(bytes), ["1", "3"]);
    }

    #[test]
    fn a_file_cut_short_keeps_its_first_documents() {
        assert_eq!(ids(b"{\n  \"1\": {\n    \"id\": 1\n  },\n  \"2\": {\n    \"id\": 2,"), ["1"]);
        assert_eq!(ids(b"{\"1\":{\"id\":1},\"2\":{\"id\":\"2\"},\"3\":{"), ["1", "2"]);
    }

    #[test]
    fn an_object_nested_in_a_broken_document_is_not_saved() {
        assert!(ids(b"{\n  \"1\": {\n    \"inner\": { \"id\": 7 },\n    \"7\": {}, oops\n  }\n}").is_empty());
    }

    const ITEMS: &str = r#"{
  "7": {
    "id": 7,
    "name": "real"
  },
  "9": {
    "id": 9,
    "items": {
      "7": {
        "id": 7,
        "name": "an item"
      },
      "8": {
        "id": 8
      }
    },
    "tail": BROKEN
  },
  "10": {
    "id": 10
  }
}"#;

    #[test]
    fn entries_of_a_broken_document_that_look_like_documents_are_not_saved() {
        assert_eq!(ids(ITEMS.as_bytes()), ["7", "10"]);
        assert!(texts(ITEMS)[0].contains("real"));
        let unindented: String = ITEMS.lines().flat_map(|line| [line.trim_start(), "\n"]).collect();
        let compact: String = ITEMS.lines().map(str::trim_start).collect();
        for text in [unindented, compact.clone(), compact.replace("\"tail\": BROKEN", "\"tail\":\"")] {
            assert_eq!(ids(text.as_bytes()), ["7", "10"], "{text}");
            assert!(texts(&text)[0].contains("real"), "{text}");
        }
        // The damage precedes them.
        let early = compact.replace("\"items\":", "\"a\":\"x,\"items\":");
        assert_eq!(ids(early.as_bytes()), ["7", "10"]);
        // It is among them.
        let among = r#"{"9":{"id":9,"items":{"5":{,"8":{"id":8}},"t":1},"10":{"id":10}}"#;
        assert_eq!(ids(among.as_bytes()), ["10"]);
        assert_eq!(ids(among.replace(":8}", ":8},\"n\":1,x").as_bytes()), ["10"]);
    }

    #[test]
    fn nothing_after_damage_replaces_an_intact_document_with_the_same_id() {
        let text = r#"{"7":{"id":7,"t":"real"},"9":{"a":"x,"b":{},"7":{"id":7},"c":{}},"8":{"id":8},x"#;
        assert_eq!(ids(text.as_bytes()), ["7", "8"]);
        assert!(texts(text)[0].contains("real"));
        let again = "{\n\"7\":{\"id\":7,\"t\":1},\n\"9\":{,\n\"7\":{\"id\":7,\"t\":2}\n}";
        assert_eq!(texts(again), ["{\"id\":7,\"t\":1}"]);
    }

    #[test]
    fn of_two_documents_with_one_id_the_later_counts_before_damage_and_the_earlier_after_it() {
        let twice = "\"7\":{\"id\":7,\"t\":1},\n\"7\":{\"id\":7,\"t\":2},\n";
        assert_eq!(texts(&format!("{{\n{twice}\"9\":{{")), ["{\"id\":7,\"t\":2}"]);
        assert_eq!(texts(&format!("{{\n\"9\":{{,\n{twice}}}")), ["{\"id\":7,\"t\":1}"]);
    }

    #[test]
    fn members_that_are_no_documents_are_not_saved() {
        assert_eq!(
            ids(b"{\"1\":{\"id\":2},\"2\":{},\"3\":{\"id\":3,\"a\":\"\xff\"},\"4\":{\"id\":4},"),
            ["4"]
        );
    }

    #[test]
    fn damage_in_a_one_line_file_costs_only_the_broken_documents() {
        let whole = on_one_line(1000);
        for (from, to) in
            [("\"x2\"", "\"x2"), ("\"x2\"", "x2\""), ("\"x2\"", ""), ("{\"id\":2,", "\"id\":2,")]
        {
            let found = ids(whole.replacen(from, to, 1).as_bytes());
            assert_eq!(found.len(), 999, "{to}");
            assert!(!found.contains(&"2".to_owned()), "{to}");
        }
        let twice = whole.replace("\"x2\"", "\"x2").replace("\"x500\"", "\"x500");
        assert_eq!(ids(twice.as_bytes()).len(), 998);
        let spaced = whole.replace(",\"", " , \"").replace("\"x2\"", "\"x2");
        assert_eq!(ids(spaced.as_bytes()).len(), 999);
    }

    #[test]
    fn a_lost_bracket_costs_at_most_one_document_if_each_starts_a_line() {
        let lost =
            "{\n\"1\":{\"id\":1},\n\"2\":{\"id\":2,\"a\":{},\n\"3\":{\"id\":3},\n\"4\":{\"id\":4}\n}\n";
        assert_eq!(ids(lost.as_bytes()), ["1", "3", "4"]);
        let more = "{\n\"1\":{\"id\":1}},\n\"2\":{\"id\":2},\n\"3\":{\"id\":3}\n}\n";
        assert_eq!(ids(more.as_bytes()), ["1", "2", "3"]);
    }

    #[test]
    fn documents_after_a_damaged_beginning_are_saved() {
        let pretty = ITEMS.replacen("{\n  \"7\": {\n    \"id\"", "\0\0\0\0\0", 1).replace("BROKEN", "1");
        assert_eq!(ids(pretty.as_bytes()), ["9", "10"]);
        let one_line = on_one_line(3).replacen("{\"1\":{", "\0\0\0", 1);
        assert_eq!(ids(one_line.as_bytes()), ["2", "3"]);
    }

    #[test]
    fn rubbish_of_any_layout_takes_linear_time_and_yields_no_documents() {
        let lines: String = (0..20_000).map(|id| format!("\"{id}\":{{\"id\":\"x\",\"a\":[1,1,\n")).collect();
        let one_line: String = (0..20_000).map(|id| format!(",\"{id}\":{{\"a\":[{{\"")).collect();
        let strings = ",\"".repeat(200_000);
        for text in [format!("{{\n{lines}"), format!("{{\"1\":{{{one_line}"), format!("{{{strings}")] {
            assert!(ids(text.as_bytes()).is_empty());
        }
    }
}
