//! A file to begin with, made by the engine itself: some documents, changed, deleted and rolled back, so
//! that there is something of everything in it.

use tailswap::Result;
use tailswap::format::names::file_name;
use tailswap::sim::disk::{DiskRules, Profile};
use tailswap::sim::machines::{Machines, VBUCKET};

/// Commits, and documents that each changes.
const COMMITS: u64 = 30;
const CHANGES: u64 = 14;
/// Documents that there are.
const DOCUMENTS: u64 = 120;
/// After so many commits the last few are given up.
const ROLLED_BACK_AT: u64 = 20;
const ROLLED_BACK_BY: u64 = 3;

/// The bytes of the sample.
///
/// # Errors
/// None: nothing fails in memory.
pub fn sample() -> Result<Vec<u8>> {
    let mut machines = Machines::new(DiskRules::new(Profile::Journaled));
    machines.create()?;
    for commit in 0..COMMITS {
        for change in 0..CHANGES {
            let number = commit * CHANGES + change;
            // The first few documents are changed more often than others.
            let document =
                if number.is_multiple_of(3) { number % 10 } else { number * 7 % DOCUMENTS };
            let lines: Vec<String> = (0..8 + number % 23)
                .map(|line| {
                    let (item, cents) =
                        ((number * 97 + line * 7919) % 90_017, number * line % 9973);
                    format!(r#"{{"item":{item},"cents":{cents}}}"#)
                })
                .collect();
            let lines = lines.join(",");
            let value = format!(r#"{{"order":{document},"change":{number},"lines":[{lines}]}}"#);
            let is_deleted = number % 11 == 10;
            let value = (!is_deleted).then(|| value.into_bytes());
            machines.push(&format!("order-{document:03}"), value)?;
        }
        machines.flush()?;
        if commit == ROLLED_BACK_AT {
            let seq = (commit + 1 - ROLLED_BACK_BY) * CHANGES;
            let rollback = machines.begin_rollback(seq)?;
            machines.finish_operation(rollback)?;
        }
    }
    machines.save_locals(&[("_local/till", Some(r#"{"open":true}"#))])?;
    let bytes = machines.volume.bytes_of(&file_name(VBUCKET, 1), 0);
    Ok(bytes.unwrap_or_default())
}
