//! The output of a run: results go to standard output, everything else to standard error.

use std::ffi::OsString;
use std::io::{self, BufRead, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;

use super::arguments::{Color, Global};
use super::failure::{Failure, Result};
use super::table::Table;
use super::{display, stream};
use crate::engine::Warning;

/// What a run is connected to.
pub struct Setting {
    /// The working directory.
    pub directory: PathBuf,
    pub variable: fn(&str) -> Option<OsString>,
    pub output: Box<dyn Write + Send>,
    pub errors: Box<dyn Write + Send>,
    /// The columns of the terminal that shows standard output, if one does.
    pub output_width: Option<usize>,
    /// The columns of the terminal that shows standard error, if one does.
    pub errors_width: Option<usize>,
    /// Where the answers of a person are read, if there is a person.
    pub answers: Option<Box<dyn BufRead + Send>>,
}

/// The columns assumed for a terminal that does not say how wide it is.
const USUAL_WIDTH: usize = 80;

impl Setting {
    /// Returns the setting of this process.
    pub fn of_process() -> io::Result<Setting> {
        let width = || terminal_size::terminal_size().map_or(USUAL_WIDTH, |(width, _)| usize::from(width.0));
        let output_width = io::stdout().is_terminal().then(width);
        let errors_width = io::stderr().is_terminal().then(width);
        let person = io::stdin().is_terminal() && errors_width.is_some();
        Ok(Setting {
            directory: std::env::current_dir()?,
            variable: |name| std::env::var_os(name),
            output: Box::new(stream::output()),
            errors: Box::new(stream::errors()),
            output_width,
            errors_width,
            answers: person.then(|| Box::new(io::BufReader::new(io::stdin())) as Box<dyn BufRead + Send>),
        })
    }

    pub fn colored(&self, color: Color, width: Option<usize>) -> bool {
        let set = |name| (self.variable)(name).filter(|value| !value.is_empty());
        match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                width.is_some() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }
}

/// How a text looks if colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Dim,
    Strong,
    Good,
    Warning,
    Error,
    Added,
    Removed,
    Place,
    Match,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Style::Plain => "",
            Style::Dim => "2",
            Style::Strong => "1",
            Style::Good | Style::Added => "32",
            Style::Warning => "33",
            Style::Error | Style::Removed => "31",
            Style::Place => "36",
            Style::Match => "1;31",
        }
    }
}

/// Standard error. It is no failure if nobody reads it.
#[derive(Clone)]
struct Errors(Arc<Mutex<Box<dyn Write + Send>>>);

impl Errors {
    fn write(&self, text: &str) {
        let mut stream = self.0.lock();
        let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    }
}

pub struct Console {
    output: BufWriter<Box<dyn Write + Send>>,
    errors: Errors,
    output_width: Option<usize>,
    errors_width: Option<usize>,
    answers: Option<Box<dyn BufRead + Send>>,
    json: bool,
    output_colored: bool,
    errors_colored: bool,
}

impl Console {
    pub fn new(setting: Setting, global: &Global) -> Console {
        Console {
            output_colored: setting.colored(global.color, setting.output_width),
            errors_colored: setting.colored(global.color, setting.errors_width),
            output: BufWriter::with_capacity(1 << 16, setting.output),
            errors: Errors(Arc::new(Mutex::new(setting.errors))),
            output_width: setting.output_width,
            errors_width: setting.errors_width,
            answers: setting.answers,
            json: global.json,
        }
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether the output goes to a terminal.
    pub fn is_terminal(&self) -> bool {
        self.output_width.is_some()
    }

    /// Returns the columns of the terminal that shows the output, if one does.
    pub fn width(&self) -> Option<usize> {
        self.output_width
    }

    pub fn colored(&self) -> bool {
        self.output_colored
    }

    pub fn errors_colored(&self) -> bool {
        self.errors_colored
    }

    /// Writes bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).map_err(|error| Failure::output(&error))
    }

    /// Writes a line of text, in which nothing can control the terminal.
    pub fn line(&mut self, text: &str) -> Result<()> {
        self.raw(text.as_bytes())?;
        self.raw(b"\n")?;
        if self.is_terminal() { self.flush() } else { Ok(()) }
    }

    /// Writes a JSON document on a line of its own.
    pub fn document(&mut self, document: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(document).map_err(|error| Failure::output(&error.into()))?;
        self.line(&display::json(&text))
    }

    pub fn table(&mut self, table: Table) -> Result<()> {
        for (style, line) in table.lines(self.output_width) {
            let line = self.paint(style, &line);
            self.line(&line)?;
        }
        Ok(())
    }

    /// Returns the text in the given style, as it is written to the output.
    pub fn paint(&self, style: Style, text: &str) -> String {
        paint(self.output_colored, style, text)
    }

    pub fn flush(&mut self) -> Result<()> {
        self.output.flush().map_err(|error| Failure::output(&error))
    }

    /// Writes a remark for a person who is watching; programs do not get it.
    pub fn remark(&mut self, text: &str) {
        if !self.json {
            self.say(text);
        }
    }

    /// Returns what writes a remark while the run is in the middle of something.
    pub fn remark_meanwhile(&self) -> impl FnOnce(&str) + 'static {
        let errors = (!self.json).then(|| self.errors.clone());
        move |text| errors.into_iter().for_each(|errors| errors.write(&format!("{}\n", display::line(text))))
    }

    pub fn warn(&mut self, code: &str, message: &str) {
        if self.json {
            return self.say(&json!({ "warning": { "code": code, "message": message } }).to_string());
        }
        let label = paint(self.errors_colored, Style::Warning, "warning:");
        self.say(&format!("{label} {}", display::line(message)));
    }

    pub fn warn_all(&mut self, warnings: &[Warning]) {
        for warning in warnings {
            self.warn(warning.code.as_str(), &warning.message);
        }
    }

    /// Writes how the command line should have looked.
    pub fn explain(&mut self, text: &str) {
        self.say(text);
    }

    pub fn fail(&mut self, failure: &Failure) {
        let (code, message) = (failure.code(), failure.message());
        if self.json {
            return self.say(&json!({ "error": { "code": code, "message": message } }).to_string());
        }
        let label = paint(self.errors_colored, Style::Error, "error:");
        self.say(&format!("{label} {} ({code})", display::line(&message)));
    }

    /// Writes a line to standard error.
    fn say(&mut self, line: &str) {
        let _ = self.output.flush();
        let line = if self.json { display::json(line) } else { line.to_owned() };
        self.errors.write(&format!("{line}\n"));
    }

    /// Asks for confirmation.
    ///
    /// # Errors
    /// `CONFIRMATION_REQUIRED` if nobody can be asked, or the answer is no.
    pub fn confirm(&mut self, what: &str, yes: bool) -> Result<()> {
        if yes {
            return Ok(());
        }
        let Some(answers) = self.answers.as_mut().filter(|_| !self.json) else {
            return Err(Failure::unconfirmed(what));
        };
        self.errors.write(&format!("{}. Go on? [y/N] ", display::line(what)));
        let mut answer = String::new();
        let read = answers.read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
        Err(Failure::unconfirmed("nothing was changed"))
    }

    /// Returns a progress bar for a person to watch during a long operation. It appears once its length is known: at once
    /// if `length` is given, otherwise when it is set.
    pub fn bar(&self, what: &'static str, measure: Measure, length: Option<u64>) -> ProgressBar {
        if self.json || self.errors_width.is_none() || length == Some(0) {
            return ProgressBar::hidden();
        }
        let numbers = match measure {
            Measure::Files => "{pos}/{len}",
            Measure::Bytes => "{bytes}/{total_bytes}",
        };
        let style = ProgressStyle::with_template(&format!("{{msg}} {{bar:30}} {numbers} {{eta}}"));
        ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(10))
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_message(what)
    }
}

/// What a bar counts.
#[derive(Debug, Clone, Copy)]
pub enum Measure {
    Files,
    Bytes,
}

fn paint(colored: bool, style: Style, text: &str) -> String {
    if colored && style != Style::Plain && !text.is_empty() {
        format!("\x1b[{}m{text}\x1b[0m", style.code())
    } else {
        text.to_owned()
    }
}
