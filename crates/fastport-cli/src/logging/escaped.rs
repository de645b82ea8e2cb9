//! A writer that keeps one event on one line and shows what a terminal would obey.
//!
//! What a peer sent may come into a message; control characters, and those that reorder text, are
//! written as `\n` or `\u001b` (CVE-2025-58160). Both forms are also valid inside JSON strings.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Escapes each event on its way. The formatter writes an event with one call.
pub(super) struct Escaped<W> {
    inner: W,
    /// The formatter colours what it writes. Colours are all that is let through then.
    coloured: bool,
}

impl<W> Escaped<W> {
    pub(super) const fn new(inner: W, coloured: bool) -> Self {
        Self { inner, coloured }
    }
}

impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if line.iter().all(|byte| (0x20..0x7F).contains(byte)) {
            self.inner.write_all(bytes)?;
        } else {
            let mut text = escape(&String::from_utf8_lossy(line), self.coloured);
            if line.len() < bytes.len() {
                text.push('\n');
            }
            self.inner.write_all(text.as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn escape(text: &str, coloured: bool) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\u{1B}' if coloured && is_colour(&text[at..]) => escaped.push(c),
            c if c.is_control() || is_reordering(c) => {
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// Whether the text begins with a sequence that changes colours and nothing else (SGR, ECMA-48
/// 8.3.117).
fn is_colour(text: &str) -> bool {
    let parameters = text
        .strip_prefix("\u{1B}[")
        .map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';'));
    parameters.is_some_and(|rest| rest.starts_with('m'))
}

/// Whether the character changes the order in which others are shown (Unicode's Bidi_Control), or
/// is a line of its own.
const fn is_reordering(c: char) -> bool {
    matches!(
        c,
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}' | '\u{2029}'
    ) || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::fmt::MakeWriter;

    /// What was written, shared with the test.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>, bool);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Written {
        type Writer = Escaped<Self>;

        fn make_writer(&'a self) -> Self::Writer {
            Escaped::new(self.clone(), self.1)
        }
    }

    const EVIL: &str = "name\n2026 INFO forged \u{1b}[2J \u{7f}\u{9b}31m \u{202e}txt\r";

    fn logged(json: bool, coloured: bool) -> String {
        let written = Written(Arc::default(), coloured);
        let builder = tracing_subscriber::fmt()
            .with_writer(written.clone())
            .with_ansi(coloured);
        let log = || tracing::warn!(peer = EVIL, shown = %EVIL, "{EVIL}");
        if json {
            tracing::subscriber::with_default(builder.json().finish(), log);
        } else {
            tracing::subscriber::with_default(builder.finish(), log);
        }
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_a_peer_sent_can_neither_forge_a_line_nor_steer_a_terminal() {
        for (json, coloured) in [(false, false), (false, true), (true, false)] {
            let line = logged(json, coloured);
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert!(line.ends_with('\n'), "{line:?}");
            assert!(!line.contains("\u{1b}[2J"), "{line:?}");
            let mut text = line.trim_end_matches('\n').to_owned();
            if coloured {
                assert!(text.contains("\u{1b}[0m"), "{line:?}");
                text = text.replace('\u{1b}', "");
            }
            assert!(
                !text.chars().any(|c| c.is_control() || is_reordering(c)),
                "{line:?}"
            );
        }
    }

    #[test]
    fn a_json_line_is_json_afterwards() {
        let line: serde_json::Value = serde_json::from_str(&logged(true, false)).unwrap();
        assert_eq!(line["fields"]["peer"].as_str(), Some(EVIL));
    }

    #[test]
    fn letters_of_any_script_stay() {
        assert_eq!(escape("안녕 — ça va?", false), "안녕 — ça va?");
    }
}
