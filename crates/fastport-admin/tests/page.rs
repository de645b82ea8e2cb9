//! The live page in a browser: what it shows is what the server has. Needs Chromium on the path;
//! without one the test says that it skips.

use fastport_admin::client::AdminClient;
use fastport_admin::model::Action;
use fastport_testkit::programs::started;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

const BROWSERS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// The page is made from samples, one a second: so many looks at most.
const LOOKS: usize = 20;

/// Ended with the test.
struct Watched(Child);

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The document that the page's script has made, some virtual seconds after it was loaded.
fn document(browser: &str, admin: &str) -> String {
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("http://{admin}/"))
        .stderr(Stdio::null())
        .output()
        .expect("the browser runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the document lacks of a server with the session `peer`, one that was kicked, a packet that
/// nothing handles, and no connection that was refused.
fn lacking(document: &str, peer: &str) -> Vec<&'static str> {
    let chart = |name: &str| {
        let start = document.find(&format!("id=\"chart-{name}\"")).unwrap_or(0);
        let drawing = &document[start..];
        let end = drawing.find("</svg>").unwrap_or(0);
        drawing[..end].contains("<path d=\"M")
    };
    let wanted = [
        (
            "the number of sessions",
            document.contains("id=\"now-sessions\">1<"),
        ),
        ("the session's row", document.contains(peer)),
        ("the reason of the end", document.contains("kicked")),
        (
            "that nothing was refused",
            document.contains("id=\"rejects\" class=\"bars\">none<"),
        ),
        (
            "the unhandled packet",
            document.contains("no handler for their id</td><td>1</td>"),
        ),
        (
            "since when there is a chart",
            document.contains("id=\"chart-bytes-most\">last ") && !document.contains(">last 5 min"),
        ),
        ("the chart of sessions", chart("sessions")),
        ("the chart of packets", chart("packets")),
        ("the chart of bytes", chart("bytes")),
        ("the chart of handler time", chart("p99")),
    ];
    wanted
        .into_iter()
        .filter_map(|(what, is_there)| (!is_there).then_some(what))
        .collect()
}

#[test]
fn a_browser_shows_what_the_server_has() {
    let works = |browser: &&str| {
        let version = Command::new(browser).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    };
    let Some(browser) = BROWSERS.into_iter().find(works) else {
        eprintln!("skipped: there is no Chromium here");
        return;
    };
    // Where cargo puts examples: beside the folder of the test programs.
    let test = std::env::current_exe().expect("the test's own path");
    let folder = test.ancestors().nth(2).expect("deps has a parent");
    let mut command = Command::new(folder.join("examples/watched"));
    command.args(["127.0.0.1:0", "127.0.0.1:0"]);
    command.stdout(Stdio::piped());
    let mut child = started(|| command.spawn());
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let _ends_it = Watched(child);
    let mut after = |prefix: &str| {
        let line = lines.next().expect("a line").expect("text");
        line.strip_prefix(prefix).expect(prefix).to_owned()
    };
    let address = after("listening on ");
    let admin = after("admin on ");

    let echo = |peer: &mut TcpStream| {
        peer.write_all(&[0, 5, 0, 2, b'x']).expect("a frame");
        peer.read_exact(&mut [0; 5]).expect("an answer");
    };
    let mut kicked = TcpStream::connect(&address).expect("a connection");
    echo(&mut kicked);
    let client = AdminClient::new(admin.parse().expect("an address"), None).expect("a client");
    let id = client.sessions("id", None, 10).expect("a list").sessions[0].id;
    assert!(client.act(&Action::Kick { id }).expect("an outcome").done);
    let mut told = Vec::new();
    kicked.read_to_end(&mut told).expect("the end");
    let mut stays = TcpStream::connect(&address).expect("a connection");
    stays.write_all(&[0, 5, 0x7f, 0, b'x']).expect("a frame");
    let peer = stays.local_addr().expect("an address").to_string();

    let mut lacks = Vec::new();
    for _ in 0..LOOKS {
        echo(&mut stays);
        lacks = lacking(&document(browser, &admin), &peer);
        if lacks.is_empty() {
            return;
        }
    }
    panic!("the page lacks {}", lacks.join(", "));
}
