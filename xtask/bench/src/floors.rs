//! Floors: what the least that has to be done to a compacted file's bytes takes on this machine.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::cases::Workload;
use crate::measure::Done;
use crate::stores::{Figures, Read};
use crate::usage::{Stopwatch, forget_peak, warm_memory};

/// Bytes that are compressed together: about those of a tree's node.
const PIECE: usize = 4096;
/// Reads at random places.
const RANDOM_READS: usize = 200_000;

pub(crate) fn measure(workload: Workload, folder: &Path, work: &Path) -> Result<Done> {
    let mut files = fs::read_dir(folder)?;
    let path = files.next().context("there is no compacted file")??.path();
    let mut contents = Vec::new();
    File::open(&path)?.read_to_end(&mut contents)?;
    warm_memory()?;
    let mut watch = Stopwatch::default();
    forget_peak()?;
    let mut read = Read { entries: 1, bytes: contents.len() as u64 };
    match workload {
        Workload::CopyFile => watch.time(|| copy(&path, &work.join("copy")))?,
        Workload::Checksum => {
            std::hint::black_box(watch.time(|| crc_fast::crc32_iscsi(&contents)));
        }
        Workload::Snappy => watch.time(|| compress(&contents))?,
        _ => {
            let file = File::open(&path)?;
            watch.time(|| random_reads(&file, read.bytes))?;
            read = Read { entries: RANDOM_READS as u64, bytes: (RANDOM_READS * PIECE) as u64 };
        }
    }
    Ok(Done { watch, read, figures: Figures::new() })
}

/// The library copies inside the kernel where that can.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()?;
    Ok(())
}

fn compress(contents: &[u8]) -> Result<()> {
    let mut encoder = snap::raw::Encoder::new();
    let mut out = vec![0; snap::raw::max_compress_len(PIECE)];
    for piece in contents.chunks(PIECE) {
        std::hint::black_box(encoder.compress(piece, &mut out)?);
    }
    Ok(())
}

fn random_reads(file: &File, length: u64) -> Result<()> {
    let (mut random, mut buffer) = (Pcg64Mcg::seed_from_u64(1), vec![0; PIECE]);
    for _ in 0..RANDOM_READS {
        let block = random.random_range(0..length / PIECE as u64);
        file.read_exact_at(&mut buffer, block * PIECE as u64)?;
    }
    Ok(())
}
