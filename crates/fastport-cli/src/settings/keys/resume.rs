//! The keys of `[resume]`.

use super::{GIBIBYTE, Key, MILLISECOND, count, flag, lasting, plain, size, time};

pub(super) static KEYS: &[Key] = &[
    Key::new(
        "resume",
        "enabled",
        |s| plain(s.resume.enabled),
        flag(|s, v| s.resume.enabled = v),
    )
    .about(
        "Whether a client that begins with a hello (docs/session-control.md) may go on with its \
         session over its next connection; others are served as ever.",
    ),
    Key::new(
        "resume",
        "keep",
        |s| lasting(s.resume.config.keep),
        time(MILLISECOND, |s, v| s.resume.config.keep = v),
    )
    .about("How long a session whose connection ended is kept for its client."),
    Key::new(
        "resume",
        "replay_bytes_max",
        |s| plain(s.resume.config.replay_bytes_max),
        count(1_024, GIBIBYTE, |s, v| {
            s.resume.config.replay_bytes_max = size(v);
        }),
    )
    .about(
        "Bytes for each session that are kept until its client has handled them; more are \
         refused.",
    ),
    Key::new(
        "resume",
        "pauses_max",
        |s| plain(s.resume.config.pauses_max),
        count(0, 16_777_216, |s, v| s.resume.config.pauses_max = size(v)),
    )
    .about(
        "Sessions without a connection that are kept at a time, each with its bytes; further ones \
         end with their connections.",
    ),
];
