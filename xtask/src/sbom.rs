//! The bill of materials: which crates are in the released program, as CycloneDX 1.5 JSON.
//!
//! Made from `cargo metadata` and the checksums of Cargo.lock, for all systems and all features,
//! without what only tests need. It has no time and no random number in it, so that the same
//! sources have the same bill and `tidy` can tell whether the committed one is current.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::{fs, io};

/// Where the bill is.
pub(crate) const FILE: &str = "deploy/fastport.cdx.json";
/// The package whose program is released.
const PROGRAM: &str = "fastport-cli";

/// Writes the bill; tells whether that worked.
pub(crate) fn write(root: &Path) -> bool {
    let written = make(root).and_then(|bill| fs::write(root.join(FILE), bill));
    match &written {
        Ok(()) => println!("{FILE} is current"),
        Err(error) => println!("{FILE}: {error}"),
    }
    written.is_ok()
}

/// Whether the committed bill is what would be written now.
///
/// # Errors
/// When cargo does not tell, or a file can not be read.
pub(crate) fn is_current(root: &Path) -> io::Result<bool> {
    let committed = fs::read_to_string(root.join(FILE)).unwrap_or_default();
    Ok(committed == make(root)?)
}

fn make(root: &Path) -> io::Result<String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("cargo metadata: {said}")));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let checksums = checksums(&fs::read_to_string(root.join("Cargo.lock"))?);
    bill(&metadata, &checksums).ok_or_else(|| io::Error::other("cargo metadata lacks a field"))
}

/// A package of the bill, by cargo's id of it.
struct Component<'a> {
    package: &'a Value,
    depends_on: BTreeSet<&'a str>,
    /// Whether it is in the program, as opposed to what builds the program.
    is_inside: bool,
}

fn bill(metadata: &Value, checksums: &BTreeMap<String, String>) -> Option<String> {
    let by_id = |list: &'static str, value: &'static str| {
        let entries = metadata.pointer(list)?.as_array()?.iter();
        let pairs = entries.map(|entry| Some((entry.get(value)?.as_str()?, entry)));
        pairs.collect::<Option<BTreeMap<_, _>>>()
    };
    let packages = by_id("/packages", "id")?;
    let nodes = by_id("/resolve/nodes", "id")?;
    let is_program = |package: &&&Value| package["name"] == PROGRAM;
    let program = packages.values().find(is_program)?["id"].as_str()?;

    let mut components = BTreeMap::new();
    reach(program, true, &packages, &nodes, &mut components)?;
    let main = components.remove(program)?;
    let mut parts: Vec<_> = components.values().collect();
    parts.sort_by_key(|part| reference(part.package));

    let listed = parts.iter().map(|part| line(&described(part, checksums)));
    let graph = [&main].into_iter().chain(parts.iter().copied());
    let graph = graph.map(|part| {
        let needs: BTreeSet<_> = part
            .depends_on
            .iter()
            .map(|id| reference(packages[id]))
            .collect();
        line(&json!({ "ref": reference(part.package), "dependsOn": needs }))
    });
    Some(format!(
        "{{\n\"bomFormat\": \"CycloneDX\",\n\"specVersion\": \"1.5\",\n\"version\": 1,\n\
         \"metadata\": {{ \"component\": {} }},\n\"components\": [\n{}\n],\n\
         \"dependencies\": [\n{}\n]\n}}\n",
        described(&main, checksums),
        listed.collect::<Vec<_>>().join(",\n"),
        graph.collect::<Vec<_>>().join(",\n"),
    ))
}

/// One line for each entry, so that a change of one crate is a change of few lines.
fn line(entry: &Value) -> String {
    format!("  {entry}")
}

/// Adds the package and everything that it needs. A package that is reached both ways is inside.
fn reach<'a>(
    id: &'a str,
    is_inside: bool,
    packages: &BTreeMap<&'a str, &'a Value>,
    nodes: &BTreeMap<&'a str, &'a Value>,
    components: &mut BTreeMap<&'a str, Component<'a>>,
) -> Option<()> {
    if let Some(known) = components.get(id)
        && (known.is_inside || !is_inside)
    {
        return Some(());
    }
    let package = packages.get(id).copied()?;
    components.insert(
        id,
        Component {
            package,
            depends_on: BTreeSet::new(),
            is_inside,
        },
    );
    let mut depends_on = BTreeSet::new();
    for dependency in nodes.get(id)?["deps"].as_array()? {
        let kinds: Vec<_> = dependency["dep_kinds"].as_array()?.iter().collect();
        if kinds.iter().all(|kind| kind["kind"] == "dev") {
            continue;
        }
        let needed = dependency["pkg"].as_str()?;
        let builds_only = kinds.iter().all(|kind| !kind["kind"].is_null())
            || is_macro(packages.get(needed).copied()?);
        reach(
            needed,
            is_inside && !builds_only,
            packages,
            nodes,
            components,
        )?;
        depends_on.insert(needed);
    }
    components.get_mut(id)?.depends_on = depends_on;
    Some(())
}

/// Procedural macros run inside the compiler.
fn is_macro(package: &Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    targets
        .filter_map(|target| target["kind"].as_array())
        .any(|kinds| kinds.iter().any(|kind| kind == "proc-macro"))
}

fn described(component: &Component<'_>, checksums: &BTreeMap<String, String>) -> Value {
    let package = component.package;
    let (name, version) = (text(package, "name"), text(package, "version"));
    let reference = reference(package);
    let is_program = name == PROGRAM;
    let mut described = Map::new();
    let kind = if is_program { "application" } else { "library" };
    described.insert("type".into(), kind.into());
    described.insert("bom-ref".into(), reference.clone().into());
    described.insert("name".into(), name.into());
    described.insert("version".into(), version.into());
    described.insert("purl".into(), reference.into());
    if !is_program {
        let scope = if component.is_inside {
            "required"
        } else {
            "excluded"
        };
        described.insert("scope".into(), scope.into());
    }
    if let Some(licence) = package["license"].as_str() {
        // How crates wrote it before SPDX expressions.
        let expression = licence.replace('/', " OR ");
        described.insert("licenses".into(), json!([{ "expression": expression }]));
    }
    if let Some(checksum) = checksums.get(&format!("{name} {version}")) {
        let hash = json!([{ "alg": "SHA-256", "content": checksum }]);
        described.insert("hashes".into(), hash);
    }
    Value::Object(described)
}

fn reference(package: &Value) -> String {
    format!(
        "pkg:cargo/{}@{}",
        text(package, "name"),
        text(package, "version")
    )
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
}

/// SHA-256 of each registry package of a lock file, by `name version`.
fn checksums(lock: &str) -> BTreeMap<String, String> {
    let mut checksums = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let mut lines = package.lines();
            let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
            value.and_then(|rest| rest.strip_suffix('"'))
        };
        if let (Some(name), Some(version), Some(checksum)) =
            (value("name"), value("version"), value("checksum"))
        {
            checksums.insert(format!("{name} {version}"), checksum.to_owned());
        }
    }
    checksums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The program needs `a` to run, `b` to build, `c` for its tests; `b` needs `a` and `d`.
    fn metadata() -> Value {
        let package = |name: &str| {
            json!({ "id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0",
                    "targets": [{ "kind": ["lib"] }] })
        };
        let needs =
            |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        json!({
            "packages": [package(PROGRAM), package("a"), package("b"), package("c"), package("d")],
            "resolve": { "nodes": [
                { "id": PROGRAM, "deps": [
                    needs("b", json!("build")), needs("a", Value::Null), needs("c", json!("dev")),
                ] },
                { "id": "a", "deps": [] },
                { "id": "b", "deps": [needs("a", Value::Null), needs("d", Value::Null)] },
                { "id": "c", "deps": [] },
                { "id": "d", "deps": [] },
            ] },
        })
    }

    #[test]
    fn what_runs_is_required_what_builds_is_excluded_what_tests_is_absent() {
        let checksums = BTreeMap::from([("a 1.0.0".to_owned(), "00ff".to_owned())]);
        let bill = bill(&metadata(), &checksums).unwrap();
        let bill: Value = serde_json::from_str(&bill).unwrap();
        let components = bill["components"].as_array().unwrap();
        let scopes: Vec<_> = components
            .iter()
            .map(|c| (&c["name"], &c["scope"]))
            .collect();
        assert_eq!(
            scopes,
            [
                (&json!("a"), &json!("required")),
                (&json!("b"), &json!("excluded")),
                (&json!("d"), &json!("excluded")),
            ]
        );
        assert_eq!(components[0]["hashes"][0]["content"], "00ff");
        assert_eq!(
            components[0]["licenses"][0]["expression"],
            "MIT OR Apache-2.0"
        );
        assert_eq!(bill["metadata"]["component"]["type"], "application");
        assert_eq!(
            bill["dependencies"][0]["dependsOn"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn checksums_are_found_by_name_and_version() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
                    source = \"registry\"\nchecksum = \"00ff\"\n\n\
                    [[package]]\nname = \"own\"\nversion = \"0.1.0\"\n";
        let checksums = checksums(lock);
        assert_eq!(checksums.len(), 1);
        assert_eq!(checksums["a 1.0.0"], "00ff");
    }
}
