//! Settings as text: the commented file of `config init`, the table of `config show`, what a reload
//! changes.

use super::keys::{self, Key, Reload};
use super::{Origin, ServerSettings};
use std::fmt::Write;

/// A file in which every key stands with what it is for and its default, commented out.
pub(crate) fn default_file() -> String {
    let defaults = ServerSettings::default();
    let mut text = String::from(HEAD);
    for section in keys::SECTIONS {
        let _ = write!(text, "\n# {}\n[{}]\n", section.about, section.name);
        for key in section.keys() {
            let _ = write!(
                text,
                "\n# {}\n# {}.",
                key.about,
                capital(&key.field.to_string())
            );
            let _ = writeln!(text, " {}", when(key.reload));
            match (key.get)(&defaults) {
                Some(_) if depends_on_the_machine(key) => {
                    let _ = writeln!(text, "# {} =", key.name);
                }
                Some(value) => {
                    let _ = writeln!(text, "# {} = {value}", key.name);
                }
                None => {
                    let _ = writeln!(text, "# {} =", key.name);
                }
            }
        }
    }
    text
}

/// Every key with its value in force, and where that is from.
pub(crate) fn effective(settings: &ServerSettings) -> String {
    let mut text = String::new();
    for section in keys::SECTIONS {
        let _ = writeln!(text, "[{}]", section.name);
        for key in section.keys() {
            let origin = settings.origin(key);
            let line = match (key.get)(settings) {
                Some(value) => format!("{} = {value}", key.name),
                None => format!("# {} =", key.name),
            };
            let _ = writeln!(text, "{line:<44} # {origin}");
        }
        text.push('\n');
    }
    text.pop();
    text
}

/// What a reload does to the keys that differ between two settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// Changed at once, or for sessions that begin from now on.
    pub(crate) applied: Vec<String>,
    /// Changed in the file, and counting from the next start on.
    pub(crate) needs_restart: Vec<String>,
    /// Changed in the file, where something else counts before it.
    pub(crate) overridden: Vec<String>,
}

impl Changes {
    /// The key does not count: `by` comes before the file.
    pub(crate) fn override_by(&mut self, key: &str, by: &str) {
        let (overridden, applied) = std::mem::take(&mut self.applied)
            .into_iter()
            .partition(|line| line.starts_with(&format!("{key}: ")));
        self.applied = applied;
        self.overridden = overridden;
        for line in &mut self.overridden {
            line.push_str(&format!(" ({by} counts before it)"));
        }
    }

    /// Whether nothing differs.
    pub(crate) fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.needs_restart.is_empty() && self.overridden.is_empty()
    }
}

/// Compares the settings in force with new ones.
pub(crate) fn changes(old: &ServerSettings, new: &ServerSettings) -> Changes {
    let mut changes = Changes::default();
    for key in keys::all() {
        let (before, after) = ((key.get)(old), (key.get)(new));
        if before == after {
            continue;
        }
        let shown = |value: Option<String>| value.unwrap_or_else(|| "unset".into());
        let (before, after) = (shown(before), shown(after));
        let line = format!("{}: {before} -> {after}", key.path());
        match key.reload {
            Reload::Restart => changes.needs_restart.push(line),
            Reload::Now => changes.applied.push(line),
            Reload::NewSessions => changes.applied.push(format!("{line} (for new sessions)")),
        }
    }
    changes
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(line) => write!(f, "line {line} of the file"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// Whether the default is not the same everywhere, so that a file must not pin it.
fn depends_on_the_machine(key: &Key) -> bool {
    key.path() == "server.workers"
}

fn when(reload: Reload) -> &'static str {
    match reload {
        Reload::Restart => "Counts from the next start on.",
        Reload::Now => "A reload changes it at once.",
        Reload::NewSessions => "A reload changes it for new sessions.",
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

const HEAD: &str = "\
# FastPort's settings. Every key is here with its default, commented out.
#
# What counts, the first that says something: a flag (--workers 4), a variable of the environment
# (FASTPORT_SERVER_WORKERS=4), this file, the default. `fastport config check FILE` tells what is
# wrong with a file, `fastport config show` what is in force and from where. SIGHUP, or
# `fastport admin reload`, reads the file again.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::file;

    fn read(text: &str) -> ServerSettings {
        let mut settings = ServerSettings::default();
        file::apply_text("test.toml".as_ref(), text, &mut settings).unwrap();
        settings
    }

    /// With every comment sign of a value gone the file says the defaults, so each documented
    /// default is the real one and each documented key is known.
    #[test]
    fn the_file_says_the_defaults() {
        let text = default_file();
        let mut said = String::new();
        for line in text.lines() {
            let value = line.strip_prefix("# ").filter(|rest| {
                let name = rest.split(" = ").next().unwrap_or_default();
                rest.contains(" = ") && keys::all().any(|key| key.name == name)
            });
            let _ = writeln!(said, "{}", value.unwrap_or(line));
        }
        let settings = read(&said);
        let defaults = ServerSettings::default();
        for key in keys::all() {
            assert_eq!((key.get)(&settings), (key.get)(&defaults), "{}", key.path());
            assert!(
                text.contains(&format!("\n# {} =", key.name)),
                "{}",
                key.path()
            );
            let commented = (key.get)(&defaults).is_none() || depends_on_the_machine(key);
            assert_eq!(
                settings.origin(key) == Origin::Default,
                commented,
                "{}",
                key.path()
            );
        }
        assert_eq!(read(&text).origins.len(), 0);
    }

    #[test]
    fn a_change_is_told_with_when_it_counts() {
        let old = read("[server]\nmax_sessions = 5\n");
        let new = read("[server]\nmax_sessions = 6\nworkers = 9\n[session]\nidle_timeout = '7s'\n");
        let changes = changes(&old, &new);
        assert_eq!(
            changes.applied,
            [
                "server.max_sessions: 5 -> 6",
                "session.idle_timeout: \"1m\" -> \"7s\" (for new sessions)"
            ]
        );
        assert_eq!(changes.needs_restart.len(), 1);
        assert!(changes.needs_restart[0].ends_with("-> 9"));
    }

    #[test]
    fn what_is_in_force_is_shown_with_its_origin() {
        let shown = effective(&read("[server]\n\nmax_sessions = 5\n"));
        let line = |start: &str| {
            let found = shown.lines().find(|line| line.starts_with(start));
            found.unwrap_or_default().to_owned()
        };
        assert!(
            line("max_sessions = 5 ").ends_with("# line 3 of the file"),
            "{shown}"
        );
        assert!(line("backlog = 1024 ").ends_with("# default"), "{shown}");
        // It is a file itself.
        assert_eq!(read(&shown).service_config().sessions_max, 5);
    }
}
