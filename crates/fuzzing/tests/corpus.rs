//! Every body over its committed corpus, and over edits of it, on a stable compiler.

#![expect(
    clippy::disallowed_methods,
    reason = "the corpus is read from its files"
)]

use std::path::{Path, PathBuf};

use afterimage_fuzzing::{BODIES, Body, Counting, capped, spoiled_at_random};
use afterimage_testkit::Random;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Edits of each body's corpus, spread over its files.
const EDITS: u64 = 3000;
const SEED: u64 = 1;

fn folder(body: &Body) -> PathBuf {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    fuzz.join(body.name)
}

fn corpus(body: &Body) -> Vec<Vec<u8>> {
    let folder = folder(body);
    let files = std::fs::read_dir(&folder);
    let files = files.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files
        .map(|file| file.expect("it is listed").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
        .iter()
        .map(|file| std::fs::read(file).expect("it is read"))
        .collect()
}

/// One test, not one a body: what a body allocates is counted for the whole program.
#[test]
fn no_body_fails_on_its_corpus_or_on_edits_of_it() {
    for (number, body) in (0..).zip(BODIES) {
        let corpus = corpus(body);
        for input in &corpus {
            capped(body.run, input);
        }
        let mut random = Random::new(SEED + number);
        for edit in 0..EDITS {
            let input = &corpus[usize::try_from(random.below(corpus.len() as u64)).unwrap()];
            let spoiled = spoiled_at_random(input, &mut random);
            let ran = std::panic::catch_unwind(|| capped(body.run, &spoiled));
            if let Err(panic) = ran {
                eprintln!("edit {edit} of {} with seed {SEED}: {spoiled:?}", body.name);
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn the_committed_corpus_is_small() {
    let bytes: usize = BODIES.iter().flat_map(corpus).map(|file| file.len()).sum();
    assert!(bytes < 300 << 10, "{bytes} bytes");
}
