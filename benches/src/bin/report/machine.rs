//! What the numbers were measured on.

use std::process::Command;

use sysinfo::System;

pub(crate) fn description() -> anyhow::Result<String> {
    let mut system = System::new()?;
    system.refresh_cpu_all();
    system.refresh_memory();
    let cpu = system.cpus().first().map_or("unknown", |cpu| cpu.brand());
    let memory = system.total_memory() as f64 / f64::from(1 << 30);
    Ok(format!(
        "Machine: {cpu}, {} {} cores as the machine shows them, {memory:.0} GiB of memory,\n\
         {}. Compiler: {}, profile `release`, no flags for this\n\
         processor; curve arithmetic chooses its instructions when it runs.\n\n\
         Times are processor time of one thread, the median of criterion's samples: waiting\n\
         for a core is not in them, caches that other work has filled are. The whole process\n\
         is measured by the clock.\n\n",
        system.cpus().len(),
        std::env::consts::ARCH,
        System::name()?,
        compiler(),
    ))
}

fn compiler() -> String {
    let version = Command::new("rustc").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    // Name and number; what follows is a date.
    version.unwrap_or_default().split(' ').take(2).collect::<Vec<_>>().join(" ")
}
