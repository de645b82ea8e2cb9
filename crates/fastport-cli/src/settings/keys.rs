//! The keys of the configuration file: where each belongs, what it takes, what it reads and sets.
//!
//! One table entry per key is all that there is to a key: reading a file, the environment, `config
//! init`, `config show` and a reload go by it. The tables are in the folder, by section.

mod admin;
mod engine;
mod operate;
mod protection;
mod resume;
mod server;
mod session;
mod tls;

pub(super) use protection::packet_rate;

use super::ServerSettings;
use crate::quantity::show_duration;
use fastport::{AddressSet, PacketRate};
use std::fmt;
use std::time::Duration;

/// One key of the file.
pub(super) struct Key {
    /// The table it stands in.
    pub(super) section: &'static str,
    /// Its name.
    pub(super) name: &'static str,
    /// What it is for, in a sentence or two.
    pub(super) about: &'static str,
    /// Whether a running server takes a new value.
    pub(super) reload: Reload,
    /// What it takes and sets.
    pub(super) field: Field,
    /// The value in force as the file would say it, or `None` while nothing is set.
    pub(super) get: fn(&ServerSettings) -> Option<String>,
}

/// When a changed value counts.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Reload {
    /// From the next start on.
    Restart,
    /// At once.
    Now,
    /// For sessions that begin after the reload.
    NewSessions,
}

/// What a key takes, and how it is set.
pub(super) enum Field {
    /// A whole number, both ends allowed.
    Count {
        least: u64,
        most: u64,
        set: fn(&mut ServerSettings, u64),
    },
    /// A whole number of 32 bits.
    Number {
        least: u32,
        set: fn(&mut ServerSettings, u32),
    },
    /// A duration.
    Time {
        least: Duration,
        most: Duration,
        set: fn(&mut ServerSettings, Duration),
    },
    /// `true` or `false`.
    Flag { set: fn(&mut ServerSettings, bool) },
    /// One of some words.
    Word {
        words: &'static [&'static str],
        set: fn(&mut ServerSettings, &str),
    },
    /// Any text.
    Text {
        what: &'static str,
        set: fn(&mut ServerSettings, &str),
    },
    /// A rate and an action for some packet ids.
    PacketRates {
        set: fn(&mut ServerSettings, Vec<PacketRate>),
    },
    /// Some address blocks.
    Addresses {
        set: fn(&mut ServerSettings, AddressSet),
    },
}

impl Field {
    /// Whether a whole number is within the field's range; `None` when it takes no number.
    pub(super) fn admits(&self, number: u64) -> Option<bool> {
        match self {
            Self::Count { least, most, .. } => Some((least..=most).contains(&&number)),
            Self::Number { least, .. } => {
                Some((u64::from(*least)..=u64::from(u32::MAX)).contains(&number))
            }
            _ => None,
        }
    }
}

/// What the field takes, in words.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { least, most, .. } => write!(f, "a whole number from {least} to {most}"),
            Self::Number { least, .. } => {
                write!(f, "a whole number from {least} to {}", u32::MAX)
            }
            Self::Time { least, most, .. } if least.is_zero() => {
                let most = show_duration(*most);
                write!(
                    f,
                    "a duration up to {most}, as in \"60s\"; \"0\" turns it off"
                )
            }
            Self::Time { least, most, .. } => {
                let (least, most) = (show_duration(*least), show_duration(*most));
                write!(f, "a duration from {least} to {most}, as in \"60s\"")
            }
            Self::Flag { .. } => f.write_str("true or false"),
            Self::Word { words, .. } => {
                write!(f, "one of \"{}\"", words.join("\", \""))
            }
            Self::Text { what, .. } => f.write_str(what),
            Self::PacketRates { .. } => f.write_str(
                "a list of packet ids with rates, as in [\"0x1001 10/s burst 20 drop\"], \
                 the action one of off, count, delay, drop, disconnect",
            ),
            Self::Addresses { .. } => {
                f.write_str("a list of address blocks, as in [\"10.0.0.0/8\", \"::1\"]")
            }
        }
    }
}

/// A table of the file, and what it is about.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    keys: &'static [Key],
}

impl Section {
    /// The keys that the table takes.
    pub(super) fn keys(&self) -> &'static [Key] {
        self.keys
    }
}

/// The tables of the file, in the order in which they are written.
pub(super) static SECTIONS: &[Section] = &[
    Section {
        name: "server",
        about: "The server as a whole.",
        keys: server::KEYS,
    },
    Section {
        name: "session",
        about: "Limits and times of each session.",
        keys: session::KEYS,
    },
    Section {
        name: "protection",
        about: "What strangers may take of the server, and who is no stranger.",
        keys: protection::KEYS,
    },
    Section {
        name: "resume",
        about: "Sessions that go on over the next connection of their client.",
        keys: resume::KEYS,
    },
    Section {
        name: "tls",
        about: "TLS on the game port: off until there is a certificate.",
        keys: tls::KEYS,
    },
    Section {
        name: "engine",
        about: "Sizes of each worker's engine; the defaults suit most servers.",
        keys: engine::ENGINE,
    },
    Section {
        name: "socket",
        about: "Options of the sessions' sockets.",
        keys: engine::SOCKET,
    },
    Section {
        name: "admin",
        about: "The admin listener: page, metrics, JSON, the wire's admin packets, actions.",
        keys: admin::KEYS,
    },
    Section {
        name: "log",
        about: "Where the log goes, and how.",
        keys: operate::LOG,
    },
];

/// The table with this name.
pub(super) fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

/// The key with this name in this table.
pub(super) fn find(section_name: &str, name: &str) -> Option<&'static Key> {
    let keys = section(section_name)?.keys;
    keys.iter().find(|key| key.name == name)
}

/// Every key.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

impl Key {
    /// The key's name with its table's.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    const fn new(
        section: &'static str,
        name: &'static str,
        get: fn(&ServerSettings) -> Option<String>,
        field: Field,
    ) -> Self {
        Self {
            section,
            name,
            about: "",
            reload: Reload::Restart,
            field,
            get,
        }
    }

    const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    const fn reload(mut self, reload: Reload) -> Self {
        self.reload = reload;
        self
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const GIBIBYTE: u64 = 1 << 30;

/// A field for a whole number.
const fn count(least: u64, most: u64, set: fn(&mut ServerSettings, u64)) -> Field {
    Field::Count { least, most, set }
}

/// A field for a duration of a day at most.
const fn time(least: Duration, set: fn(&mut ServerSettings, Duration)) -> Field {
    Field::Time {
        least,
        most: DAY,
        set,
    }
}

/// A field for `true` or `false`.
const fn flag(set: fn(&mut ServerSettings, bool)) -> Field {
    Field::Flag { set }
}

/// A field for one of some words.
const fn word(words: &'static [&'static str], set: fn(&mut ServerSettings, &str)) -> Field {
    Field::Word { words, set }
}

/// A field for some address blocks.
const fn addresses(set: fn(&mut ServerSettings, AddressSet)) -> Field {
    Field::Addresses { set }
}

/// A field for any text.
const fn text(what: &'static str, set: fn(&mut ServerSettings, &str)) -> Field {
    Field::Text { what, set }
}

/// A number that its range keeps within the type.
fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A number that its range keeps within the type.
fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A number or `true` as the file says it.
#[allow(clippy::unnecessary_wraps, reason = "what `get` returns")]
fn plain(value: impl fmt::Display) -> Option<String> {
    Some(value.to_string())
}

/// A duration as the file says it.
fn lasting(duration: Duration) -> Option<String> {
    let shown = if duration.is_zero() {
        "0".into()
    } else {
        show_duration(duration)
    };
    quoted(&shown)
}

/// A text as the file says it.
#[allow(clippy::unnecessary_wraps, reason = "what `get` returns")]
fn quoted(text: &str) -> Option<String> {
    Some(toml::Value::String(text.into()).to_string())
}

/// Address blocks as the file says them.
#[allow(clippy::unnecessary_wraps, reason = "what `get` returns")]
fn listed(addresses: &AddressSet) -> Option<String> {
    let blocks = addresses.blocks();
    let blocks: Vec<_> = blocks.iter().map(|block| format!("\"{block}\"")).collect();
    Some(format!("[{}]", blocks.join(", ")))
}

/// A field for a limit or, with `least` 1, for how many at once.
const fn number(least: u32, set: fn(&mut ServerSettings, u32)) -> Field {
    Field::Number { least, set }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_in_its_section_once_and_says_what_it_is_for() {
        let mut paths: Vec<_> = all().map(Key::path).collect();
        let count = paths.len();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), count);
        for section in SECTIONS {
            for key in section.keys {
                assert_eq!(key.section, section.name, "{}", key.path());
                assert!(key.about.ends_with('.'), "{}: {:?}", key.path(), key.about);
            }
        }
    }
}
