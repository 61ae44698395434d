//! The fuzz targets, as an ordinary test: over their seeds, and over random changes of them.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::path::Path;

/// Changed inputs for each target.
const ROUNDS: usize = 20_000;

/// Numbers that look random and are the same in every run (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).expect("usize fits")).expect("it is below")
    }

    fn byte(&mut self) -> u8 {
        // Letters, digits and JSON's own characters more often than the rest.
        const USUAL: &[u8] = b"aZ09_-.:@~{}[]\",\\ \n\x00\x1b\xe2\x80\xae";
        match self.below(3) {
            0 => self.next().to_le_bytes()[0],
            _ => USUAL[self.below(USUAL.len())],
        }
    }

    /// The seed with a few bytes put in, left out, replaced or repeated.
    fn change(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut data = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(data.len() + 1);
            match self.below(5) {
                0 => data.insert(at, self.byte()),
                1 if at < data.len() => drop(data.remove(at)),
                2 if at < data.len() => data[at] = self.byte(),
                3 => data.truncate(at),
                _ => {
                    let piece = data[at..].to_vec();
                    let to = self.below(data.len() + 1);
                    data.splice(to..to, piece);
                }
            }
        }
        data
    }
}

fn run(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("a folder of seeds")
        .map(|file| file.expect("a file").path())
        .collect();
    files.sort();
    let seeds: Vec<_> =
        files.iter().map(|path| std::fs::read(path).expect("a seed can be read")).collect();
    assert!(!seeds.is_empty(), "no seeds in {}", folder.display());
    for seed in &seeds {
        target(seed);
    }
    let mut dice = Dice(7);
    for round in 0..ROUNDS {
        let changed = dice.change(&seeds[round % seeds.len()]);
        target(&changed);
    }
}

#[test]
fn names() {
    run("names", targets::names);
}

#[test]
fn tokens() {
    run("tokens", targets::tokens);
}

#[test]
fn cursors() {
    run("cursors", targets::cursors);
}

#[test]
fn requests() {
    run("requests", targets::requests);
}
