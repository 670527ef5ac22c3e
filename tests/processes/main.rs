//! Several real processes on one database: each document behaves like one register, whoever reads and writes it.
//!
//! `PROCESS_SECONDS=600 cargo test --test processes` runs longer.
#![cfg(unix)]

mod history;
mod holder;
mod limits;
#[path = "../support/reached.rs"]
mod reached;
mod registers;
#[path = "../support/mod.rs"]
mod support;
mod worker;
