//! From text to words, and from a query to what it asks for.
//!
//! Words are those of Unicode's word boundaries (UAX #29) in NFKC, case folded and in NFKC again:
//!
//! - Folding is to lower, upper and again lower case, character by character. So `ß` and `ẞ` are `ss`, every
//!   sigma is `σ`, and both dotless `ı` and dotted `İ` are `i` (the dot that remains of `İ` is dropped). Of some
//!   letters only one case is a single character, such as `ΐ`, so what folding returns is normalised again.
//! - NFKC makes composed and decomposed letters one, and full-width and half-width forms ordinary ones.
//! - Scripts written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese, …) are indexed as
//!   overlapping pairs of characters, the last character of a run alone, as Lucene's CJKBigramFilter does:
//!   日本語 has 日本, 本語 and 語. A query's run asks for all its pairs; a single character asks for what
//!   starts with it. So every part of a run is found. A text that has all the pairs but not next to each
//!   other (東京 and 京都 for 東京都) is found as well.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};
use unicode_segmentation::UnicodeSegmentation;

/// In bytes. Only the start of a longer word counts, in documents and in queries.
const MAX_WORD: usize = 128;
/// A word is folded up to this many bytes. Normalising makes at most three characters one, so `MAX_WORD` bytes remain of them.
const MAX_FOLDED: usize = 4 * MAX_WORD;

/// Calls `emit` with each word of a document's text, as often as it occurs. O(length).
pub(super) fn document_words(text: &str, emit: &mut dyn FnMut(&str)) {
    words(text, true, emit);
}

/// Returns the words that a document must have, as a whole or as a prefix; sorted, each once.
pub(super) fn query_words(query: &str) -> Vec<String> {
    let mut found = Vec::new();
    words(query, false, &mut |word| found.push(word.to_owned()));
    found.sort_unstable();
    found.dedup();
    found
}

/// Calls `emit` with each word; if `ends` is set, also with the last character of each run of two or more.
fn words(text: &str, ends: bool, emit: &mut dyn FnMut(&str)) {
    let mut folded = String::new();
    if text.is_ascii() {
        return text.unicode_words().for_each(|word| emit_folded(word, &mut folded, emit));
    }
    let text = match is_nfkc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfkc().collect()),
    };
    let mut run = String::new();
    // Where the text begins that belongs to no run and was not looked at yet.
    let mut spaced = 0;
    for (at, cluster) in text.grapheme_indices(true) {
        if cluster.chars().next().is_some_and(|first| first.is_alphanumeric() && is_unspaced(first)) {
            if run.is_empty() {
                text[spaced..at].unicode_words().for_each(|word| emit_folded(word, &mut folded, emit));
            }
            // A cluster's marks are characters of the run; joiners and variation selectors are not.
            run.extend(cluster.chars().filter(|&part| is_unspaced(part)));
            spaced = at + cluster.len();
        } else if !run.is_empty() {
            emit_run(&run, ends, emit);
            run.clear();
        }
    }
    emit_run(&run, ends, emit);
    text[spaced..].unicode_words().for_each(|word| emit_folded(word, &mut folded, emit));
}

/// These scripts have no case, so there is nothing to fold.
fn emit_run(run: &str, ends: bool, emit: &mut dyn FnMut(&str)) {
    let mut starts = run.char_indices().map(|(at, _)| at).chain([run.len()]);
    let (Some(mut first), Some(mut second)) = (starts.next(), starts.next()) else { return };
    let mut single = true;
    for third in starts {
        emit(&run[first..third]);
        (first, second) = (second, third);
        single = false;
    }
    if ends || single {
        emit(&run[first..second]);
    }
}

fn emit_folded(word: &str, folded: &mut String, emit: &mut dyn FnMut(&str)) {
    folded.clear();
    for character in word.chars() {
        if folded.len() >= MAX_FOLDED {
            break;
        }
        if character.is_ascii() {
            folded.push(character.to_ascii_lowercase());
            continue;
        }
        let upper = character.to_lowercase().flat_map(char::to_uppercase);
        for lower in upper.flat_map(char::to_lowercase) {
            if !(lower == '\u{307}' && folded.ends_with('i')) {
                folded.push(lower);
            }
        }
    }
    if !folded.is_ascii() && is_nfkc_quick(folded.chars()) != IsNormalized::Yes {
        *folded = folded.nfkc().collect();
    }
    folded.truncate(folded.floor_char_boundary(MAX_WORD));
    emit(folded);
}

/// Whether a character belongs to a script that is written without spaces between words.
fn is_unspaced(character: char) -> bool {
    matches!(u32::from(character),
        0x0e00..=0x0eff       // Thai, Lao
        | 0x1000..=0x109f     // Myanmar
        | 0x1780..=0x17ff     // Khmer
        | 0x1950..=0x19df     // Tai Le, New Tai Lue
        | 0x1a20..=0x1aaf     // Tai Tham
        | 0x2e80..=0x2fdf     // Han radicals
        | 0x3005..=0x3007     // Han iteration mark and zero
        | 0x3021..=0x3029     // Hangzhou numerals
        | 0x3038..=0x303b
        | 0x3041..=0x30ff     // Hiragana, Katakana
        | 0x3100..=0x312f     // Bopomofo
        | 0x31a0..=0x31bf
        | 0x31f0..=0x31ff     // Katakana for Ainu
        | 0x3400..=0x4dbf     // Han
        | 0x4e00..=0x9fff
        | 0xa9e0..=0xa9ff     // Myanmar
        | 0xaa60..=0xaadf     // Myanmar, Tai Viet
        | 0xf900..=0xfaff     // Han, compatibility
        | 0x1aff0..=0x1b16f   // Kana
        | 0x20000..=0x3ffff   // Han
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_document(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        document_words(text, &mut |word| found.push(word.to_owned()));
        found
    }

    #[test]
    fn words_end_at_unicode_word_boundaries() {
        assert_eq!(
            of_document("The quick (\"brown\") fox can't jump 32.3 feet"),
            ["the", "quick", "brown", "fox", "can't", "jump", "32.3", "feet"]
        );
        assert_eq!(of_document("Größe, naïve; москва"), ["grösse", "naïve", "москва"]);
        assert_eq!(of_document(" …!? "), [""; 0]);
    }

    #[test]
    fn case_is_ignored() {
        for (one, other) in [
            ("straße", "STRASSE"),
            ("STRAẞE", "strasse"),
            ("ΟΔΟΣ", "οδος"),
            ("ΟΔΟΣ", "οδοσ"),
            ("İstanbul", "istanbul"),
            ("i\u{307}stanbul", "ISTANBUL"),
            ("DIYARBAKIR", "dıyarbakır"),
            ("ταΐζω", "ΤΑΪ\u{301}ΖΩ"),
            ("ΰα", "Ϋ\u{301}Α"),
            ("ı\u{301}", "Í"),
        ] {
            assert_eq!(of_document(one), of_document(other), "{one} {other}");
        }
    }

    #[test]
    fn compatible_unicode_forms_are_the_same_word() {
        for (one, other) in
            [("e\u{301}te\u{301}", "été"), ("ＡＢＣ１", "abc1"), ("ｶﾞｷﾞ", "ガギ"), ("ﬁn", "fin")]
        {
            assert_eq!(of_document(one), of_document(other), "{one} {other}");
        }
    }

    #[test]
    fn unspaced_scripts_are_split_into_pairs() {
        assert_eq!(of_document("日本語"), ["日本", "本語", "語"]);
        assert_eq!(of_document("本"), ["本"]);
        assert_eq!(of_document("Rustで書く、速い2x"), ["rust", "で書", "書く", "く", "速い", "い", "2x"]);
        assert_eq!(of_document("ที่นี่").len(), "ที่นี่".chars().count());
        assert_eq!(query_words("日本語 日本"), ["日本", "本語"]);
        assert_eq!(query_words("本"), ["本"]);
    }

    #[test]
    fn long_words_are_cut_alike_in_documents_and_queries() {
        let long = "é".repeat(1_000_000);
        assert_eq!(of_document(&long), [&long[..MAX_WORD]]);
        assert_eq!(query_words(&long), of_document(&long));
        assert_eq!(query_words(&("a".repeat(127) + "ß")), ["a".repeat(127) + "s"]);
        let long = "ΐ".repeat(1_000);
        assert_eq!(of_document(&long), of_document(&"Ϊ\u{301}".repeat(1_000)));
        assert_eq!(of_document(&long).concat().len(), MAX_WORD);
    }
}
