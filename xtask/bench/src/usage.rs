//! What work costs: time, the processor's time, memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use procfs::process::Process;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::time::{ClockId, clock_gettime};

/// Bytes of memory that are touched: the longest file has 4.5 GB.
const WARMED: u64 = 6 << 30;

/// Adds up what pieces of work take.
#[derive(Default)]
pub(crate) struct Stopwatch {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Stopwatch {
    /// Does a piece of work and adds what it took.
    pub(crate) fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (began, cpu_before) = (Instant::now(), cpu_time());
        let result = work();
        self.wall += began.elapsed();
        self.cpu += cpu_time().saturating_sub(cpu_before);
        result
    }
}

/// What all threads of this process, those that ended too, had of the processors.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// The most memory that this process had at once since [`forget_peak`], in bytes.
pub(crate) fn peak_memory() -> Result<u64> {
    let kibibytes = Process::myself()?.status()?.vmhwm;
    Ok(kibibytes.context("the kernel does not tell VmHWM")? * 1024)
}

/// Lets the peak begin anew, so that preparations do not count.
pub(crate) fn forget_peak() -> Result<()> {
    Ok(fs::write("/proc/self/clear_refs", "5")?)
}

/// Touches and frees more memory than a case writes. On virtual machines the first touch of a page is
/// ten times as dear as writing it, whoever does it, and what is free for some seconds goes back to
/// the host: so this is done anew for each case that writes, right before it is measured. A file in
/// memory does not count as memory of this process.
pub(crate) fn warm_memory() -> Result<()> {
    let file = File::from(memfd_create("warm", MemfdFlags::CLOEXEC)?);
    io::copy(&mut io::repeat(1).take(WARMED), &mut io::BufWriter::with_capacity(1 << 20, file))?;
    Ok(())
}
