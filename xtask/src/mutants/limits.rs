//! `cargo xtask mutants --limits`: takes each limit out and sees that its attack test fails.
//!
//! A patch in `crates/fastport-testkit/mutants/limits` takes one limit or deadline out when
//! `crate::without` says so, and names the test that must fail then. All patches are applied to one
//! copy of the tree, so that one build serves them all; a variable of the environment says which
//! limit a run is without. `docs/limits.md` has the table that the patches make.

use super::{copy_tree, git};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the patches are.
const PATCHES: &str = "crates/fastport-testkit/mutants/limits";
/// The page with their table.
const PAGE: &str = "docs/limits.md";
/// The table follows this line, up to the end of the page.
const MARK: &str = "<!-- The rest is written by `cargo xtask mutants --limits-page`. -->\n";
/// What a test may take, in seconds. One that does not end without its limit proves nothing.
const SECONDS_MAX: &str = "120";
/// Tests that run at a time: most of them wait.
const AT_ONCE: usize = 3;
/// The variable that says which limit is out.
const WITHOUT: &str = "FASTPORT_WITHOUT";
/// What each patched crate gets.
const SWITCH: &str = r#"
/// Whether a limit is out.
#[allow(dead_code)]
pub(crate) fn without(limit: &str) -> bool {
    static OUT: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let out = OUT.get_or_init(|| std::env::var("FASTPORT_WITHOUT").ok());
    out.as_deref() == Some(limit)
}
"#;

/// One limit.
struct Limit {
    name: String,
    patch: PathBuf,
    /// What a user calls it.
    limit: String,
    default: String,
    /// What a peer could do without it.
    without: String,
    /// Words behind `cargo test`, the last one the test's path.
    test: Vec<String>,
}

/// What a run of a test came to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Ran {
    Passed,
    Failed,
    Endless,
    /// There is no such test.
    Missing,
}

/// Takes out each limit whose name contains `only`; whether each test passes with its limit and
/// fails without.
pub(super) fn run(root: &Path, only: Option<&str>) -> bool {
    match prove(root, only) {
        Ok(held) => held,
        Err(error) => {
            println!("{PATCHES}: {error}");
            false
        }
    }
}

/// Whether all patches still apply, each and together, and the page has their table.
pub(super) fn check(root: &Path) -> bool {
    let limits = match limits(root) {
        Ok(limits) => limits,
        Err(error) => {
            println!("{PATCHES}: {error}");
            return false;
        }
    };
    let mut passed = true;
    for limit in &limits {
        if !git(root, &["apply", "--check"], &limit.patch) {
            println!("DOES NOT APPLY: limits/{}", limit.name);
            passed = false;
        }
    }
    let together = apply_together(root, &limits);
    if let Err(error) = &together {
        println!("DO NOT APPLY TOGETHER: {error}");
    }
    let page = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    let current = page.split_once(MARK).map(|(_, rest)| rest);
    let written = current == Some(table(&limits).as_str());
    if !written {
        println!("{PAGE} is not what the patches say: cargo xtask mutants --limits-page");
    }
    println!(
        "{} limits, each with a patch that takes it out",
        limits.len()
    );
    passed && together.is_ok() && written
}

/// Applies all patches to copies of the files that they are about.
fn apply_together(root: &Path, limits: &[Limit]) -> io::Result<()> {
    let folder = root.join("target/mutants/together");
    // It may not be there.
    let _ = fs::remove_dir_all(&folder);
    for limit in limits {
        for file in limit.files()? {
            let to = folder.join(&file);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            if !to.exists() {
                fs::copy(root.join(&file), to)?;
            }
        }
        if !git(&folder, &["apply"], &limit.patch) {
            let name = &limit.name;
            return Err(io::Error::other(format!("{name}, after those before it")));
        }
    }
    Ok(())
}

/// Writes the table of the page anew.
pub(super) fn write_page(root: &Path) -> bool {
    let write = || {
        let page = fs::read_to_string(root.join(PAGE))?;
        let (head, _) = page.split_once(MARK).ok_or_else(|| {
            let wanted = format!("{PAGE} has no line {MARK:?}");
            io::Error::other(wanted)
        })?;
        let text = format!("{head}{MARK}{}", table(&limits(root)?));
        fs::write(root.join(PAGE), text)
    };
    write().inspect_err(|error| println!("{error}")).is_ok()
}

fn prove(root: &Path, only: Option<&str>) -> io::Result<bool> {
    let tree = root.join("target/mutants/tree");
    copy_tree(root, &tree)?;
    let all = limits(root)?;
    take_out(&tree, &all)?;
    let wanted = |limit: &&Limit| only.is_none_or(|only| limit.name.contains(only));
    let chosen: Vec<&Limit> = all.iter().filter(wanted).collect();
    let targets: BTreeSet<&[String]> = chosen.iter().map(|limit| limit.target()).collect();
    for target in targets {
        println!("building: cargo test {}", target.join(" "));
        let mut build = Command::new(env!("CARGO"));
        let build = in_tree(&mut build, &tree, target).arg("--no-run");
        if !build.status()?.success() {
            return Ok(false);
        }
    }
    let verdicts = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(limit) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = limit.verdict(&tree);
                    println!("{verdict}: {}", limit.name);
                    if let Ok(mut verdicts) = verdicts.lock() {
                        verdicts.insert(limit.name.clone(), verdict);
                    }
                }
            });
        }
    });
    let verdicts = verdicts.into_inner().unwrap_or_default();
    let held = verdicts.values().filter(|verdict| **verdict == HELD);
    let held = held.count();
    println!(
        "\n{held} of {} limits have a test that fails without them",
        chosen.len()
    );
    for (name, verdict) in verdicts.iter().filter(|(_, verdict)| **verdict != HELD) {
        println!("  {verdict}: {name}");
    }
    Ok(held == chosen.len() && !chosen.is_empty())
}

/// The verdict on a test that does what it should.
const HELD: &str = "held";

/// Puts the switch into each crate, and the patches into the tree.
fn take_out(tree: &Path, limits: &[Limit]) -> io::Result<()> {
    let mut crates = BTreeSet::new();
    for limit in limits {
        let files = limit.files()?.into_iter();
        crates.extend(files.filter_map(|file| Some(file.split_once("/src/")?.0.to_owned())));
        if !git(tree, &["apply"], &limit.patch) {
            return Err(io::Error::other(format!("{} does not apply", limit.name)));
        }
    }
    for name in crates {
        let library = tree.join(name).join("src/lib.rs");
        let mut file = OpenOptions::new().append(true).open(library)?;
        file.write_all(SWITCH.as_bytes())?;
    }
    Ok(())
}

impl Limit {
    /// The words that name what is built.
    fn target(&self) -> &[String] {
        self.test.split_last().map_or(&[], |(_, target)| target)
    }

    /// The test's path in its program.
    fn path(&self) -> &str {
        self.test.last().map_or("", String::as_str)
    }

    /// The files that the patch is about.
    fn files(&self) -> io::Result<Vec<String>> {
        let text = fs::read_to_string(&self.patch)?;
        let files = text.lines().filter_map(|line| line.strip_prefix("+++ b/"));
        Ok(files.map(str::to_owned).collect())
    }

    fn verdict(&self, tree: &Path) -> &'static str {
        match (self.ran(tree, ""), self.ran(tree, &self.name)) {
            (Ran::Missing, _) => "NO SUCH TEST",
            (Ran::Failed | Ran::Endless, _) => "FAILS WITH IT",
            (Ran::Passed, Ran::Passed | Ran::Missing) => "NOT HELD",
            (Ran::Passed, Ran::Endless) => "DOES NOT END WITHOUT IT",
            (Ran::Passed, Ran::Failed) => HELD,
        }
    }

    /// Runs the test without the limit `out`; with all of them if that is empty.
    fn ran(&self, tree: &Path, out: &str) -> Ran {
        let mut test = Command::new("timeout");
        test.args([SECONDS_MAX, env!("CARGO")]);
        in_tree(&mut test, tree, self.target())
            .args(["--", "--exact", self.path()])
            .env(WITHOUT, out)
            .stderr(Stdio::null());
        let Ok(output) = test.output() else {
            return Ran::Missing;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        match output.status.code() {
            Some(0) if text.contains("\nrunning 0 tests") => Ran::Missing,
            Some(0) => Ran::Passed,
            // What `timeout` says of one that it ended.
            Some(124) | None => Ran::Endless,
            Some(_) => Ran::Failed,
        }
    }
}

/// Goes on with `test` in the tree, built so that no test waits for long.
fn in_tree<'a>(command: &'a mut Command, tree: &Path, target: &[String]) -> &'a mut Command {
    command
        .args(["test", "--quiet", "--locked"])
        .args(target)
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", tree.join("../build"))
        .env("RUSTFLAGS", "")
        .env("FASTPORT_SHORT_LIMIT", "1")
}

/// All limits, by name.
fn limits(root: &Path) -> io::Result<Vec<Limit>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(PATCHES))? {
        let patch = entry?.path();
        let name = patch.file_stem().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(&patch)?;
        let limit = parse(&name, &patch, &text).ok_or_else(|| {
            let wanted = "a patch begins with Limit, Default, Without and Test";
            io::Error::other(format!("{name}: {wanted}"))
        })?;
        found.push(limit);
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn parse(name: &str, patch: &Path, text: &str) -> Option<Limit> {
    let line = |key| super::said(text, key);
    let test: Vec<String> = line("Test")?.split(' ').map(str::to_owned).collect();
    // Without its switch a patch would take the limit out of every run.
    let switched = text.contains(&format!("crate::without(\"{name}\")"));
    (switched && test.len() > 1).then_some(Limit {
        name: name.to_owned(),
        patch: patch.to_path_buf(),
        limit: line("Limit")?,
        default: line("Default")?,
        without: line("Without")?,
        test,
    })
}

/// The table of the page.
fn table(limits: &[Limit]) -> String {
    let mut table =
        "\n| Limit | Default | Without it | Test | Patch |\n|---|---|---|---|---|\n".to_owned();
    let mut rows: Vec<&Limit> = limits.iter().collect();
    rows.sort_by(|one, other| one.limit.cmp(&other.limit));
    for limit in rows {
        let test = limit.path().rsplit("::").next().unwrap_or_default();
        table += &format!(
            "| {} | {} | {} | `{test}` | {} |\n",
            limit.limit, limit.default, limit.without, limit.name
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "Limit: idle_timeout\nDefault: 60 s\nWithout: it stays\n\
                         Test: -p fastport --lib a::b\n\n+ crate::without(\"idle\")\n";

    #[test]
    fn a_patch_says_what_it_takes_out_and_has_its_switch() {
        let limit = parse("idle", Path::new("idle.patch"), PATCH).expect("a limit");
        assert_eq!((limit.target().len(), limit.path()), (3, "a::b"));
        assert!(table(&[limit]).ends_with("| idle_timeout | 60 s | it stays | `b` | idle |\n"));
        assert!(parse("other", Path::new("other.patch"), PATCH).is_none());
        assert!(parse("idle", Path::new("idle.patch"), "Limit: idle\n").is_none());
    }
}
