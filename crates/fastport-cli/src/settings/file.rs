//! Reads a configuration file. Each mistake is told with file, line, key and what is allowed.

use super::keys::{self, Field, Key};
use super::{Origin, ServerSettings};
use crate::quantity::parse_duration;
use fastport::AddressBlock;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// Why a configuration file was not taken.
#[derive(Debug)]
pub(crate) enum SettingsError {
    /// The file can not be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, if it is about one.
        key: Option<String>,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// A variable of the environment, a flag, or what they make together, is wrong.
    Given {
        /// The variable, the flag or the key.
        what: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => {
                write!(
                    f,
                    "cannot read configuration file {}: {source}",
                    path.display()
                )
            }
            Self::Wrong {
                path,
                line,
                key,
                problem,
            } => {
                write!(f, "{}:{line}: ", path.display())?;
                match key {
                    Some(key) => write!(f, "{key}: {problem}"),
                    None => f.write_str(problem),
                }
            }
            Self::Given { what, problem } => write!(f, "{what}: {problem}"),
        }
    }
}

impl std::error::Error for SettingsError {}

/// Changes the settings to what the file says.
///
/// # Errors
/// When it can not be read, is no TOML, or has an unknown key or a wrong value.
pub(super) fn apply(path: &Path, settings: &mut ServerSettings) -> Result<(), SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
        path: path.into(),
        source,
    })?;
    apply_text(path, &text, settings)
}

/// As [`apply`], for a file that was read.
pub(super) fn apply_text(
    path: &Path,
    text: &str,
    settings: &mut ServerSettings,
) -> Result<(), SettingsError> {
    let wrong = |mistake: Mistake| SettingsError::Wrong {
        path: path.into(),
        line: line_of(text, mistake.at),
        key: mistake.key,
        problem: mistake.problem,
    };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        wrong(Mistake {
            at,
            key: None,
            problem: error.message().trim().replace('\n', "; "),
        })
    })?;
    apply_table(table.get_ref(), text, settings).map_err(wrong)
}

/// Something wrong at a byte of the text.
struct Mistake {
    at: usize,
    key: Option<String>,
    problem: String,
}

fn apply_table(
    table: &DeTable<'_>,
    text: &str,
    settings: &mut ServerSettings,
) -> Result<(), Mistake> {
    for (section, value) in table {
        let name = section.get_ref().as_ref();
        let mistake = |problem| Mistake {
            at: section.span().start,
            key: Some(name.to_owned()),
            problem,
        };
        if keys::section(name).is_none() {
            let tables = keys::SECTIONS
                .iter()
                .map(|section| format!("[{}]", section.name));
            let tables = tables.collect::<Vec<_>>().join(", ");
            return Err(mistake(format!(
                "unknown key; the file has the tables {tables}"
            )));
        }
        let DeValue::Table(entries) = value.get_ref() else {
            return Err(mistake(format!(
                "this is a table: write [{name}] on a line of its own"
            )));
        };
        for (key, value) in entries {
            let at = key.span().start;
            let key = apply_entry(name, key.get_ref(), at, value, settings)?;
            settings.note(key, Origin::File(line_of(text, at)));
        }
    }
    Ok(())
}

fn apply_entry(
    section: &str,
    name: &str,
    at: usize,
    value: &Spanned<DeValue<'_>>,
    settings: &mut ServerSettings,
) -> Result<&'static Key, Mistake> {
    let mistake = |at, problem| Mistake {
        at,
        key: Some(format!("{section}.{name}")),
        problem,
    };
    let Some(key) = keys::find(section, name) else {
        let known = keys::section(section).map_or(&[][..], keys::Section::keys);
        let known: Vec<_> = known.iter().map(|key| key.name).collect();
        let known = known.join(", ");
        return Err(mistake(
            at,
            format!("unknown key; [{section}] takes {known}"),
        ));
    };
    set(key, value.get_ref(), settings).map_err(|found| {
        mistake(
            value.span().start,
            format!("expected {}, found {found}", key.field),
        )
    })?;
    Ok(key)
}

/// Sets the key's field to a text of the environment.
///
/// # Errors
/// What is allowed, and what was found instead.
pub(super) fn set_from_text(
    key: &Key,
    text: &str,
    settings: &mut ServerSettings,
) -> Result<(), String> {
    let value = match &key.field {
        Field::Count { .. } | Field::Number { .. } => {
            // As the file has it: digits may be grouped, and hexadecimal is known by its prefix.
            let number = DeTable::parse(&format!("value = {text}"))
                .ok()
                .and_then(|table| {
                    let value = table.get_ref().get("value")?.get_ref().as_integer()?;
                    integer(value)
                });
            let field = &key.field;
            return match (number.filter(|n| field.admits(*n) == Some(true)), field) {
                (Some(number), Field::Count { set, .. }) => {
                    set(settings, number);
                    Ok(())
                }
                (Some(number), Field::Number { set, .. }) => {
                    // The range keeps it within the type.
                    set(settings, u32::try_from(number).unwrap_or(u32::MAX));
                    Ok(())
                }
                _ => Err(format!("expected {field}, found {text:?}")),
            };
        }
        Field::Flag { .. } => match text {
            "true" => DeValue::Boolean(true),
            "false" => DeValue::Boolean(false),
            _ => DeValue::String(text.into()),
        },
        Field::Addresses { set } => {
            // Separated by commas: brackets and quotes are a nuisance in an environment.
            let blocks = text
                .split(',')
                .map(str::trim)
                .filter(|block| !block.is_empty());
            let blocks = blocks
                .map(str::parse::<AddressBlock>)
                .collect::<Result<_, _>>();
            set(settings, blocks.map_err(|error| error.to_string())?);
            return Ok(());
        }
        Field::PacketRates { set } => {
            let rates = text.split(',').filter(|rate| !rate.trim().is_empty());
            let rates = rates.map(|rate| keys::packet_rate(rate).ok_or(rate));
            let rates = rates.collect::<Result<_, _>>();
            let found = |rate| format!("expected {}, found {rate:?}", key.field);
            set(settings, rates.map_err(found)?);
            return Ok(());
        }
        _ => DeValue::String(text.into()),
    };
    set(key, &value, settings).map_err(|found| format!("expected {}, found {found}", key.field))
}

/// Sets the key's field. The error is what was found instead.
fn set(key: &Key, value: &DeValue<'_>, settings: &mut ServerSettings) -> Result<(), String> {
    match (&key.field, value) {
        (field @ Field::Count { set, .. }, DeValue::Integer(number)) => {
            let number = integer(number)
                .filter(|number| field.admits(*number) == Some(true))
                .ok_or_else(|| number.to_string())?;
            set(settings, number);
        }
        (Field::Time { least, most, set }, DeValue::String(text)) => {
            let time = parse_duration(text)
                .ok()
                .filter(|time| (least..=most).contains(&time))
                .ok_or_else(|| format!("{text:?}"))?;
            set(settings, time);
        }
        (Field::Flag { set }, DeValue::Boolean(value)) => set(settings, *value),
        (Field::Word { words, set }, DeValue::String(text)) => {
            if !words.contains(&text.as_ref()) {
                return Err(format!("{text:?}"));
            }
            set(settings, text);
        }
        (Field::Text { set, .. }, DeValue::String(text)) => set(settings, text),
        (field @ Field::Number { set, .. }, DeValue::Integer(number)) => {
            let found = || number.to_string();
            let number = integer(number).filter(|number| field.admits(*number) == Some(true));
            let number = number.and_then(|number| u32::try_from(number).ok());
            set(settings, number.ok_or_else(found)?);
        }
        (Field::PacketRates { set }, DeValue::Array(rates)) => {
            let rates = rates.iter().map(|rate| match rate.get_ref() {
                DeValue::String(text) => {
                    keys::packet_rate(text).ok_or_else(|| format!("{:?}", text.as_ref()))
                }
                other => Err(describe(other)),
            });
            set(settings, rates.collect::<Result<_, _>>()?);
        }
        (Field::Addresses { set }, DeValue::Array(blocks)) => {
            let blocks = blocks.iter().map(|block| match block.get_ref() {
                DeValue::String(text) => text.parse::<AddressBlock>().map_err(|e| e.to_string()),
                other => Err(describe(other)),
            });
            set(settings, blocks.collect::<Result<_, _>>()?);
        }
        (_, other) => return Err(describe(other)),
    }
    Ok(())
}

fn integer(number: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {:?}", text.as_ref()),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(value) => format!("{value}"),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(_) => "an array".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// The line that a byte is on, from 1.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    1 + before.filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastport::{EngineKind, Profile, Rate, RateAction, Undecodable};
    use std::time::Duration;

    fn read(text: &str) -> Result<ServerSettings, String> {
        let mut settings = ServerSettings::default();
        match apply_text("fastport.toml".as_ref(), text, &mut settings) {
            Ok(()) => Ok(settings),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let settings = read(
            "[server]\nlisten = '[::1]:7000'\nworkers = 0x10\nengine = 'poll'\n\
             [log]\nlevel = 'debug'\n\
             [session]\nidle_timeout = '90s'\nundecodable = 'count_and_drop'\n\
             [protection]\nprofile = 'trusted'\ndeny = ['192.0.2.0/24']\ntrusted = []\n\
             accepts_per_second = 5\npacket_rates = ['0x1001 10/s burst 20 drop']\n\
             [engine]\nchunks = 64\n\
             [socket]\nnodelay = false\nkeep_alive_idle_s = 7\nsend_buffer = 65536\n",
        )
        .unwrap();
        assert_eq!(settings.listen, "[::1]:7000");
        assert_eq!(settings.log.level.as_deref(), Some("debug"));
        let config = settings.service_config();
        assert_eq!(
            (config.workers, config.engine),
            (16, Some(EngineKind::Poll))
        );
        assert_eq!(config.session.idle_timeout, Duration::from_secs(90));
        assert_eq!(config.session.undecodable, Undecodable::CountAndDrop);
        assert_eq!(config.engine_config.chunks, 64);
        assert_eq!(config.protection.profile, Profile::Trusted);
        assert!(config.protection.deny.contains([192, 0, 2, 9].into()));
        assert!(config.protection.trusted.is_empty());
        let rate = config.protection.packet_rates[0];
        assert_eq!((rate.id.number(), rate.rate), (0x1001, Rate::new(10, 20)));
        assert_eq!(rate.action, RateAction::Drop);
        assert_eq!(config.protection.accept_rate, Rate::new(5, 4000));
        assert!(!config.session.socket.nodelay);
        assert_eq!(
            config.session.socket.keep_alive.unwrap().idle,
            Duration::from_secs(7)
        );
        assert_eq!(config.session.socket.send_buffer, Some(65_536));
    }

    #[test]
    fn keep_alive_can_be_turned_off() {
        let settings = read("[socket]\nkeep_alive = false\n").unwrap();
        assert_eq!(settings.service_config().session.socket.keep_alive, None);
    }

    /// The message names the file, the line, the key and what is allowed.
    #[test]
    fn each_mistake_is_told_with_its_place() {
        for (text, expected) in [
            (
                "[server]\n\nworker = 2",
                "fastport.toml:3: server.worker: unknown key; [server] takes",
            ),
            (
                "[sever]",
                "fastport.toml:1: sever: unknown key; the file has the tables [server]",
            ),
            ("server = 1", "fastport.toml:1: server: this is a table"),
            (
                "[server]\nworkers = 0",
                "fastport.toml:2: server.workers: expected a whole number from 1 to 1024, found 0",
            ),
            ("[server]\nworkers = -1", "from 1 to 1024, found -1"),
            (
                "[server]\nworkers = '2'",
                "from 1 to 1024, found the text \"2\"",
            ),
            ("[server]\nworkers = 2.5", "found the number 2.5"),
            (
                "[session]\nidle_timeout = 60",
                "session.idle_timeout: expected a duration up to 24h, as in \"60s\"",
            ),
            ("[session]\nidle_timeout = '60'", "up to 24h"),
            (
                "[session]\nflush_timeout = '0'",
                "a duration from 1ms to 24h",
            ),
            (
                "[server]\nengine = 'epoll'",
                "one of \"auto\", \"io_uring\", \"poll\", \"iocp\", found \"epoll\"",
            ),
            (
                "[socket]\nnodelay = 1",
                "expected true or false, found the number 1",
            ),
            (
                "[server]\nlisten = 6628",
                "expected an address with a port, found the number 6628",
            ),
            (
                "[protection]\ndeny = ['10.0.0.1/8']",
                "fastport.toml:2: protection.deny: expected a list of address blocks, as in \
                 [\"10.0.0.0/8\", \"::1\"], found \"10.0.0.1/8\" is no address block",
            ),
            ("[protection]\nallow = [1]", "found the number 1"),
            ("[protection]\nallow = '::1'", "found the text \"::1\""),
            (
                "[protection]\naccept_burst = 0",
                "from 1 to 4294967295, found 0",
            ),
            (
                "[protection]\npacket_rates = ['0x1001 10/s burst 0 drop']",
                "off, count, delay, drop, disconnect, found \"0x1001 10/s burst 0 drop\"",
            ),
            ("[server]\nworkers = ", "fastport.toml:2: "),
            ("[server]\nworkers = 1\nworkers = 2", "fastport.toml:3: "),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text:?} gave {error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let path = Path::new("/nonexistent/fastport.toml");
        let error = apply(path, &mut ServerSettings::default())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("cannot read configuration file /nonexistent/fastport.toml: "));
    }
}
