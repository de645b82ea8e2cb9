//! The example runs, as the program that a reader would start.

use fastport_admin::client::AdminClient;
use fastport_admin::model::Action;
use fastport_testkit::programs::started;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

#[test]
fn the_watched_server_echoes_is_looked_at_and_drains() {
    // Where cargo puts examples: beside the folder of the test programs.
    let test = std::env::current_exe().expect("the test's own path");
    let folder = test.ancestors().nth(2).expect("deps has a parent");
    let suffix = std::env::consts::EXE_SUFFIX;
    let mut command = Command::new(folder.join(format!("examples/watched{suffix}")));
    command.args(["127.0.0.1:0", "127.0.0.1:0"]);
    command.stdout(Stdio::piped());
    let mut child = started(|| command.spawn());
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut after = |prefix: &str| {
        let line = lines.next().expect("a line").expect("text");
        line.strip_prefix(prefix).expect(prefix).to_owned()
    };
    let address = after("listening on ");
    let admin = after("admin on ");

    let mut peer = TcpStream::connect(address).expect("a connection");
    let frame = [0, 6, 0, 2, b'h', b'i'];
    peer.write_all(&frame).expect("a frame");
    let mut answer = [0; 6];
    peer.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, frame);

    let client = AdminClient::new(admin.parse().expect("an address"), None).expect("a client");
    assert_eq!(
        client
            .sessions("id", None, 10)
            .expect("a list")
            .sessions
            .len(),
        1
    );
    assert!(client.act(&Action::Drain).expect("an outcome").done);
    assert_eq!(peer.read(&mut answer).expect("the end"), 0);
    drop(peer);
    assert!(child.wait().expect("a status").success());
}
