//! The keys of `[engine]` and `[socket]`.

use super::{GIBIBYTE, Key, count, flag, plain, quoted, size, small, word};
use crate::settings::ServerSettings;
use fastport::{KeepAlive, ReceiveForm};
use std::time::Duration;

pub(super) static ENGINE: &[Key] = &[
    Key::new(
        "engine",
        "chunk_bytes",
        |s| plain(s.service.engine_config.chunk_bytes),
        count(1_024, 1 << 20, |s, v| {
            s.service.engine_config.chunk_bytes = size(v);
        }),
    )
    .about("Bytes of a receive buffer."),
    Key::new(
        "engine",
        "chunks",
        |s| plain(s.service.engine_config.chunks),
        count(2, 32_768, |s, v| {
            s.service.engine_config.chunks = u16::try_from(v).unwrap_or(u16::MAX);
        }),
    )
    .about("Receive buffers of a worker."),
    Key::new(
        "engine",
        "receive_budget",
        |s| plain(s.service.engine_config.receive_budget),
        count(4_096, GIBIBYTE, |s, v| {
            s.service.engine_config.receive_budget = size(v);
        }),
    )
    .about("Bytes received for one session in a turn before others have theirs."),
    Key::new(
        "engine",
        "submission_entries",
        |s| plain(s.service.engine_config.submission_entries),
        count(8, 32_768, |s, v| {
            s.service.engine_config.submission_entries = small(v);
        }),
    )
    .about("Entries of the submission queue (io_uring)."),
    Key::new(
        "engine",
        "completion_entries",
        |s| s.service.engine_config.completion_entries.and_then(plain),
        count(16, 65_536, |s, v| {
            s.service.engine_config.completion_entries = Some(small(v));
        }),
    )
    .about("Entries of the completion queue (io_uring); by default sized by the sessions."),
    Key::new(
        "engine",
        "direct_descriptors",
        |s| plain(s.service.engine_config.direct_descriptors),
        count(0, 1 << 20, |s, v| {
            s.service.engine_config.direct_descriptors = small(v);
        }),
    )
    .about(
        "Sessions of a worker that take none of the process's descriptors (io_uring, Linux 6.13); \
         at most as many as it may have; 0 is none.",
    ),
    Key::new(
        "engine",
        "receive_form",
        |s| {
            quoted(match s.service.engine_config.receive_form {
                ReceiveForm::Overlapped => "overlapped",
                ReceiveForm::Direct => "direct",
                ReceiveForm::Adaptive => "adaptive",
            })
        },
        word(&["adaptive", "direct", "overlapped"], |s, v| {
            s.service.engine_config.receive_form = match v {
                "overlapped" => ReceiveForm::Overlapped,
                "direct" => ReceiveForm::Direct,
                _ => ReceiveForm::Adaptive,
            };
        }),
    )
    .about("How a connection is received from (iocp)."),
    Key::new(
        "engine",
        "posted_receives",
        |s| plain(s.service.engine_config.posted_receives),
        count(0, 32_768, |s, v| {
            s.service.engine_config.posted_receives = u16::try_from(v).unwrap_or(u16::MAX);
        }),
    )
    .about("Connections of a worker that may keep a receive posted (iocp)."),
    Key::new(
        "engine",
        "skip_completions",
        |s| s.service.engine_config.skip_completions.and_then(plain),
        flag(|s, v| s.service.engine_config.skip_completions = Some(v)),
    )
    .about(
        "Whether operations that end at once queue no packet (iocp); by default where that works.",
    ),
];

pub(super) static SOCKET: &[Key] = &[
    Key::new(
        "socket",
        "nodelay",
        |s| plain(s.service.session.socket.nodelay),
        flag(|s, v| s.service.session.socket.nodelay = v),
    )
    .about("TCP_NODELAY: small packets go out at once."),
    Key::new(
        "socket",
        "keep_alive",
        |s| plain(s.service.session.socket.keep_alive.is_some()),
        flag(|s, v| {
            let keep = s
                .service
                .session
                .socket
                .keep_alive
                .take()
                .unwrap_or_default();
            s.service.session.socket.keep_alive = v.then_some(keep);
        }),
    )
    .about("Whether the kernel probes silent connections."),
    Key::new(
        "socket",
        "keep_alive_idle_s",
        |s| kept(s, |keep| keep.idle.as_secs()),
        count(1, 86_400, |s, v| {
            keep_alive(s, |keep| keep.idle = Duration::from_secs(v));
        }),
    )
    .about("Seconds of silence before the first probe."),
    Key::new(
        "socket",
        "keep_alive_interval_s",
        |s| kept(s, |keep| keep.interval.as_secs()),
        count(1, 86_400, |s, v| {
            keep_alive(s, |keep| keep.interval = Duration::from_secs(v));
        }),
    )
    .about("Seconds between probes."),
    Key::new(
        "socket",
        "keep_alive_probes",
        |s| kept(s, |keep| keep.probes.into()),
        count(1, 127, |s, v| {
            keep_alive(s, |keep| keep.probes = small(v));
        }),
    )
    .about("Probes without an answer after which the connection is given up."),
    Key::new(
        "socket",
        "notsent_bytes_max",
        |s| s.service.session.socket.notsent_bytes_max.and_then(plain),
        count(1, GIBIBYTE, |s, v| {
            s.service.session.socket.notsent_bytes_max = Some(small(v));
        }),
    )
    .about("TCP_NOTSENT_LOWAT: bytes that the kernel takes ahead of what it sends."),
    Key::new(
        "socket",
        "receive_buffer",
        |s| s.service.session.socket.receive_buffer.and_then(plain),
        count(1_024, GIBIBYTE, |s, v| {
            s.service.session.socket.receive_buffer = Some(small(v));
        }),
    )
    .about("SO_RCVBUF in bytes; by default the system's, which tunes itself."),
    Key::new(
        "socket",
        "send_buffer",
        |s| s.service.session.socket.send_buffer.and_then(plain),
        count(1_024, GIBIBYTE, |s, v| {
            s.service.session.socket.send_buffer = Some(small(v));
        }),
    )
    .about("SO_SNDBUF in bytes; by default the system's, which tunes itself."),
];

/// Changes the keep-alive settings, where `keep_alive = false` has not turned them off.
fn keep_alive(settings: &mut ServerSettings, change: impl FnOnce(&mut KeepAlive)) {
    if let Some(keep) = &mut settings.service.session.socket.keep_alive {
        change(keep);
    }
}

fn kept(settings: &ServerSettings, number: impl FnOnce(&KeepAlive) -> u64) -> Option<String> {
    let keep = settings.service.session.socket.keep_alive.as_ref()?;
    plain(number(keep))
}
