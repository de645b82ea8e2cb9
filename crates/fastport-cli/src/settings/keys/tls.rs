//! The keys of `[tls]`.

use super::{Key, MILLISECOND, Reload, count, lasting, plain, quoted, size, text, time};
use std::path::Path;

pub(super) static KEYS: &[Key] = &[
    Key::new(
        "tls",
        "certificate_file",
        |s| quoted_path(s.tls.certificates.as_deref()),
        text("the path of a file", |s, v| {
            s.tls.certificates = Some(v.into());
        }),
    )
    .about(
        "The server's certificate and those that lead to one that clients trust, in PEM; with it \
         the server speaks TLS, and nothing else. A reload reads the file again, even when the \
         key has not changed.",
    )
    .reload(Reload::NewSessions),
    Key::new(
        "tls",
        "key_file",
        |s| quoted_path(s.tls.key.as_deref()),
        text("the path of a file", |s, v| {
            s.tls.key = Some(v.into());
        }),
    )
    .about("The certificate's private key, in PEM. A reload reads it again.")
    .reload(Reload::NewSessions),
    Key::new(
        "tls",
        "client_ca_file",
        |s| quoted_path(s.tls.client_ca.as_deref()),
        text("the path of a file", |s, v| {
            s.tls.client_ca = Some(v.into());
        }),
    )
    .about(
        "Certificates of those who vouch for clients, in PEM: with it a client must show a \
         certificate of theirs. A reload reads it again.",
    )
    .reload(Reload::NewSessions),
    Key::new(
        "tls",
        "handshake_timeout",
        |s| lasting(s.service.protection.tls_handshake_timeout),
        time(MILLISECOND, |s, v| {
            s.service.protection.tls_handshake_timeout = v;
        }),
    )
    .about("How long a client may take for its handshake.")
    .reload(Reload::Now),
    Key::new(
        "tls",
        "handshakes_max",
        |s| plain(s.service.protection.tls_handshakes_max),
        count(0, 1_000_000, |s, v| {
            s.service.protection.tls_handshakes_max = size(v);
        }),
    )
    .about("Handshakes in progress at once; further connections are closed. 0 is no limit.")
    .reload(Reload::Now),
];

fn quoted_path(path: Option<&Path>) -> Option<String> {
    quoted(&path?.display().to_string())
}
