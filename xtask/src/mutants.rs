//! `cargo xtask mutants`: makes known mistakes on purpose and sees that each is found.
//!
//! A patch in `crates/fastport-testkit/mutants` says which known mistake it makes
//! (`docs/pitfalls.md`), and what must find it: the simulation, the models, or a named test. It is
//! applied to a copy of the tree, so nothing here is touched. What finds a mistake must pass
//! without it and fail with it; a mutant that does not compile proves nothing and is a failure.

mod limits;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Where the patches are.
const PATCHES: &str = "crates/fastport-testkit/mutants";
/// The seeds that must show a mistake.
const SEEDS: &str = "0..2000";

/// What to do.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only see that each patch still applies, those of limits as well.
    #[arg(long)]
    check: bool,
    /// Take out each limit and deadline instead, and see that its attack test fails.
    #[arg(long, conflicts_with = "check")]
    limits: bool,
    /// Only write the table of docs/limits.md anew.
    #[arg(long, conflicts_with_all = ["check", "limits"])]
    limits_page: bool,
    /// Only the patches whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// One mistake.
struct Mutant {
    name: String,
    patch: PathBuf,
    pitfall: String,
    mistake: String,
    found_by: FoundBy,
}

/// What must find it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum FoundBy {
    Simulation,
    /// The models of a package.
    Models(String),
    /// `cargo test` with these words.
    Test(Vec<String>),
}

/// What a run of a proof came to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Ran {
    DoesNotBuild,
    Passed,
    Failed,
}

/// Does what was asked for; whether every mistake was found.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> bool {
    if arguments.limits_page {
        return limits::write_page(root);
    }
    if arguments.limits {
        return limits::run(root, arguments.only.as_deref());
    }
    let all = match mutants(root, arguments.only.as_deref()) {
        Ok(all) if !all.is_empty() => all,
        Ok(_) => {
            println!("no patches in {PATCHES}");
            return false;
        }
        Err(error) => {
            println!("{PATCHES}: {error}");
            return false;
        }
    };
    if arguments.check {
        let applied = all.iter().all(|mutant| applies(root, mutant));
        return limits::check(root) && applied;
    }
    match prove(root, &all) {
        Ok(found) => found,
        Err(error) => {
            println!("the copy of the tree: {error}");
            false
        }
    }
}

/// Whether every patch still applies to the tree as it is.
pub(crate) fn check(root: &Path) -> bool {
    let arguments = Arguments {
        check: true,
        limits: false,
        limits_page: false,
        only: None,
    };
    run(root, &arguments)
}

fn applies(root: &Path, mutant: &Mutant) -> bool {
    let applies = git(root, &["apply", "--check"], &mutant.patch);
    let verdict = if applies { "applies" } else { "DOES NOT APPLY" };
    println!("{verdict}: {} (pitfall {})", mutant.name, mutant.pitfall);
    applies
}

/// Makes each mistake in a copy of the tree and prints what found it.
fn prove(root: &Path, all: &[Mutant]) -> io::Result<bool> {
    let tree = root.join("target/mutants/tree");
    copy_tree(root, &tree)?;
    let mut passed = true;
    let mut rows = Vec::new();
    let mut without: BTreeMap<&FoundBy, Ran> = BTreeMap::new();
    for mutant in all {
        let began = Instant::now();
        let sound = *without
            .entry(&mutant.found_by)
            .or_insert_with(|| mutant.found_by.run(&tree));
        let applied = git(&tree, &["apply"], &mutant.patch);
        let mutated = match applied {
            true => mutant.found_by.run(&tree),
            false => Ran::DoesNotBuild,
        };
        let restored = !applied || git(&tree, &["apply", "--reverse"], &mutant.patch);
        let verdict = match (sound, applied, mutated) {
            (Ran::Failed | Ran::DoesNotBuild, ..) => "FAILS WITHOUT IT",
            (_, false, _) => "DOES NOT APPLY",
            (_, _, Ran::DoesNotBuild) => "DOES NOT BUILD",
            (_, _, Ran::Passed) => "NOT FOUND",
            (Ran::Passed, true, Ran::Failed) => "found",
        };
        println!(
            "{verdict}: {} ({:.0} s)",
            mutant.name,
            began.elapsed().as_secs_f64()
        );
        passed &= verdict == "found" && restored;
        rows.push(format!(
            "| {} | `{}` | {} | {} | {verdict} |",
            mutant.pitfall,
            mutant.name,
            mutant.mistake,
            mutant.found_by.in_words()
        ));
    }
    println!("\n| pitfall | patch | mistake | by | |\n|---|---|---|---|---|");
    rows.iter().for_each(|row| println!("{row}"));
    Ok(passed)
}

impl FoundBy {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace().map(str::to_owned);
        match words.next()?.as_str() {
            "sim" => Some(Self::Simulation),
            "models" => words.next().map(Self::Models),
            "test" => Some(Self::Test(words.collect())),
            _ => None,
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Simulation => format!("simulation, seeds {SEEDS}"),
            Self::Models(package) => format!("models of {package}"),
            Self::Test(words) => format!("`cargo test {}`", words.join(" ")),
        }
    }

    /// Builds and runs the proof in a tree.
    fn run(&self, tree: &Path) -> Ran {
        let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        match self {
            Self::Simulation => {
                let what = "--package fastport-testkit --features simulation --bin fastport-sim";
                let build = words(&format!("build --quiet --locked {what}"));
                let run = words(&format!("run --quiet --locked {what} -- --seeds {SEEDS}"));
                ran(tree, &build, &run, "")
            }
            Self::Models(package) => {
                let what = format!("test --quiet --locked --release --lib --package {package}");
                let build = words(&format!("{what} --no-run"));
                let run = words(&format!("{what} models"));
                ran(tree, &build, &run, "--cfg loom")
            }
            Self::Test(arguments) => {
                let mut run = words("test --quiet --locked");
                run.extend(arguments.iter().cloned());
                let mut build = run.clone();
                build.push("--no-run".into());
                ran(tree, &build, &run, "")
            }
        }
    }
}

fn ran(tree: &Path, build: &[String], run: &[String], flags: &str) -> Ran {
    // A build for loom is another one: they would throw each other away.
    let target = if flags.is_empty() {
        "../build"
    } else {
        "../build-loom"
    };
    let cargo = |arguments: &[String]| {
        Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(tree)
            .env("CARGO_TARGET_DIR", tree.join(target))
            .env("RUSTFLAGS", flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if !cargo(build) {
        return Ran::DoesNotBuild;
    }
    match cargo(run) {
        true => Ran::Passed,
        false => Ran::Failed,
    }
}

/// All patches, or those whose name contains `only`.
fn mutants(root: &Path, only: Option<&str>) -> io::Result<Vec<Mutant>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(PATCHES))? {
        let patch = entry?.path();
        let name = patch.file_stem().unwrap_or_default().to_string_lossy();
        let wanted = only.is_none_or(|only| name.contains(only));
        if wanted
            && patch
                .extension()
                .is_some_and(|extension| extension == "patch")
        {
            found.push(read(&name, &patch)?);
        }
    }
    found.sort_by_key(|mutant| (mutant.pitfall.parse().unwrap_or(0), mutant.name.clone()));
    Ok(found)
}

/// What the head of a patch says of `key`.
fn said(text: &str, key: &str) -> Option<String> {
    let value = |line: &str| {
        line.strip_prefix(key)?
            .strip_prefix(": ")
            .map(str::to_owned)
    };
    text.lines().find_map(value)
}

fn read(name: &str, patch: &Path) -> io::Result<Mutant> {
    let text = fs::read_to_string(patch)?;
    let line = |key| said(&text, key);
    let parts = || {
        Some(Mutant {
            name: name.to_owned(),
            patch: patch.to_path_buf(),
            pitfall: line("Pitfall")?,
            mistake: line("Mistake")?,
            found_by: FoundBy::parse(&line("Found-by")?)?,
        })
    };
    parts().ok_or_else(|| {
        let wanted = "a patch begins with Pitfall, Mistake and Found-by (sim, models or test)";
        io::Error::other(format!("{name}: {wanted}"))
    })
}

/// Copies what git knows, or would know, of the tree. What did not change keeps its time, so that
/// it is not built again.
fn copy_tree(root: &Path, tree: &Path) -> io::Result<()> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ])
        .current_dir(root)
        .output()?;
    let mut names = BTreeSet::new();
    // A patch that an interrupted run left applied is undone by this as well.
    for name in listed.stdout.split(|byte| *byte == 0) {
        let name = String::from_utf8_lossy(name);
        let (from, to) = (root.join(&*name), tree.join(&*name));
        if name.is_empty() || !from.is_file() {
            continue;
        }
        names.insert(to.clone());
        let bytes = fs::read(&from)?;
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&to, bytes)?;
    }
    remove_others(tree, &names)
}

/// Removes what is in the copy and not in the tree any more.
fn remove_others(folder: &Path, names: &BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, names)?;
        } else if !names.contains(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Runs git in a folder, which is no part of a repository above it.
fn git(folder: &Path, arguments: &[&str], patch: &Path) -> bool {
    let ceiling = folder.parent().unwrap_or(folder);
    Command::new("git")
        .args(arguments)
        .arg(patch)
        .current_dir(folder)
        .env("GIT_CEILING_DIRECTORIES", ceiling)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_says_what_finds_it() {
        assert_eq!(FoundBy::parse("sim"), Some(FoundBy::Simulation));
        let models = FoundBy::Models("fastport".into());
        assert_eq!(FoundBy::parse("models fastport"), Some(models));
        let test = FoundBy::Test(vec!["-p".into(), "fastport".into()]);
        assert_eq!(FoundBy::parse("test -p fastport"), Some(test));
        assert_eq!(FoundBy::parse("hope"), None);
    }
}
