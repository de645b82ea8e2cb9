//! `fastport config`: what it writes is a file, what it checks is told by place, what it shows is
//! what a server would run with.

use std::path::PathBuf;
use std::process::{Command, Output};

fn fastport(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fastport"));
    command
        .args(arguments)
        .env("FASTPORT_SERVER_BACKLOG", "77")
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file of this test's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("fastport-config-{}-{name}.toml", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_new_file_is_right_and_is_never_written_over() {
    let file = Scratch::new("init");
    assert!(fastport(&["config", "init", file.path()]).status.success());
    let written = std::fs::read_to_string(&file.0).expect("the file");
    assert!(written.contains("\n# max_sessions = 10000\n"), "{written}");
    assert_eq!(text(&fastport(&["config", "init"]).stdout), written);
    assert!(fastport(&["config", "check", file.path()]).status.success());
    let again = fastport(&["config", "init", file.path()]);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&file.0).expect("the file"), written);
}

#[test]
fn a_check_tells_file_line_key_and_range() {
    let file = Scratch::new("check");
    for (settings, expected) in [
        (
            "[server]\n\nbacklok = 5\n",
            ":3: server.backlok: unknown key; [server] takes listen",
        ),
        (
            "[server]\nbacklog = 'x'\n",
            ":2: server.backlog: expected a whole number from 1 to 65535",
        ),
        ("[server]\nbacklog = 0\n", "from 1 to 65535, found 0"),
        (
            "[resume]\nreplay_bytes_max = 5\n",
            ":2: resume.replay_bytes_max: expected a whole number from 1024 to 1073741824, found 5",
        ),
        (
            "[resume]\nkeep = '0'\n",
            ":2: resume.keep: expected a duration",
        ),
        (
            "[session]\nsend_queue_max = 70000\nsend_high_watermark = 80000\n",
            ":3: session.send_high_watermark: 4096 to 70000 are allowed, found 80000",
        ),
    ] {
        std::fs::write(&file.0, settings).expect("a file");
        let output = fastport(&["config", "check", file.path()]);
        assert_eq!(output.status.code(), Some(2), "{settings}");
        let said = text(&output.stderr);
        assert!(
            said.contains(file.path()) && said.contains(expected),
            "{settings}: {said}"
        );
    }
}

#[test]
fn what_is_shown_says_where_each_value_is_from() {
    let file = Scratch::new("show");
    std::fs::write(
        &file.0,
        "[server]\nbacklog = 5\nmax_sessions = 6\nworkers = 3\n",
    )
    .expect("a file");
    let arguments = ["config", "show", "--config", file.path(), "--workers", "4"];
    let shown = text(&fastport(&arguments).stdout);
    for line in [
        ["workers = 4", "# --workers"],
        ["backlog = 77", "# FASTPORT_SERVER_BACKLOG"],
        ["max_sessions = 6", "# line 3 of the file"],
        ["accepts_posted = 256", "# default"],
    ] {
        let found = shown.lines().find(|shown| shown.starts_with(line[0]));
        assert!(
            found.is_some_and(|found| found.ends_with(line[1])),
            "{line:?} in {shown}"
        );
    }
}
