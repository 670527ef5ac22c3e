//! Keys: typed values with a total order.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::engine::json::{self, Scanner};

/// A key under which a document is found. Keys keep their type: 42 and "42" differ.
///
/// Order: `Null < Bool < Number < Text < Tuple`, tuples element by element. Text is WTF-8 (see
/// [`json::unescape`]), so the order of its bytes is the order of its code points.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexKey {
    Null,
    Bool(bool),
    Number(Number),
    Text(Box<[u8]>),
    Tuple(Box<[IndexKey]>),
}

impl IndexKey {
    /// Returns the key that a raw JSON value stands for. Arrays become tuples; objects, and text that is not a single JSON
    /// value, have none. O(length × depth).
    pub fn from_json(raw: &[u8]) -> Option<IndexKey> {
        let mut scanner = Scanner::new(raw);
        let value = scanner.value().ok()?;
        scanner.end().ok()?;
        IndexKey::from_value(&raw[value])
    }

    /// Like [`IndexKey::from_json`], for text already known to be a single value with no white space around it.
    pub(super) fn from_value(raw: &[u8]) -> Option<IndexKey> {
        match raw.first()? {
            b'n' => Some(IndexKey::Null),
            b't' => Some(IndexKey::Bool(true)),
            b'f' => Some(IndexKey::Bool(false)),
            b'"' => Some(IndexKey::Text(json::unescape(raw).into())),
            // The depth of the recursion is bounded by `json::MAX_DEPTH`, which `elements` enforces.
            b'[' => {
                let elements = json::elements(raw).ok()?;
                elements.into_iter().map(IndexKey::from_value).collect::<Option<_>>().map(IndexKey::Tuple)
            }
            _ => IndexKey::number(json::parse_number(raw)?),
        }
    }

    pub fn text(text: &str) -> IndexKey {
        IndexKey::Text(text.as_bytes().into())
    }

    /// `None` for NaN, which has no place in an order.
    pub fn number(number: f64) -> Option<IndexKey> {
        Number::new(number).map(IndexKey::Number)
    }

    pub fn tuple(parts: impl Into<Box<[IndexKey]>>) -> IndexKey {
        IndexKey::Tuple(parts.into())
    }

    /// Returns the smallest key that is greater.
    pub fn successor(&self) -> IndexKey {
        match self {
            IndexKey::Null => IndexKey::Bool(false),
            IndexKey::Bool(false) => IndexKey::Bool(true),
            IndexKey::Bool(true) => IndexKey::Number(Number(f64::NEG_INFINITY)),
            IndexKey::Number(number) => match number.successor() {
                Some(next) => IndexKey::Number(next),
                None => IndexKey::text(""),
            },
            IndexKey::Text(text) => IndexKey::Text([&**text, b"\0"].concat().into()),
            IndexKey::Tuple(parts) => IndexKey::tuple([&**parts, &[IndexKey::Null]].concat()),
        }
    }

    /// Whether the key is null or a tuple that holds null. Such keys never clash in a unique index.
    pub fn has_null(&self) -> bool {
        match self {
            IndexKey::Null => true,
            IndexKey::Tuple(parts) => parts.iter().any(IndexKey::has_null),
            _ => false,
        }
    }

    fn push_json(&self, out: &mut Vec<u8>) {
        match self {
            IndexKey::Null => out.extend(b"null"),
            IndexKey::Bool(true) => out.extend(b"true"),
            IndexKey::Bool(false) => out.extend(b"false"),
            IndexKey::Number(number) => out.extend(number.to_string().as_bytes()),
            IndexKey::Text(text) => json::push_string(out, text),
            IndexKey::Tuple(parts) => {
                out.push(b'[');
                for (position, part) in parts.iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    part.push_json(out);
                }
                out.push(b']');
            }
        }
    }
}

/// The key as JSON, so that a message tells 42 from "42". Every key of a document reads back with
/// [`IndexKey::from_json`]; infinite bounds are not JSON.
impl fmt::Display for IndexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut json = Vec::new();
        self.push_json(&mut json);
        f.write_str(&String::from_utf8_lossy(&json))
    }
}

/// A number that is never NaN and whose zero has no sign, so that it has a total order and a hash.
/// Infinities serve as bounds of ranges.
#[derive(Debug, Clone, Copy)]
pub struct Number(f64);

impl Number {
    pub fn new(number: f64) -> Option<Number> {
        // -0 + 0 is 0; every other number stays what it is.
        (!number.is_nan()).then_some(Number(number + 0.0))
    }

    pub fn get(self) -> f64 {
        self.0
    }

    fn successor(self) -> Option<Number> {
        (self.0 < f64::INFINITY).then(|| Number::new(self.0.next_up())).flatten()
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        // Without NaN and -0 this is the order of the values.
        self.0.total_cmp(&other.0)
    }
}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// The number as JavaScript prints it (ECMAScript, Number::toString): the shortest digits that read back as the same number,
/// with an exponent below 1e-6 and from 1e21 on.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_infinite() {
            return f.write_str(if self.0 > 0.0 { "Infinity" } else { "-Infinity" });
        }
        let magnitude = self.0.abs();
        if magnitude < 1e21 && (magnitude >= 1e-6 || magnitude == 0.0) {
            return self.0.fmt(f);
        }
        let text = format!("{:e}", self.0);
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => write!(f, "{digits}e+{exponent}"),
            _ => f.write_str(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(json: &str) -> IndexKey {
        IndexKey::from_json(json.as_bytes()).unwrap()
    }

    #[test]
    fn keys_of_all_kinds_have_one_total_order() {
        let ordered = [
            "null",
            "false",
            "true",
            "-1e300",
            "-1",
            "0",
            "9",
            "10",
            "\"\"",
            "\"10\"",
            "\"9\"",
            "\"\\ud800\"",
            "\"\\uffff\"",
            "\"\\ud83d\\ude00\"",
            "[]",
            "[1]",
            "[1,2]",
            "[\"1\"]",
        ];
        for pair in ordered.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn zero_has_no_sign() {
        assert_eq!(key("-0"), key("0.0e1"));
        assert_eq!(key("-0").to_string(), "0");
    }

    #[test]
    fn nan_is_not_a_key() {
        assert_eq!(IndexKey::number(f64::NAN), None);
    }

    #[test]
    fn infinities_bound_every_number() {
        assert!(IndexKey::number(f64::NEG_INFINITY).unwrap() < key("-1.7976931348623157e308"));
        assert!(IndexKey::number(f64::INFINITY).unwrap() > key("1.7976931348623157e308"));
    }

    #[test]
    fn nothing_lies_between_a_key_and_its_successor() {
        let pairs = [
            ("null", "false"),
            ("false", "true"),
            ("-5e-324", "0"),
            ("0", "5e-324"),
            ("1", "1.0000000000000002"),
            ("\"\"", "\"\\u0000\""),
            ("\"a\"", "\"a\\u0000\""),
            ("[]", "[null]"),
            ("[1,\"a\"]", "[1,\"a\",null]"),
        ];
        for (one, next) in pairs {
            assert_eq!(key(one).successor(), key(next), "{one}");
        }
        let infinite = |number| IndexKey::number(number).unwrap();
        assert_eq!(key("true").successor(), infinite(f64::NEG_INFINITY));
        assert_eq!(key("1.7976931348623157e308").successor(), infinite(f64::INFINITY));
        assert_eq!(infinite(f64::INFINITY).successor(), key("\"\""));
    }

    #[test]
    fn objects_and_rubbish_have_no_key() {
        for text in ["{}", "[1,{}]", "", "tru", "1 2", "\"", "1e999", "[", "undefined"] {
            assert_eq!(IndexKey::from_json(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn escaped_and_plain_texts_are_the_same_key() {
        assert_eq!(key(" \"\\u0061\\ud83d\\ude00\" "), IndexKey::text("a😀"));
    }

    #[test]
    fn numbers_print_as_in_javascript() {
        // Each text is what node prints for String(text).
        for text in [
            "42",
            "-1.5",
            "0.1",
            "123456789012345680000",
            "1e+21",
            "1.5e+300",
            "-1e+21",
            "0.000001",
            "1e-7",
            "1.25e-7",
            "9007199254740991",
            "5e-324",
            "1.7976931348623157e+308",
        ] {
            assert_eq!(Number::new(text.parse().unwrap()).unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn a_printed_key_reads_back(text in any::<String>(), number in proptest::num::f64::NORMAL) {
            let key = IndexKey::tuple([IndexKey::text(&text), IndexKey::number(number).unwrap(), IndexKey::Null]);
            prop_assert_eq!(IndexKey::from_json(key.to_string().as_bytes()), Some(key));
        }

        #[test]
        fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            let _ = IndexKey::from_json(&bytes);
            let _ = IndexKey::Text(bytes.into()).to_string();
        }
    }
}
