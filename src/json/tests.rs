use super::*;
use proptest::prelude::*;

#[test]
fn refuses_what_json_parse_refuses() {
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "01",
        "1.",
        "+1",
        "tru",
        "\"\u{1}\"",
        "\"\\x\"",
        "1 2",
        "'a'",
        "1e400",
    ] {
        assert!(check(text.as_bytes()).is_err(), "{text:?} was accepted");
    }
    assert_eq!(check(b"\"\xff\"").map_err(|error| error.problem), Err("not UTF-8"));
}

#[test]
fn accepts_every_kind_of_value() {
    for text in ["null", " true ", "-0.5e+10", "\"\\ud83d\"", "[]", "{ }", "{\"a\":[{},\"\\u0000\"]}"] {
        assert_eq!(check(text.as_bytes()), Ok(()), "{text:?} was refused");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(check(nested(MAX_DEPTH).as_bytes()), Ok(()));
    assert!(check(nested(MAX_DEPTH + 1).as_bytes()).is_err());
    assert!(check(nested(1_000_000).as_bytes()).is_err());
}

#[test]
fn lone_surrogates_survive_unescaping_and_escaping() {
    for raw in ["\"a\\ud83db\"", "\"\\udc00\\ud800\"", "\"\\ud83d\\ud83d\\ude00\""] {
        let wtf8 = unescape(raw.as_bytes()).into_owned();
        let mut out = Vec::new();
        push_string(&mut out, &wtf8);
        assert_eq!(unescape(&out), wtf8, "{raw}");
    }
    assert_eq!(unescape_lossy(b"\"a\\ud83db\""), "a\u{fffd}b");
    assert_eq!(unescape_lossy(b"\"\\ud83d\\ude00\""), "\u{1f600}");
    assert_eq!(utf8_len(b"\"a\\ud83db\""), 5);
}

#[test]
fn a_broken_surrogate_does_not_panic() {
    for bytes in [&b"\xed\xa0\0"[..], b"\xed\xa0", b"\xed\xa0\xed\xa0\\"] {
        push_string(&mut Vec::new(), bytes);
        unescape_lossy(&[b"\"\\n", bytes].concat());
        unescape_lossy(&[b"\"\\n", bytes, b"\""].concat());
    }
}

#[test]
fn the_last_of_two_members_with_the_same_name_counts() {
    assert_eq!(get(b"{\"a\":1,\"b\":2,\"\\u0061\":3}", "a"), Some(&b"3"[..]));
    assert_eq!(get(b"{\"\xc3\xa9\":1,\"b\":2,\"\\u00e9\":3}", "\u{e9}"), Some(&b"3"[..]));
}

#[test]
fn a_name_with_a_backslash_is_not_mistaken_for_an_escape() {
    let object = br#"{"a\\nb":1,"a\nb":2,"\u0061":3}"#;
    for (name, expected) in [(r"a\nb", "1"), ("a\nb", "2"), ("a", "3")] {
        assert_eq!(get(object, name), Some(expected.as_bytes()), "{name:?}");
    }
    assert_eq!(get(object, r"\u0061"), None);
}

#[test]
fn a_long_text_of_mostly_escapes_is_quoted_completely() {
    for text in ["\u{1}".repeat(1000), "\"".repeat(1000), "\u{1}a".repeat(1000)] {
        assert_eq!(quote(&text), serde_json::to_string(&text).unwrap());
    }
}

#[test]
fn compacting_leaves_strings_alone() {
    assert_eq!(compact(b"{ \"a b\" : [ 1 , \"\\\" \" ] }").as_ref(), b"{\"a b\":[1,\"\\\" \"]}");
}

/// Whether serde_json refuses a string only because Rust cannot represent it.
fn is_lone_surrogate(quoted: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(quoted).is_ok()
}

/// Texts of several blocks that contain characters in need of an escape at any position in a block.
fn long_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        5 => "[a-z]{1,70}",
        5 => "[\"\\\\\n\t\r\u{8}\u{c}\u{1}/]{1,4}",
        1 => "[\u{e9}\u{ed00}\u{d7ff}\u{1f600}]{1,3}",
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn quoting_long_texts_agrees_with_serde_json(text in long_text()) {
        let quoted = quote(&text);
        prop_assert_eq!(&serde_json::to_string(&text).unwrap(), &quoted);
        let raw = quoted.as_bytes();
        let unescaped = unescape(raw);
        prop_assert_eq!(unescaped.as_ref(), text.as_bytes());
        prop_assert_eq!(check(raw), Ok(()));
        let longer = [raw, b"\""].concat();
        prop_assert_eq!(Scanner::new(&longer).string(), Ok(0..raw.len()));
        prop_assert!(check(&raw[..raw.len() - 1]).is_err());
    }

    #[test]
    fn checking_long_strings_agrees_with_serde_json(text in "[ab]{0,70}([a\"\\\\un0-9\n/]{0,4}[ab]{0,40}){0,4}") {
        let quoted = format!("\"{text}\"");
        prop_assert_eq!(check(quoted.as_bytes()).is_ok(), serde_json::from_str::<String>(&quoted).is_ok() || is_lone_surrogate(&quoted));
    }

    #[test]
    fn unescaping_and_quoting_long_rubbish_never_panics(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\\'), Just(b'u'), Just(b'd'), Just(0xed)], 0..200)) {
        unescape_lossy(&bytes);
        push_string(&mut Vec::new(), &bytes);
    }

    #[test]
    fn quoting_agrees_with_serde_json(text in any::<String>()) {
        let quoted = quote(&text);
        prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text.clone());
        let raw = quoted.as_bytes();
        let unescaped = unescape(raw);
        prop_assert_eq!(unescaped.as_ref(), text.as_bytes());
        prop_assert_eq!(utf8_len(raw), text.len());
    }

    #[test]
    fn checking_agrees_with_serde_json(text in "[\\[\\]{}:,\"\\\\0-9eE.+\\- tfn\\n]{0,12}") {
        prop_assert_eq!(check(text.as_bytes()).is_ok(), serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = check(&bytes);
        let _ = get(&bytes, "a");
        let _ = unescape_lossy(&bytes);
        let _ = compact(&bytes);
        let _ = elements(&bytes);
    }
}

#[test]
fn lone_surrogates_survive_conversion_to_and_from_utf16() {
    let wtf8 = unescape(br#""a\ud800b\udc00\ud83d\ude00\udfff""#);
    let units = [0x61, 0xd800, 0x62, 0xdc00, 0xd83d, 0xde00, 0xdfff];
    assert_eq!(to_utf16(&wtf8), units);
    assert_eq!(from_utf16(&units), &*wtf8);
}

proptest! {
    #[test]
    fn every_sequence_of_utf16_units_survives_conversion_to_wtf8(
        units in proptest::collection::vec(prop_oneof![any::<u16>(), 0xd800..0xe000u16, 0..128u16], 0..40),
    ) {
        prop_assert_eq!(to_utf16(&from_utf16(&units)), units);
    }
}

proptest! {
    #[test]
    fn numbers_parse_as_in_rust(number in "-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?") {
        let parsed: f64 = number.parse().unwrap();
        prop_assert_eq!(parse_number(number.as_bytes()), Some(parsed));
        prop_assert_eq!(check(number.as_bytes()).is_ok(), parsed.is_finite());
    }
}
