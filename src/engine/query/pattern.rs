//! Regular expressions in the syntax of JavaScript, run in linear time.
//!
//! Whatever needs backtracking (look-around, back references) is refused. The rest is rewritten into the syntax of the
//! `regex` crate, whose engine runs it: `\d`, `\w` and `\b` are ASCII, `\s` and `.` are JavaScript's. A text is matched by
//! code points, as with the flag `u`; with `m`, lines end at `\n`, `\r` and `\r\n`. A lone surrogate is a code point, but
//! none that the engine knows: whatever matches it besides others is given its three bytes in WTF-8 as an alternative.

use std::iter::Peekable;
use std::str::Chars;

use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::syntax;

/// Compiled patterns larger than this are refused.
const MAX_SIZE: usize = 1 << 20;
/// Longer patterns are refused without compiling them, which takes time in proportion to their length.
const MAX_LENGTH: usize = 8 << 10;
/// What `\s` means in JavaScript.
const SPACE: &str =
    r"\t\n\x0B\x0C\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";
const NOT_LINE_END: &str = r"[^\n\r\u{2028}\u{2029}]";
/// A lone surrogate in WTF-8.
const SURROGATE: &str = r"(?-u:\xed[\xa0-\xbf][\x80-\xbf])";

#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// # Errors
    /// A sentence that says which part of the pattern is not understood or is refused.
    pub fn new(source: &str, flags: &str) -> Result<Pattern, String> {
        if let Some(flag) = flags.chars().find(|flag| !"dgimsu".contains(*flag)) {
            return Err(format!("the flag {flag:?} is not supported; use i, m, s or u"));
        }
        if source.len() > MAX_LENGTH {
            return Err(format!(
                "the pattern is too large: it has {} of at most {MAX_LENGTH} bytes",
                source.len()
            ));
        }
        let has = |flag| flags.contains(flag);
        let mut translation = Translation {
            rest: source.chars().peekable(),
            out: String::new(),
            dot_all: has('s'),
            unicode: has('u'),
            in_quantifier: false,
        };
        translation.run()?;
        let flags =
            syntax::Config::new().utf8(false).case_insensitive(has('i')).multi_line(has('m')).crlf(has('m'));
        let limits = Regex::config()
            .utf8_empty(false)
            // Only whether the pattern matches is needed.
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(MAX_SIZE));
        match Regex::builder().configure(limits).syntax(flags).build(&translation.out) {
            Ok(regex) => Ok(Pattern(regex)),
            Err(error) if error.size_limit().is_some() => Err("the pattern is too large".to_owned()),
            Err(_) => Err(format!("{source:?} is not a regular expression")),
        }
    }

    /// Returns whether the pattern is found in a text. O(length of the text × length of the pattern).
    pub fn matches(&self, wtf8: &[u8]) -> bool {
        self.0.is_match(wtf8)
    }
}

struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
    dot_all: bool,
    unicode: bool,
    /// Whether the opening brace of a quantifier has been written, but not its closing brace.
    in_quantifier: bool,
}

impl Translation<'_> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(next) = self.rest.next() {
            match next {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '.' if self.dot_all => self.out.push_str(&others("(?s:.)", false)),
                '.' => self.out.push_str(&others(NOT_LINE_END, false)),
                '(' => self.group()?,
                '{' if self.at_quantifier() => {
                    self.in_quantifier = true;
                    self.out.push('{');
                }
                '}' if std::mem::take(&mut self.in_quantifier) => self.out.push('}'),
                '{' | '}' => self.out.extend(['\\', next]),
                other => self.out.push(other),
            }
        }
        Ok(())
    }

    /// Returns whether what follows an opening brace makes it a quantifier: `n}`, `n,}` or `n,m}`.
    fn at_quantifier(&self) -> bool {
        let mut ahead = self.rest.clone();
        let mut digits = || {
            let mut any = false;
            while ahead.next_if(char::is_ascii_digit).is_some() {
                any = true;
            }
            (any, ahead.next())
        };
        match digits() {
            (true, Some('}')) => true,
            (true, Some(',')) => matches!(digits(), (_, Some('}'))),
            _ => false,
        }
    }

    fn group(&mut self) -> Result<(), String> {
        self.out.push('(');
        if self.rest.peek() != Some(&'?') {
            return Ok(());
        }
        let mut ahead = self.rest.clone().skip(1);
        match (ahead.next(), ahead.next()) {
            (Some('='), _) | (Some('!'), _) | (Some('<'), Some('=' | '!')) => {
                Err("look-ahead and look-behind are not supported".to_owned())
            }
            (Some(':'), _) | (Some('<'), _) => Ok(()),
            _ => Err("this kind of group is not supported".to_owned()),
        }
    }

    /// Translates a class of characters, after its opening bracket.
    fn class(&mut self) -> Result<(), String> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        if self.rest.next_if_eq(&']').is_some() {
            match negated {
                true => self.out.push_str(&others("(?s:.)", false)),
                false => self.out.push_str(r"[^\x00-\u{10ffff}]"),
            }
            return Ok(());
        }
        let start = self.out.len();
        self.out.push_str(if negated { "[^" } else { "[" });
        // Whether one of the members matches surrogates.
        let mut surrogates = false;
        loop {
            let first = match self.rest.next() {
                None => return Err("a class of characters has no end".to_owned()),
                Some(']') => break,
                Some(first) => self.class_member(first)?,
            };
            surrogates |= first == Member::Others;
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-')
                && let Some(last) = ahead.next().filter(|last| *last != ']')
            {
                self.rest = ahead;
                let hyphen = self.out.len();
                self.out.push('-');
                match (first, self.class_member(last)?) {
                    (Member::One(first), Member::One(last)) => {
                        surrogates |= first <= '\u{d7ff}' && last >= '\u{e000}';
                    }
                    // Next to something that stands for several characters, a hyphen is one of the characters.
                    (_, last) => {
                        surrogates |= last == Member::Others;
                        self.out.insert(hyphen, '\\');
                    }
                }
            }
        }
        self.out.push(']');
        if surrogates != negated {
            self.out.insert_str(start, "(?:");
            self.out.extend(["|", SURROGATE, ")"]);
        }
        Ok(())
    }

    /// Translates one member of a class, which begins with `first`.
    fn class_member(&mut self, first: char) -> Result<Member, String> {
        match first {
            '\\' => {
                let next = self.rest.peek().copied();
                let before = self.out.len();
                self.escape(true)?;
                return Ok(match next {
                    Some('d' | 'w' | 's') => Member::These,
                    Some('D' | 'W' | 'S') => Member::Others,
                    Some('p') if self.unicode => Member::These,
                    Some('P') if self.unicode => Member::Others,
                    // What still begins with a backslash is an ASCII character.
                    _ => Member::One(self.out[before..].chars().next().unwrap_or_default()),
                });
            }
            other if "[&~-^".contains(other) => self.out.extend(['\\', other]),
            other => self.out.push(other),
        }
        Ok(Member::One(first))
    }

    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let Some(next) = self.rest.next() else { return Err("it ends with a backslash".to_owned()) };
        let text = match next {
            'd' => "[0-9]".to_owned(),
            'w' => "[0-9A-Za-z_]".to_owned(),
            's' => format!("[{SPACE}]"),
            'D' => others("[^0-9]", in_class),
            'W' => others("[^0-9A-Za-z_]", in_class),
            'S' => others(&format!("[^{SPACE}]"), in_class),
            'b' if in_class => r"\x08".to_owned(),
            'b' => r"(?-u:\b)".to_owned(),
            // Outside of words, an ASCII `\B` may match within a multi-byte character.
            'B' if !in_class => return Err(r"\B is not supported".to_owned()),
            'n' | 'r' | 't' => format!("\\{next}"),
            'v' => r"\x0B".to_owned(),
            'f' => r"\x0C".to_owned(),
            '0' if !self.rest.peek().is_some_and(char::is_ascii_digit) => r"\x00".to_owned(),
            '0'..='9' => return Err("back references are not supported".to_owned()),
            'k' if !in_class => return Err("back references are not supported".to_owned()),
            'p' if self.unicode => self.property(next),
            'P' if self.unicode => others(&self.property(next), in_class),
            'x' => self.code(2, 'x')?,
            'u' if self.unicode && self.rest.peek() == Some(&'{') => return self.braced_code(),
            'u' => self.code(4, 'u')?,
            'c' => match self.rest.next_if(char::is_ascii_alphabetic) {
                Some(letter) => format!("\\x{:02x}", letter as u32 % 32),
                None => r"\\c".to_owned(),
            },
            other => literal(other),
        };
        self.out.push_str(&text);
        Ok(())
    }

    fn property(&mut self, kind: char) -> String {
        let name: String = self.rest.by_ref().take_while(|next| *next != '}').collect();
        format!("\\{kind}{name}}}")
    }

    fn braced_code(&mut self) -> Result<(), String> {
        self.rest.next();
        let digits: String = self.rest.by_ref().take_while(|next| *next != '}').collect();
        let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
        self.out.push_str(&literal(code.ok_or("a code point is out of range")?));
        Ok(())
    }

    /// Translates `\xhh` or `\uhhhh`. A letter that does not begin such an escape stands for itself.
    fn code(&mut self, length: usize, letter: char) -> Result<String, String> {
        let Some(unit) = self.digits(length) else { return Ok(letter.to_string()) };
        if let Some(character) = char::from_u32(unit) {
            return Ok(literal(character));
        }
        let mut ahead = self.rest.clone();
        if (0xd800..0xdc00).contains(&unit) && ahead.next() == Some('\\') && ahead.next() == Some('u') {
            self.rest.nth(1);
            let low = self.digits(4).filter(|low| (0xdc00..0xe000).contains(low));
            let code = low.and_then(|low| char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)));
            if let Some(character) = code {
                return Ok(literal(character));
            }
        }
        Err("half of a surrogate pair is not supported".to_owned())
    }

    fn digits(&mut self, length: usize) -> Option<u32> {
        let digits: String = self.rest.clone().take(length).collect();
        let valid = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let unit = u32::from_str_radix(&digits, 16).ok().filter(|_| valid)?;
        self.rest.nth(length - 1);
        Some(unit)
    }
}

/// What a member of a class stands for.
#[derive(Clone, Copy, PartialEq)]
enum Member {
    /// A single character, at which a range may end.
    One(char),
    /// Several characters, but no surrogates.
    These,
    /// All characters except some, surrogates among them.
    Others,
}

/// Returns the pattern for all characters except some, given the class without surrogates. Within a class, that class adds
/// the surrogates.
fn others(class: &str, in_class: bool) -> String {
    if in_class { class.to_owned() } else { format!("(?:{class}|{SURROGATE})") }
}

/// Returns the pattern for a character that stands for itself.
fn literal(character: char) -> String {
    if character.is_ascii_alphanumeric() || !character.is_ascii() {
        return character.to_string();
    }
    format!("\\x{:02x}", character as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn matches(source: &str, flags: &str, text: &str) -> bool {
        Pattern::new(source, flags)
            .unwrap_or_else(|error| panic!("{source}: {error}"))
            .matches(text.as_bytes())
    }

    #[test]
    fn patterns_match_as_in_javascript() {
        // Each line is what `new RegExp(source, flags).test(text)` gives in Node.
        for (source, flags, text, expected) in [
            ("^ab+c$", "", "abbbc", true),
            ("^ab+c$", "", "xabc", false),
            ("AB", "i", "xaby", true),
            (r"^\d$", "", "٣", false),
            (r"^\w+$", "", "é", false),
            (r"^\s$", "", "\u{feff}", true),
            (r"\bend\b", "", "the end.", true),
            ("^.$", "", "\n", false),
            ("^.$", "", "\u{2028}", false),
            ("^.$", "s", "\n", true),
            ("^b", "", "a\nb", false),
            ("^b", "m", "a\nb", true),
            (r"a\/b", "", "a/b", true),
            ("a{2}", "", "aa", true),
            ("a{,2}", "", "a{,2}", true),
            ("{", "", "{", true),
            ("}", "", "}", true),
            ("[^]", "", "\n", true),
            ("[]", "", "a", false),
            ("[[]", "", "[", true),
            ("[a&&b]", "", "&", true),
            (r"[\w-]+$", "", "a-b", true),
            (r"^[\w-.]+$", "", "a-.", true),
            ("[+--]", "", ",", true),
            ("[a-]", "", "-", true),
            ("[--/]", "", ".", true),
            ("[a-c-e]", "", "d", false),
            ("[^a-c]", "", "b", false),
            ("a{1,}}", "", "aa}", true),
            ("{{1}", "", "{", true),
            ("a{1", "", "a{1", true),
            (r"[\b]", "", "\u{8}", true),
            (r"^[\p-r]$", "", "q", true),
            (r"\u0041\x42", "", "AB", true),
            (r"\ud83d\ude00", "", "😀", true),
            (r"\u{1f600}", "u", "😀", true),
            (r"^\p{Lu}$", "u", "É", true),
            (r"\cA", "", "\u{1}", true),
            (r"(?<year>\d{4})-(?:0[1-9])", "", "2024-05", true),
            ("", "", "", true),
        ] {
            assert_eq!(matches(source, flags, text), expected, "/{source}/{flags} on {text:?}");
        }
    }

    #[test]
    fn a_lone_surrogate_is_matched_as_in_javascript() {
        // Each line is what `new RegExp(source, flags).test('a\ud800b')` gives in Node.
        for (source, flags, expected) in [
            ("^a.b$", "u", true),
            ("^a.b$", "us", true),
            ("^a..b$", "u", false),
            ("^...$", "u", true),
            ("^a[^]b$", "u", true),
            ("^a[]b$", "u", false),
            ("^a[^x]b$", "u", true),
            ("^a[x]b$", "u", false),
            (r"^a\D\b", "u", true),
            (r"^a\Wb$", "iu", true),
            (r"^a\S+b$", "u", true),
            (r"^a\d?b$", "u", false),
            (r"^a\P{L}b$", "u", true),
            (r"^a\p{L}b$", "u", false),
            (r"^a[\s\S]b$", "u", true),
            (r"^a[x\W]b$", "u", true),
            (r"^a[x\P{L}]b$", "u", true),
            (r"^a[^\W]b$", "u", false),
            (r"^a[^x\S]b$", "u", false),
            (r"^a[\x80-\uffff]b$", "u", true),
            (r"^a[\0-\u{10ffff}]b$", "u", true),
            ("^a[à-￿]b$", "u", true),
            (r"^a[^\x80-\uffff]b$", "u", false),
            (r"^a[\ud7ff-\ue000]b$", "u", true),
            (r"^a[\x80-\ud7ff]b$", "u", false),
            (r"^a[\ue000-\uffff]b$", "u", false),
            (r"^a[\x80-\xff-\uffff]b$", "u", false),
            (r"^a[\P]b$", "", false),
        ] {
            let pattern = Pattern::new(source, flags).unwrap_or_else(|error| panic!("{source}: {error}"));
            assert_eq!(pattern.matches(b"a\xed\xa0\x80b"), expected, "/{source}/{flags}");
        }
    }

    #[test]
    fn patterns_that_need_backtracking_or_are_invalid_are_refused() {
        for (source, flags) in [
            ("a(?=b)", ""),
            ("(?<!a)b", ""),
            (r"(a)\1", ""),
            (r"(?<n>a)\k<n>", ""),
            ("a", "y"),
            ("(", ""),
            ("a{1000}{1000}", ""),
            (r"\ud83d", ""),
            ("[b-a]", ""),
            (&"{".repeat(100_000), ""),
            ("\\", ""),
        ] {
            assert!(Pattern::new(source, flags).is_err(), "/{source}/{flags}");
        }
    }
}
