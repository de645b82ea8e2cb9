//! The keys of the configuration file: where each belongs, what it takes, what it sets.

use super::ServerSettings;
use crate::arguments::{DispatchKind, parse_engine};
use crate::quantity::show_duration;
use fastport::{
    AddressSet, KeepAlive, PacketId, PacketRate, Profile, Rate, RateAction, ReceiveForm,
    Undecodable, WaitStrategy,
};
use std::fmt;
use std::time::Duration;

/// One key of the file.
pub(super) struct Key {
    /// The table it stands in.
    pub(super) section: &'static str,
    /// Its name.
    pub(super) name: &'static str,
    /// What it takes and sets.
    pub(super) field: Field,
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
                write!(
                    f,
                    "a duration up to {}, as in \"60s\"; \"0\" turns it off",
                    show(*most)
                )
            }
            Self::Time { least, most, .. } => {
                write!(
                    f,
                    "a duration from {} to {}, as in \"60s\"",
                    show(*least),
                    show(*most)
                )
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

/// The tables of the file.
pub(super) const SECTIONS: [&str; 5] = ["server", "session", "protection", "engine", "socket"];

/// The key with this name in this table.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter()
        .find(|key| key.section == section && key.name == name)
}

/// The names that a table takes.
pub(super) fn names(section: &str) -> Vec<&'static str> {
    KEYS.iter()
        .filter(|key| key.section == section)
        .map(|key| key.name)
        .collect()
}

const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const GIBIBYTE: u64 = 1 << 30;
/// What may happen to packets above a rate.
const RATE_ACTIONS: [&str; 5] = ["off", "count", "delay", "drop", "disconnect"];

static KEYS: &[Key] = &[
    text("server", "listen", "an address with a port", |s, v| {
        s.listen = v.into();
    }),
    count("server", "workers", 1, 1_024, |s, v| {
        s.service.workers = size(v);
    }),
    word(
        "server",
        "engine",
        &["auto", "io_uring", "poll", "iocp"],
        |s, v| {
            s.service.engine = parse_engine(v).ok().and_then(|choice| choice.0);
        },
    ),
    word("server", "dispatch", &["inline", "pool"], |s, v| {
        s.dispatch = if v == "pool" {
            DispatchKind::Pool
        } else {
            DispatchKind::Inline
        };
    }),
    word("server", "wait", &["block", "spin", "adaptive"], |s, v| {
        s.service.wait = match v {
            "spin" => WaitStrategy::Spin,
            "adaptive" => WaitStrategy::Adaptive,
            _ => WaitStrategy::Block,
        };
    }),
    Key {
        section: "server",
        name: "spin_limit",
        field: Field::Time {
            least: Duration::from_micros(1),
            most: Duration::from_millis(10),
            set: |s, v| s.service.spin_limit = v,
        },
    },
    count("server", "event_workers", 1, 1_024, |s, v| {
        s.event_workers = Some(size(v));
    }),
    count("server", "max_sessions", 1, 10_000_000, |s, v| {
        s.service.sessions_max = size(v);
    }),
    count("server", "backlog", 1, 65_535, |s, v| {
        s.service.backlog = small(v);
    }),
    count("server", "accepts_posted", 1, 65_535, |s, v| {
        s.service.accepts_posted = u16::try_from(v).unwrap_or(u16::MAX);
    }),
    time("server", "drain_timeout", Duration::ZERO, |s, v| {
        s.drain_timeout = v;
    }),
    text("server", "log", "a level or filter directives", |s, v| {
        s.log = Some(v.into());
    }),
    count("session", "frame_bytes_max", 4, 65_535, |s, v| {
        s.service.session.frame_bytes_max = size(v);
    }),
    count("session", "send_high_watermark", 1, GIBIBYTE, |s, v| {
        s.service.session.send_high_watermark = size(v);
    }),
    count("session", "send_low_watermark", 0, GIBIBYTE, |s, v| {
        s.service.session.send_low_watermark = size(v);
    }),
    count("session", "send_queue_max", 65_535, GIBIBYTE, |s, v| {
        s.service.session.send_queue_max = size(v);
    }),
    count(
        "session",
        "receive_high_watermark",
        65_535,
        GIBIBYTE,
        |s, v| {
            s.service.session.receive_high_watermark = size(v);
        },
    ),
    time("session", "idle_timeout", Duration::ZERO, |s, v| {
        s.service.session.idle_timeout = v;
    }),
    time("session", "first_packet_timeout", Duration::ZERO, |s, v| {
        s.service.session.first_packet_timeout = v;
    }),
    time("session", "frame_timeout", Duration::ZERO, |s, v| {
        s.service.session.frame_timeout = v;
    }),
    time("session", "write_stall_timeout", Duration::ZERO, |s, v| {
        s.service.session.write_stall_timeout = v;
    }),
    time("session", "flush_timeout", MILLISECOND, |s, v| {
        s.service.session.flush_timeout = v;
    }),
    time("session", "linger_timeout", MILLISECOND, |s, v| {
        s.service.session.linger_timeout = v;
    }),
    word(
        "session",
        "undecodable",
        &["close", "count_and_drop"],
        |s, v| {
            s.service.session.undecodable = if v == "close" {
                Undecodable::Close
            } else {
                Undecodable::CountAndDrop
            };
        },
    ),
    word("protection", "profile", &["public", "trusted"], |s, v| {
        s.service.protection.profile = match v {
            "trusted" => Profile::Trusted,
            _ => Profile::Public,
        };
    }),
    addresses("allow", |s, v| s.service.protection.allow = v),
    addresses("deny", |s, v| s.service.protection.deny = v),
    addresses("proxies", |s, v| s.service.protection.proxies = v),
    time("protection", "proxy_timeout", MILLISECOND, |s, v| {
        s.service.protection.proxy_timeout = v;
    }),
    addresses("trusted", |s, v| s.service.protection.trusted = v),
    rate("address_sessions_max", |s, v| {
        s.service.protection.address_sessions_max = v;
    }),
    rate("address_accepts_per_second", |s, v| {
        s.service.protection.address_accept_rate.per_second = v;
    }),
    burst("address_accept_burst", |s, v| {
        s.service.protection.address_accept_rate.burst = v;
    }),
    rate("accepts_per_second", |s, v| {
        s.service.protection.accept_rate.per_second = v;
    }),
    burst("accept_burst", |s, v| {
        s.service.protection.accept_rate.burst = v;
    }),
    rate("packets_per_second", |s, v| {
        s.service.protection.packet_rate.per_second = v;
    }),
    burst("packet_burst", |s, v| {
        s.service.protection.packet_rate.burst = v;
    }),
    rate("bytes_per_second", |s, v| {
        s.service.protection.byte_rate.per_second = v;
    }),
    burst("byte_burst", |s, v| {
        s.service.protection.byte_rate.burst = v;
    }),
    word("protection", "rate_action", &RATE_ACTIONS, |s, v| {
        s.service.protection.rate_action = rate_action(v).unwrap_or_default();
    }),
    Key {
        section: "protection",
        name: "packet_rates",
        field: Field::PacketRates {
            set: |s, v| s.service.protection.packet_rates = v,
        },
    },
    count("protection", "queued_bytes_max", 0, u64::MAX, |s, v| {
        s.service.protection.queued_bytes_max = Some(size(v));
    }),
    count("protection", "addresses_max", 16, 16_777_216, |s, v| {
        s.service.protection.addresses_max = size(v);
    }),
    count("engine", "chunk_bytes", 1_024, 1 << 20, |s, v| {
        s.service.engine_config.chunk_bytes = size(v);
    }),
    count("engine", "chunks", 2, 32_768, |s, v| {
        s.service.engine_config.chunks = u16::try_from(v).unwrap_or(u16::MAX);
    }),
    count("engine", "receive_budget", 4_096, GIBIBYTE, |s, v| {
        s.service.engine_config.receive_budget = size(v);
    }),
    count("engine", "submission_entries", 8, 32_768, |s, v| {
        s.service.engine_config.submission_entries = small(v);
    }),
    count("engine", "completion_entries", 16, 65_536, |s, v| {
        s.service.engine_config.completion_entries = Some(small(v));
    }),
    word(
        "engine",
        "receive_form",
        &["adaptive", "direct", "overlapped"],
        |s, v| {
            s.service.engine_config.receive_form = match v {
                "overlapped" => ReceiveForm::Overlapped,
                "direct" => ReceiveForm::Direct,
                _ => ReceiveForm::Adaptive,
            };
        },
    ),
    count("engine", "posted_receives", 0, 32_768, |s, v| {
        s.service.engine_config.posted_receives = u16::try_from(v).unwrap_or(u16::MAX);
    }),
    flag("engine", "skip_completions", |s, v| {
        s.service.engine_config.skip_completions = Some(v);
    }),
    flag("socket", "nodelay", |s, v| {
        s.service.session.socket.nodelay = v;
    }),
    flag("socket", "keep_alive", |s, v| {
        let keep = s
            .service
            .session
            .socket
            .keep_alive
            .take()
            .unwrap_or_default();
        s.service.session.socket.keep_alive = v.then_some(keep);
    }),
    count("socket", "keep_alive_idle_s", 1, 86_400, |s, v| {
        keep_alive(s, |keep| keep.idle = Duration::from_secs(v));
    }),
    count("socket", "keep_alive_interval_s", 1, 86_400, |s, v| {
        keep_alive(s, |keep| keep.interval = Duration::from_secs(v));
    }),
    count("socket", "keep_alive_probes", 1, 127, |s, v| {
        keep_alive(s, |keep| keep.probes = small(v));
    }),
    count("socket", "notsent_bytes_max", 1, GIBIBYTE, |s, v| {
        s.service.session.socket.notsent_bytes_max = Some(small(v));
    }),
    count("socket", "receive_buffer", 1_024, GIBIBYTE, |s, v| {
        s.service.session.socket.receive_buffer = Some(small(v));
    }),
    count("socket", "send_buffer", 1_024, GIBIBYTE, |s, v| {
        s.service.session.socket.send_buffer = Some(small(v));
    }),
];

const fn count(
    section: &'static str,
    name: &'static str,
    least: u64,
    most: u64,
    set: fn(&mut ServerSettings, u64),
) -> Key {
    Key {
        section,
        name,
        field: Field::Count { least, most, set },
    }
}

const fn time(
    section: &'static str,
    name: &'static str,
    least: Duration,
    set: fn(&mut ServerSettings, Duration),
) -> Key {
    Key {
        section,
        name,
        field: Field::Time {
            least,
            most: DAY,
            set,
        },
    }
}

const fn flag(
    section: &'static str,
    name: &'static str,
    set: fn(&mut ServerSettings, bool),
) -> Key {
    Key {
        section,
        name,
        field: Field::Flag { set },
    }
}

const fn word(
    section: &'static str,
    name: &'static str,
    words: &'static [&'static str],
    set: fn(&mut ServerSettings, &str),
) -> Key {
    Key {
        section,
        name,
        field: Field::Word { words, set },
    }
}

/// A limit of strangers, off at 0.
const fn rate(name: &'static str, set: fn(&mut ServerSettings, u32)) -> Key {
    Key {
        section: "protection",
        name,
        field: Field::Number { least: 0, set },
    }
}

/// How many at once.
const fn burst(name: &'static str, set: fn(&mut ServerSettings, u32)) -> Key {
    Key {
        section: "protection",
        name,
        field: Field::Number { least: 1, set },
    }
}

const fn addresses(name: &'static str, set: fn(&mut ServerSettings, AddressSet)) -> Key {
    Key {
        section: "protection",
        name,
        field: Field::Addresses { set },
    }
}

const fn text(
    section: &'static str,
    name: &'static str,
    what: &'static str,
    set: fn(&mut ServerSettings, &str),
) -> Key {
    Key {
        section,
        name,
        field: Field::Text { what, set },
    }
}

/// Changes the keep-alive settings, where `keep_alive = false` has not turned them off.
fn keep_alive(settings: &mut ServerSettings, change: impl FnOnce(&mut KeepAlive)) {
    if let Some(keep) = &mut settings.service.session.socket.keep_alive {
        change(keep);
    }
}

/// A number that its range keeps within the type.
fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A number that its range keeps within the type.
fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn show(duration: Duration) -> String {
    show_duration(duration)
}

fn rate_action(word: &str) -> Option<RateAction> {
    Some(match word {
        "off" => RateAction::Off,
        "count" => RateAction::Count,
        "delay" => RateAction::Delay,
        "drop" => RateAction::Drop,
        "disconnect" => RateAction::Disconnect,
        _ => return None,
    })
}

/// Reads `0x1001 10/s burst 20 drop`.
pub(super) fn packet_rate(text: &str) -> Option<PacketRate> {
    let words: Vec<_> = text.split_whitespace().collect();
    let [id, rate, "burst", burst, action] = words[..] else {
        return None;
    };
    let id = match id.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).ok()?,
        None => id.parse().ok()?,
    };
    let burst = burst.parse().ok().filter(|burst| *burst > 0)?;
    Some(PacketRate {
        id: PacketId::new(id),
        rate: Rate::new(rate.strip_suffix("/s")?.parse().ok()?, burst),
        action: rate_action(action)?,
    })
}
