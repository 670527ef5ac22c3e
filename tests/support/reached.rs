//! What a run of the tests reached.

use std::fmt::Display;
use std::io::Write;

/// Says it on standard output itself, which shows it even where the output of a test that passed is kept back.
pub fn reached(what: &str, numbers: impl Display) {
    let _ = writeln!(std::io::stdout(), "reached: {what}: {numbers}");
}
