//! What a run of the tests reached.

use std::fmt::Display;
use std::io::Write;

/// Writes directly to standard output, which is shown even if the output of passing tests is captured.
pub fn reached(what: &str, numbers: impl Display) {
    let _ = writeln!(std::io::stdout(), "reached: {what}: {numbers}");
}
