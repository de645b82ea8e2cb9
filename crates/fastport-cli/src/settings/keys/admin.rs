//! The keys of `[admin]`.

use super::{Key, flag, plain, quoted, text};

pub(super) static KEYS: &[Key] = &[
    Key::new(
        "admin",
        "listen",
        |s| quoted(&s.admin.listen),
        text("addresses, separated by commas", |s, v| {
            s.admin.listen = v.into();
        }),
    )
    .about("Where to listen: 127.0.0.1:6629, unix:/run/fastport/admin.sock; none turns it off."),
    Key::new(
        "admin",
        "token_file",
        |s| quoted_path(s.admin.token_file.as_deref()),
        text("the path of a file", |s, v| {
            s.admin.token_file = Some(v.into());
        }),
    )
    .about("The file that holds the token of operators; without it FASTPORT_ADMIN_TOKEN is asked."),
    Key::new(
        "admin",
        "viewer_token_file",
        |s| quoted_path(s.admin.viewer_token_file.as_deref()),
        text("the path of a file", |s, v| {
            s.admin.viewer_token_file = Some(v.into());
        }),
    )
    .about(
        "The file that holds the token of those who may read and not act; without it \
         FASTPORT_ADMIN_VIEWER_TOKEN is asked.",
    ),
    Key::new(
        "admin",
        "hosts",
        |s| quoted(&s.admin.hosts),
        text("names, separated by commas", |s, v| {
            s.admin.hosts = v.into();
        }),
    )
    .about("Names by which browsers may call this machine, beside its addresses and localhost."),
    Key::new(
        "admin",
        "audit_file",
        |s| quoted_path(s.admin.audit_file.as_deref()),
        text("the path of a file", |s, v| {
            s.admin.audit_file = Some(v.into());
        }),
    )
    .about("The audit log: a JSON line for each action, done or refused."),
    Key::new(
        "admin",
        "bans_file",
        |s| quoted_path(s.admin.bans_file.as_deref()),
        text("the path of a file", |s, v| {
            s.admin.bans_file = Some(v.into());
        }),
    )
    .about("Where bans are kept, so that they hold after a restart."),
    Key::new(
        "admin",
        "in_band",
        |s| plain(s.admin.in_band),
        flag(|s, v| s.admin.in_band = v),
    )
    .about("Whether the game port answers the wire's admin packets too; needs a token."),
];

fn quoted_path(path: Option<&std::path::Path>) -> Option<String> {
    quoted(&path?.display().to_string())
}
