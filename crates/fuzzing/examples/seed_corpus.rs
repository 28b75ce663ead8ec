//! Writes what the committed corpus begins with: `cargo run -p afterimage-fuzzing --example seed_corpus`.

#![expect(
    clippy::disallowed_methods,
    reason = "the corpus is written to its files"
)]

use std::{fs, io, path::Path};

use afterimage_fuzzing::BODIES;

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for body in BODIES {
        let folder = corpus.join(body.name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in (body.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
