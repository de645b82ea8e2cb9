//! Builds the peer in C++, where the system has a compiler and Asio. Elsewhere it is left out.

use std::io::{self, Error};
use std::path::Path;
use std::process::Command;

/// Builds the program, unless it is newer than its source. False, with a line that says why, when
/// the system lacks something.
pub(crate) fn build(program: &Path) -> io::Result<bool> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/asio_echo.cpp");
    let changed = source.metadata()?.modified()?;
    let is_built = program.metadata().and_then(|built| built.modified());
    if is_built.is_ok_and(|built| built > changed) {
        return Ok(true);
    }
    let missing = if !runs(&["--version"]) {
        "g++"
    } else if !runs(&[
        "-fsyntax-only",
        "-x",
        "c++",
        "-include",
        "asio.hpp",
        "/dev/null",
    ]) {
        "asio.hpp (libasio-dev)"
    } else {
        return compile(&source, program).map(|()| true);
    };
    eprintln!("Asio is left out: this system has no {missing}");
    Ok(false)
}

/// Whether the compiler takes these arguments.
fn runs(arguments: &[&str]) -> bool {
    let output = Command::new("g++")
        .arg("-DASIO_STANDALONE")
        .args(arguments)
        .output();
    output.is_ok_and(|output| output.status.success())
}

fn compile(source: &Path, program: &Path) -> io::Result<()> {
    let output = Command::new("g++")
        .args(["-std=c++17", "-O2", "-DNDEBUG", "-DASIO_STANDALONE", "-o"])
        .args([program, source])
        .arg("-pthread")
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!("g++ {}: {said}", source.display())))
}
