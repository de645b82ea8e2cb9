//! The committed corpora, run without a fuzzer: what a harness found once stays found, on every
//! system, and each input of a fixed defect passes.

use fastport_fuzz_harness::{HARNESSES, canary};
use std::fs;
use std::path::Path;

/// Runs every input of the corpus of each harness; a corpus that is gone is a failure.
#[test]
fn every_input_of_each_corpus_passes() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (name, run) in HARNESSES {
        let folder = corpora.join(name);
        let inputs = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        let mut count = 0;
        for input in inputs {
            let path = input.unwrap().path();
            // Shown when the harness panics.
            println!("{}", path.display());
            run(&fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count > 0, "{folder:?} is empty");
    }
}

#[test]
fn no_harness_minds_an_empty_input() {
    for (_, run) in HARNESSES {
        run(&[]);
    }
}

#[test]
#[should_panic(expected = "planted")]
fn the_canary_has_a_defect() {
    canary::run(b"FP\xC0\xDE");
}
