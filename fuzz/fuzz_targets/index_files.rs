#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| octoprompt_storage::engine::fuzzing::index_files(bytes));
