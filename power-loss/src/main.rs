//! Power loss on real file systems. `scripts/power-loss.mjs` starts this program three times: as the disk of a virtual
//! machine, inside it to write, and inside another one to check what power losses leave of that disk.

mod check;
mod database;
mod device;
mod disk;
mod guest;
mod log;
mod losses;
mod marks;
mod migrate;
mod model;
mod random;
mod states;
mod writer;

use std::path::Path;
use std::process::ExitCode;

use guest::Settings;
use writer::Outcome;

fn run(args: &[&str]) -> Outcome<()> {
    match args {
        ["serve", image, log, socket] => {
            Ok(disk::serve(Path::new(image), Path::new(log), Path::new(socket))?)
        }
        ["serve", image, log] => Ok(device::serve(Path::new(image), Path::new(log))?),
        ["record"] => guest::record(&Settings::read()?),
        ["write", number] => writer::run(&Settings::read()?, number.parse()?),
        ["check"] => losses::check_states(&Settings::read()?),
        _ => Err("scripts/power-loss.mjs starts this program".into()),
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => {
            println!("#done {}", args.first().copied().unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("#error {error}");
            ExitCode::FAILURE
        }
    }
}
