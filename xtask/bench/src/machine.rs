//! The machine that was measured on.

use anyhow::Result;
use procfs::{CpuInfo, Current, KernelVersion, Meminfo};

/// Its processor, cores, memory and kernel, in one line.
pub(crate) fn describe() -> Result<String> {
    let processors = CpuInfo::current()?;
    let kernel = KernelVersion::current()?;
    let memory = Meminfo::current()?.mem_total;
    Ok(format!(
        "{}, {} cores, {:.0} GiB of memory, Linux {}.{}.{}",
        processors.model_name(0).unwrap_or("unknown processor"),
        processors.num_cores(),
        memory as f64 / f64::from(1 << 30),
        kernel.major,
        kernel.minor,
        kernel.patch,
    ))
}
