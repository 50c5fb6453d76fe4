//! Random worlds and scenarios: what happens in them, and the bytes that they leave, must be the same
//! on every host.
//!
//! `expected.txt` has a line for each: a name, the hash of everything that happened, those of the
//! world and of its files as they are at the end, and the SHA-256 of all files. Write it anew with
//!
//! ```text
//! cargo test --package tailswap-web --test native -- --ignored
//! ```
//!
//! when the engine or the simulation was meant to do something else than before: other writes, other
//! events, other lives. Never when one host alone disagrees: that is the bug this is here to find.

mod scenarios;

use sha2::{Digest, Sha256};
use tailswap::sim::scenario::Scenario;
use tailswap::sim::swarm::{ACTIONS, Faults, Life, live};
use tailswap::sim::world::{Action, World};

pub(crate) use self::scenarios::SCENARIOS;

/// What came out when it was written.
pub(crate) const EXPECTED: &str = include_str!("expected.txt");

/// Seeds of the worlds.
const SEEDS: u64 = 200;

/// A line for every world and scenario, each ending with a line break.
pub(crate) fn outcomes() -> Result<String, String> {
    let seeds = (0..SEEDS).map(|seed| {
        let (world, result) = live(&mut Life::new(seed, Faults::ALL, ACTIONS));
        let name = format!("seed-{seed}");
        result.map(|()| line(&name, &world)).map_err(|failure| format!("{name}: {failure}"))
    });
    let scenarios = SCENARIOS.iter().map(|(name, text)| {
        let failed = |why: &dyn ToString| format!("{name}: {}", why.to_string());
        let scenario: Scenario = text.parse().map_err(|error| failed(&error))?;
        let mut world = scenario.run().map_err(|error| failed(&error))?;
        world.act(&Action::End).map_err(|failure| failed(&failure))?;
        Ok(line(name, &world))
    });
    seeds.chain(scenarios).collect()
}

/// The lines that are not as expected; empty if all are.
pub(crate) fn differences(found: &str) -> String {
    let mut differences = String::new();
    let (mut expected, mut found) = (EXPECTED.lines(), found.lines());
    loop {
        match (expected.next(), found.next()) {
            (None, None) => return differences,
            (expected, found) if expected == found => {}
            (expected, found) => {
                let (expected, found) = (expected.unwrap_or("nothing"), found.unwrap_or("nothing"));
                differences += &format!("\n  expected {expected}\n     found {found}");
            }
        }
    }
}

fn line(name: &str, world: &World) -> String {
    let mut hasher = Sha256::new();
    for (name, bytes) in world.files().files() {
        for part in [name.as_bytes(), &bytes.to_vec()] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    let files: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let (trace, state, image) = (world.trace_hash(), world.state_hash(), world.files().hash());
    format!("{name} {trace:016x} {state:016x} {image:016x} {files}\n")
}
