//! The keys of `[log]`.

use super::{Key, Reload, count, plain, quoted, size, text, word};
use crate::logging::Format;

pub(super) static LOG: &[Key] = &[
    Key::new(
        "log",
        "level",
        |s| s.log.level.as_deref().and_then(quoted),
        text("a level or filter directives", |s, v| {
            s.log.level = Some(v.into());
        }),
    )
    .about("What to log: error, warn, info, debug, trace, or directives like fastport=debug.")
    .reload(Reload::Now),
    Key::new(
        "log",
        "format",
        |s| quoted(s.log.format.name()),
        word(&["text", "json"], |s, v| {
            s.log.format = if v == "json" {
                Format::Json
            } else {
                Format::Text
            };
        }),
    )
    .about("Lines for people, or one JSON object a line."),
    Key::new(
        "log",
        "file",
        |s| {
            s.log
                .file
                .as_ref()
                .and_then(|file| quoted(&file.display().to_string()))
        },
        text("the path of a file", |s, v| s.log.file = Some(v.into())),
    )
    .about("Log to the end of this file; by default to stderr."),
    Key::new(
        "log",
        "rotate_bytes",
        |s| plain(s.log.rotate_bytes),
        count(65_536, 1 << 40, |s, v| s.log.rotate_bytes = v),
    )
    .about("A file that has so many bytes becomes FILE.1, and FILE.1 becomes FILE.2, and so on."),
    Key::new(
        "log",
        "keep_files",
        |s| plain(s.log.keep_files),
        count(0, 1_000, |s, v| s.log.keep_files = size(v)),
    )
    .about("Rotated files that are kept; the oldest is removed."),
];
