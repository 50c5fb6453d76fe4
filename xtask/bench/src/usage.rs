//! What work costs: time, the processor's time, memory.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use procfs::process::Process;
use rustix::time::{ClockId, clock_gettime};

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

/// Touches and frees memory: on virtual machines the first touch of a page is dear, whoever does it.
pub(crate) fn warm_memory(bytes: usize) {
    let mut memory = vec![0_u8; bytes];
    for page in memory.chunks_mut(4096) {
        page.fill(1);
    }
    std::hint::black_box(memory);
}
