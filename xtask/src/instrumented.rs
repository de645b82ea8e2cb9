//! Builds with code generation flags that a stable compiler takes only when it is told to.
//!
//! RUSTC_BOOTSTRAP=1 is what lets a stable compiler take them. It is set for these builds alone,
//! which nobody ships; FastPort itself uses no unstable feature.

use std::path::Path;
use std::process::Command;

/// AddressSanitizer: its run-time library comes with the compiler.
pub(crate) const ADDRESS: [&str; 2] = ["-Zsanitizer=address", "--cfg=sanitizer"];

/// The compiler's own target, or `None`, told on stdout, when there is no compiler. Instrumented
/// builds name a target, so that build scripts and procedural macros are built without the flags.
pub(crate) fn host() -> Option<String> {
    let output = Command::new("rustc").arg("-vV").output().ok();
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    let host = text.as_deref().and_then(|text| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix("host: "))
    });
    if host.is_none() {
        println!("rustc -vV tells no host");
    }
    host.map(str::to_owned)
}

/// Runs cargo in the repository with these compiler flags and variables, its output shown, and
/// tells whether it went well.
pub(crate) fn cargo(
    root: &Path,
    arguments: &[&str],
    flags: &[&str],
    variables: &[(&str, &str)],
) -> bool {
    println!("$ cargo {}", arguments.join(" "));
    Command::new(env!("CARGO"))
        .args(arguments)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .envs(variables.iter().copied())
        .current_dir(root)
        .status()
        .is_ok_and(|status| status.success())
}
