//! The load generator against servers that do wrong: every fault must show, none may hang it.

use fastport_testkit::programs::started;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;

/// Serves raw echo wrongly: `answer` changes the frames that go back.
fn server(answer: fn(&mut Vec<u8>, usize) -> bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    // They end with the test's process; a failed test must not wait for them.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, answer));
        }
    });
    address
}

fn serve(mut stream: TcpStream, answer: fn(&mut Vec<u8>, usize) -> bool) {
    let mut header = [0; 4];
    for index in 0.. {
        if stream.read_exact(&mut header).is_err() {
            return;
        }
        let size = usize::from(u16::from_be_bytes([header[0], header[1]]));
        let mut frame = header.to_vec();
        frame.resize(size, 0);
        if stream.read_exact(&mut frame[4..]).is_err() {
            return;
        }
        if !answer(&mut frame, index) || stream.write_all(&frame).is_err() {
            return;
        }
    }
}

/// A run that does not wait for its time limit, which is long since machines are busy.
fn bench(address: &str, flags: &str) -> Output {
    bench_within("20s", address, flags)
}

fn bench_within(timeout: &str, address: &str, flags: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fastport"));
    command
        .args(["bench", "--raw", "--connect", address])
        .args(["--sessions", "4", "--warmup", "2"])
        .args(["--iterations", "400", "--timeout", timeout])
        .args(flags.split_whitespace())
        .stdin(Stdio::null());
    started(|| command.output())
}

/// The run failed, and said why.
fn assert_failed(output: &Output, why: &str) {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(out.contains("FAILED") && out.contains(why), "{out}{err}");
    assert!(err.contains("1 of 1 runs failed"), "{err}");
}

#[test]
fn an_honest_server_passes() {
    let output = bench(&server(|_, _| true), "--verify");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn one_changed_byte_fails_a_verified_run() {
    let address = server(|frame, index| {
        if index == 50 {
            frame[30] ^= 1;
        }
        true
    });
    assert_failed(&bench(&address, "--verify"), "other content");
    assert!(
        bench(&address, "").status.success(),
        "without --verify contents are not compared"
    );
}

#[test]
fn another_size_or_id_fails_any_run() {
    let shorter = server(|frame, index| {
        if index == 50 {
            frame.pop();
            let size = u16::try_from(frame.len()).expect("a frame").to_be_bytes();
            frame[..2].copy_from_slice(&size);
        }
        true
    });
    assert_failed(&bench(&shorter, ""), "another size");
    let other = server(|frame, index| {
        frame[3] = if index == 50 { 9 } else { frame[3] };
        true
    });
    assert_failed(&bench(&other, ""), "packet id 0x0009");
}

/// A raw response has no number: the one too many is taken for the next request's, until contents
/// tell.
#[test]
fn a_response_too_many_fails_a_verified_run() {
    let address = server(|frame, index| {
        if index == 50 {
            frame.extend_from_within(..);
        }
        true
    });
    assert_failed(&bench(&address, "--verify"), "other content");
}

#[test]
fn a_lost_session_fails_a_run() {
    let output = bench(&server(|_, index| index < 50), "");
    assert_failed(&output, "4 lost");
}

#[test]
fn a_server_that_falls_silent_is_given_up_in_either_loop_and_phase() {
    /// Takes the frame and never answers again; the connection stays.
    fn silent_from(first: usize, frame: &mut Vec<u8>, index: usize) -> bool {
        if index >= first {
            frame.clear();
        }
        true
    }
    let in_warmup = server(|frame, index| silent_from(1, frame, index));
    let measured = server(|frame, index| silent_from(50, frame, index));
    for (address, flags) in [
        (&in_warmup, ""),
        (&measured, ""),
        (&measured, "--rate 4000"),
    ] {
        let output = bench_within("1s", address, flags);
        assert_failed(&output, "nothing came back for 1s");
    }
}

#[test]
fn json_tells_of_a_failed_run_by_its_numbers() {
    let output = bench(&server(|_, index| index < 50), "--json");
    assert_eq!(output.status.code(), Some(1));
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(object["connection_losses"], 4);
    let (asked, answered) = (&object["measured_requests"], &object["measured_responses"]);
    assert!(asked.as_u64() > answered.as_u64(), "{object}");
}

#[test]
fn a_file_of_another_kind_is_refused_before_the_run() {
    let name = format!("fastport-faults-{}.csv", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, "name,value\n").expect("a file");
    let flags = format!("--output {}", path.display());
    let output = bench(&server(|_, _| true), &flags);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err.contains("choose another file") && output.stdout.is_empty(),
        "{err}"
    );
    assert_eq!(
        std::fs::read_to_string(&path).expect("the file"),
        "name,value\n"
    );
    std::fs::remove_file(&path).expect("the file");
}

#[test]
fn churn_makes_a_connection_for_each_request_and_loses_none() {
    let flags = "--scenario churn --verify --json";
    let output = bench(&server(|_, _| true), flags);
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert!(output.status.success(), "{object}");
    // 4 places, 2 warm-up connections each, 400 measured.
    assert_eq!(object["warmup_responses"], 8);
    assert_eq!(object["measured_responses"], 400);
    assert_eq!(object["connected_sessions"], 408);
    assert_eq!(object["connection_losses"], 0);
}

#[test]
fn churn_fails_for_a_close_without_answer_a_wrong_one_and_silence() {
    let closing = bench(&server(|_, _| false), "--scenario churn");
    assert_failed(&closing, "closed the connection");
    let other = server(|frame, _| {
        frame[3] = 9;
        true
    });
    assert_failed(&bench(&other, "--scenario churn"), "packet id 0x0009");
    let silent = server(|frame, _| {
        frame.clear();
        true
    });
    let silent = bench_within("1s", &silent, "--scenario churn");
    assert_failed(&silent, "nothing came back for 1s");
}
