//! What a link holds is enough to come to the state that it was made in.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(not(target_arch = "wasm32"))]

use tailswap::sim::Choices;
use tailswap_web::parameters::{Difference, Parameters};
use tailswap_web::recording::Recording;

const STATES: u64 = 1000;
const DIFFERENCES: [&str; 10] = [
    "rounds",
    "sata",
    "power-nothing",
    "power-some",
    "failed-sync",
    "disk-full",
    "hot",
    "rollback",
    "act begin compact",
    "act queue a=1 -b",
];

fn recorded(mut recording: Recording) -> Recording {
    while recording.advance(1000).unwrap() {}
    recording
}

#[test]
fn a_thousand_random_states_come_back_from_what_a_link_holds() {
    let (mut branches, mut later) = (0, 0);
    for seed in 0..STATES {
        let mut choices = Choices::seeded(seed);
        let device = ["nvme", "sata", "network", "disk"][choices.choose(4)];
        let rounds = ["many", "one"][choices.choose(2)];
        let value = [0.0, 60.0, 400.0][choices.choose(3)];
        // One in sixteen is long enough for a compaction.
        let actions = if seed % 16 == 0 { 4000.0 } else { (100 + choices.choose(300)) as f64 };
        let parameters = Parameters::named(seed as f64, device, rounds).unwrap();
        let parameters = parameters.of_size(value, actions).unwrap();
        let mut shown = recorded(Recording::new(parameters));
        let mut link = Vec::new();
        for _ in 0..choices.choose(3) {
            let (event, name) =
                (choices.choose(shown.events().len()), DIFFERENCES[choices.choose(10)]);
            shown = recorded(shown.fork(event, Difference::named(name).unwrap()));
            let after = shown.forked_after().unwrap();
            link.retain(|(earlier, _)| *earlier < after);
            link.push((after, name));
        }
        let event = choices.choose(shown.events().len());
        let opened = link.iter().fold(Recording::new(parameters), |from, (after, name)| {
            from.fork_after(*after, Difference::named(name).unwrap())
        });
        let opened = recorded(opened);
        let hash = |recording: &Recording| recording.world_at(event).unwrap().state_hash();
        assert_eq!(hash(&opened), hash(&shown), "seed {seed}: event {event} of {link:?}");
        let ends = [&opened, &shown].map(|run| run.world().trace_hash());
        assert_eq!(ends[0], ends[1], "seed {seed}: the end of {link:?}");
        branches += usize::from(!link.is_empty());
        later += usize::from(shown.world().progress().swaps > 0);
    }
    assert!(branches > 500 && later > 20, "{branches} branches, {later} that swapped");
}
