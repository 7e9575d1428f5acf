//! The library of `disk.c`, for tests of this crate and of others.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// It, built once: a process that has it in `LD_PRELOAD` has the disk of `disk.c`.
pub(crate) static SHIM: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = dir.join(format!("disk-{}.so", std::process::id()));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../host/tests/shim/disk.c");
    let mut cc = Command::new("cc");
    let built = cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
    assert!(built.unwrap().success(), "host/tests/shim/disk.c is built by cc");
    library
});
