//! The public API of each library that is released, as committed text: what users may build on.
//!
//! `cargo xtask api` compares what rustdoc says of the code with `tests/api/NAME.txt`, one item a
//! line; `--accept` writes the files anew. What was taken away or changed after a release needs a
//! version that cargo takes for another one (`0.1` to `0.2`, `1` to `2`), and is not accepted
//! before Cargo.toml has it. What was released is what CHANGELOG.md has a heading for.
//!
//! rustdoc's JSON is not stable: with a compiler whose format is not the one that is read here,
//! nothing is checked, and that is said. Linux alone, since the engines differ.

mod listing;

use crate::ci::cargo;
use listing::{Change, Listing, Version, released};
use public_api::{Builder, PublicApi};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// Options of `cargo xtask api`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write what the code has to tests/api/.
    #[arg(long)]
    accept: bool,
}

/// Set where this program is to be rustdoc: cargo starts rustdoc, and it alone may take its
/// unstable options; with RUSTC_BOOTSTRAP for all of cargo, build scripts would run again.
const AS_RUSTDOC: &str = "FASTPORT_XTASK_AS_RUSTDOC";
/// The libraries that are released, in the order of their layers.
const LIBRARIES: [&str; 5] = [
    "fastport-buffer",
    "fastport-protocol",
    "fastport-engine",
    "fastport",
    "fastport-admin",
];
const FOLDER: &str = "tests/api";
/// The format of rustdoc's JSON that the crate `public-api` of Cargo.lock reads.
const FORMAT: u64 = 57;

pub(crate) fn run(root: &Path, arguments: &Arguments) -> bool {
    if !cfg!(target_os = "linux") {
        println!("not checked: the listings are those of Linux");
        return true;
    }
    let told = compare_all(root, arguments.accept);
    told.unwrap_or_else(|error| {
        println!("the public API can not be listed: {error}");
        false
    })
}

/// The check of `cargo xtask ci`.
pub(crate) fn check(root: &Path) -> bool {
    run(root, &Arguments { accept: false })
}

fn compare_all(root: &Path, accept: bool) -> io::Result<bool> {
    if !document(root)? {
        return Ok(false);
    }
    let changelog = fs::read_to_string(root.join("CHANGELOG.md"))?;
    let released = released(&changelog);
    let mut passed = true;
    for library in LIBRARIES {
        let json = target(root).join(format!("doc/{}.json", library.replace('-', "_")));
        let text = fs::read_to_string(&json)?;
        let description: serde_json::Value = serde_json::from_str(&text)?;
        if description["format_version"] != FORMAT {
            let format = &description["format_version"];
            println!("not checked: rustdoc's format is {format} here, {FORMAT} can be read");
            return Ok(true);
        }
        let version = description["crate_version"].as_str().unwrap_or_default();
        let version = Version::parse(version).ok_or_else(|| wrong(library, "has no version"))?;
        let now = Listing {
            library: library.to_owned(),
            version,
            items: items(&json)?,
        };
        passed &= compare(root, &now, released, accept)?;
    }
    Ok(passed)
}

/// Whether the committed listing is what the code has, or may be now.
fn compare(
    root: &Path,
    now: &Listing,
    released: Option<Version>,
    accept: bool,
) -> io::Result<bool> {
    let file = format!("{FOLDER}/{}.txt", now.library);
    let committed = fs::read_to_string(root.join(&file)).unwrap_or_default();
    let change = Change::between(&Listing::parse(&committed), now);
    if committed == now.to_text() {
        println!("{}: as in {file}, {} items", now.library, now.items.len());
        return Ok(true);
    }
    print!("{}", change.to_text(&now.library));
    if let Some(refusal) = change.refusal(now.version, released) {
        println!("{}: {refusal}", now.library);
        return Ok(false);
    }
    if accept {
        fs::create_dir_all(root.join(FOLDER))?;
        fs::write(root.join(&file), now.to_text())?;
        println!("{}: {file} was written", now.library);
        return Ok(true);
    }
    println!(
        "{}: if that is meant, `cargo xtask api --accept` and commit {file}",
        now.library
    );
    Ok(false)
}

/// Has rustdoc describe all libraries. The same selection of packages as for the documentation, so
/// that what they depend on is the same and is there already.
fn document(root: &Path) -> io::Result<bool> {
    let own = env::current_exe()?;
    let environment = [
        ("RUSTDOC", own.to_string_lossy()),
        (
            "RUSTDOCFLAGS",
            "-Zunstable-options --output-format=json --cap-lints=allow".into(),
        ),
        (AS_RUSTDOC, "1".into()),
    ];
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let arguments = [
        "doc",
        "--quiet",
        "--locked",
        "--workspace",
        "--no-deps",
        "--lib",
    ];
    Ok(cargo(root, &arguments, &environment))
}

/// Does what rustdoc does, if that is what this program was started for; its exit status.
pub(crate) fn act_as_rustdoc() -> Option<u8> {
    env::var_os(AS_RUSTDOC)?;
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let rustdoc = Command::new("rustdoc")
        .args(arguments)
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove(AS_RUSTDOC)
        .status();
    let code = rustdoc.ok().and_then(|status| status.code());
    Some(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Every item of a library, one a line.
fn items(json: &Path) -> io::Result<Vec<String>> {
    let api: PublicApi = Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .build()
        .map_err(io::Error::other)?;
    let lines = api.items().map(ToString::to_string);
    Ok(lines.filter(|line| is_promised(line)).collect())
}

/// Of what the compiler implements by itself only what users rely on, and no compiler renames.
fn is_promised(line: &str) -> bool {
    let of = [
        "Freeze",
        "Unpin",
        "UnsafeUnpin",
        "UnwindSafe",
        "RefUnwindSafe",
    ];
    let mut words = line.split([' ', ':', '<']);
    !(line.starts_with("impl") && words.any(|word| of.contains(&word)))
}

fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

fn wrong(library: &str, what: &str) -> io::Error {
    io::Error::other(format!("{library} {what}"))
}

#[cfg(test)]
mod tests {
    use super::is_promised;

    #[test]
    fn what_the_compiler_adds_is_left_out_but_for_send_and_sync() {
        assert!(is_promised("impl core::marker::Send for fastport::Session"));
        assert!(!is_promised(
            "impl<T> core::marker::Freeze for fastport::A<T>"
        ));
        assert!(!is_promised(
            "impl core::panic::unwind_safe::UnwindSafe for fastport::A"
        ));
        assert!(is_promised("pub fn fastport::Unpin::of(&self)"));
    }
}
