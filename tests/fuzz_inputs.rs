//! What fuzzing once found, and what it begins with, through the same functions (fuzz/src): an input that showed a bug is a file
//! in tests/data/fuzz/TARGET and must pass from then on. `scripts/fuzz` looks for more.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod targets;

/// Runs every file of `folder`/TARGET; how many there were.
fn run_all(folder: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut ran = 0;
    for (name, run) in targets::TARGETS {
        let Ok(inputs) = fs::read_dir(folder.join(name)) else { continue };
        for input in inputs {
            let path = input.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let passed = catch_unwind(AssertUnwindSafe(|| run(&bytes))).is_ok();
            assert!(passed, "{} fails in {name}", path.display());
            ran += 1;
        }
    }
    ran
}

#[test]
fn inputs_that_once_failed_pass() {
    run_all("tests/data/fuzz");
}

#[test]
fn the_texts_that_fuzzing_begins_with_pass() {
    assert!(run_all("fuzz/seeds") >= 10);
}

/// Of kcat, aiokafka and Kafka's own tools (tests/clients/capture.py): all of it is read, and passes as it is.
#[test]
fn what_real_clients_send_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures");
    let mut frames = 0;
    for path in fs::read_dir(folder).unwrap() {
        for line in fs::read_to_string(path.unwrap().path()).unwrap().lines() {
            let hex = line.split(' ').next_back().unwrap();
            let frame: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect();
            let mut request = tollgate::wire::Request::parse(frame.clone().into()).unwrap();
            request.body().unwrap();
            targets::requests::run(&frame);
            frames += 1;
        }
    }
    assert!(frames > 50, "{frames}");
}

/// A target that panics at nothing would pass everything.
#[test]
fn every_target_takes_nothing_and_is_listed() {
    for (name, run) in targets::TARGETS {
        run(&[]);
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/fuzz_targets/{name}.rs"));
        assert!(target.exists(), "{}", target.display());
    }
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets")).unwrap();
    assert_eq!(files.count(), targets::TARGETS.len());
}
