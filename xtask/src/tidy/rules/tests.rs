//! Every rule, seen failing on a bad sample and silent on a good one.

use super::check_file;

/// The rules that a file breaks, each as often as it does.
fn broken(path: &str, text: &str) -> Vec<&'static str> {
    check_file(path, text)
        .into_iter()
        .map(|finding| finding.rule)
        .collect()
}

fn source(code: &str) -> String {
    format!("//! A sample.\n{code}\n")
}

fn lines(count: usize) -> String {
    format!("//! A sample.\n{}", "// x\n".repeat(count - 1))
}

#[test]
fn good_code_breaks_nothing() {
    let good = source("/// Waits, todo!() in a comment.\nfn f() -> &'static str { \"todo!()\" }");
    assert!(broken("crates/x/src/y.rs", &good).is_empty());
}

#[test]
fn a_file_without_module_doc() {
    assert_eq!(broken("x.rs", "fn f() {}\n"), ["module-doc"]);
    assert_eq!(broken("x.rs", "\n//! Late.\n"), ["module-doc"]);
}

#[test]
fn a_file_too_long_for_its_crate() {
    assert!(broken("crates/fastport/src/x.rs", &lines(600)).is_empty());
    assert_eq!(
        broken("crates/fastport/src/x.rs", &lines(601)),
        ["file-lines"]
    );
    assert!(broken("crates/fastport-engine/src/x.rs", &lines(400)).is_empty());
    assert_eq!(
        broken("crates/fastport-engine/src/x.rs", &lines(401)),
        ["file-lines"]
    );
    assert_eq!(
        broken("crates/fastport-buffer/src/x.rs", &lines(401)),
        ["file-lines"]
    );
}

#[test]
fn a_line_too_long_counts_characters_not_bytes() {
    let exactly = source(&format!("// {}", "\u{e9}".repeat(97)));
    assert!(broken("x.rs", &exactly).is_empty());
    let longer = source(&format!("// {}", "x".repeat(98)));
    assert_eq!(broken("x.rs", &longer), ["line-chars"]);
}

#[test]
fn a_function_too_long() {
    let body = |count: usize| source(&format!("fn f() {{\n{}}}", "    g();\n".repeat(count)));
    assert!(broken("x.rs", &body(68)).is_empty());
    assert_eq!(broken("x.rs", &body(69)), ["function-lines"]);
}

#[test]
fn a_method_is_measured_though_its_impl_is_longer() {
    let method = format!(
        "    fn f(&self) {{\n{}    }}\n",
        "        g();\n".repeat(60)
    );
    let good = source(&format!(
        "impl X {{\n{}{}}}",
        method,
        method.replace("fn f", "fn h")
    ));
    assert!(broken("x.rs", &good).is_empty());
}

#[test]
fn declarations_pointers_and_braces_in_literals_are_no_functions() {
    let far = "// x\n".repeat(80);
    let sample = source(&format!(
        "trait T {{ fn f(&self, x: [u8; 4]); }}\ntype P = fn (u8);\n\
         fn g() {{ h(\"{{\", '{{') }}\n{far}"
    ));
    assert!(broken("x.rs", &sample).is_empty());
}

#[test]
fn banned_words_in_code() {
    assert_eq!(
        broken("x.rs", &source("fn f() { std::thread::sleep(D) }")),
        ["sleep"]
    );
    assert_eq!(broken("x.rs", &source("fn f() { todo!() }")), ["later"]);
    assert_eq!(
        broken("x.rs", &source("fn f() { unimplemented!() }")),
        ["later"]
    );
    assert_eq!(
        broken("x.rs", &source("fn f() { Instant::now(); }")),
        ["clock"]
    );
    assert!(broken("x.rs", &source("fn f() { my_todo!(); MyInstant::now() }")).is_empty());
}

#[test]
fn locks_that_are_not_counted() {
    let inside = "crates/fastport/src/x.rs";
    for code in [
        "use parking_lot::Mutex;",
        "use std::sync::{Arc, RwLock};",
        "static S: std::sync::Mutex<()> = X;",
    ] {
        assert_eq!(broken(inside, &source(code)), ["lock"]);
        for elsewhere in ["crates/fastport/src/lock.rs", "crates/x/src/y.rs"] {
            assert!(broken(elsewhere, &source(code)).is_empty());
        }
    }
    let counted = source("use crate::lock::Mutex;\nuse std::sync::Arc;");
    assert!(broken(inside, &counted).is_empty());
}

#[test]
fn file_names_that_say_nothing() {
    let good = source("");
    assert_eq!(broken("crates/x/src/y/mod.rs", &good), ["file-name"]);
    for stem in ["util", "utils", "misc", "helper", "helpers", "common"] {
        assert_eq!(
            broken(&format!("crates/x/src/{stem}.rs"), &good),
            ["file-name"]
        );
    }
    assert!(broken("crates/x/src/model.rs", &good).is_empty());
}

#[test]
fn a_crate_root_that_does_not_forbid_unsafe() {
    let plain = source("");
    let forbids = source("#![forbid(unsafe_code)]");
    for root in [
        "crates/x/src/lib.rs",
        "xtask/src/main.rs",
        "bench/src/bin/x.rs",
        "bench/src/bin/x/main.rs",
    ] {
        assert_eq!(broken(root, &plain), ["forbid-unsafe"], "{root}");
        assert!(broken(root, &forbids).is_empty(), "{root}");
    }
    assert_eq!(
        broken("crates/x/src/lib.rs", &source("// #![forbid(unsafe_code)]")).len(),
        1
    );
    assert!(broken("crates/fastport-engine/src/lib.rs", &plain).is_empty());
    assert!(broken("crates/x/src/other.rs", &plain).is_empty());
}

/// The sample paths are put together here, since the rule reads this file too.
#[test]
fn paths_of_one_machine_in_any_file() {
    for folder in ["work", "root", "home", "Users"] {
        let sample = format!("see `{}{folder}/x`\n", '/');
        assert_eq!(broken("README.md", &sample), ["machine-path"], "{folder}");
        assert_eq!(
            broken("run.sh", &format!("cd {}{folder}\n", '/')),
            ["machine-path"]
        );
    }
    let good = "io/work, $HOME/work/x, ./home/x, a/root-cause, /workers/x, https://x.org/home\n";
    assert!(broken("README.md", good).is_empty());
}
