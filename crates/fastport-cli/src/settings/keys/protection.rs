//! The keys of `[protection]`.

use super::{
    Field, Key, MILLISECOND, Reload, addresses, count, flag, lasting, listed, number, plain,
    quoted, size, small, time, word,
};
use fastport::{PacketId, PacketRate, Profile, Rate, RateAction};

const RATE_MAX: u64 = u32::MAX as u64;

pub(super) static KEYS: &[Key] = &[
    Key::new(
        "protection",
        "profile",
        |s| {
            quoted(match s.service.protection.profile {
                Profile::Trusted => "trusted",
                Profile::Public => "public",
            })
        },
        word(&["public", "trusted"], |s, v| {
            s.service.protection.profile = match v {
                "trusted" => Profile::Trusted,
                _ => Profile::Public,
            };
        }),
    )
    .about("Whether limits of rates and of an address act, or only count what they would do.")
    .reload(Reload::Now),
    Key::new(
        "protection",
        "allow",
        |s| listed(&s.service.protection.allow),
        addresses(|s, v| s.service.protection.allow = v),
    )
    .about("Addresses that may connect; everyone if it is empty.")
    .reload(Reload::Now),
    Key::new(
        "protection",
        "deny",
        |s| listed(&s.service.protection.deny),
        addresses(|s, v| s.service.protection.deny = v),
    )
    .about("Addresses that may not connect, even if they are allowed.")
    .reload(Reload::Now),
    Key::new(
        "protection",
        "trusted",
        |s| listed(&s.service.protection.trusted),
        addresses(|s, v| s.service.protection.trusted = v),
    )
    .about("Addresses that no limit of rates, of an address and of the first packet holds for.")
    .reload(Reload::Now),
    Key::new(
        "protection",
        "address_sessions_max",
        |s| plain(s.service.protection.address_sessions_max),
        count(0, RATE_MAX, |s, v| {
            s.service.protection.address_sessions_max = small(v);
        }),
    )
    .about("Sessions of one IPv4 address, or of one IPv6 /64; 0 is no limit.")
    .reload(Reload::Now),
    Key::new(
        "protection",
        "address_accepts_per_second",
        |s| plain(s.service.protection.address_accept_rate.per_second),
        count(0, RATE_MAX, |s, v| {
            s.service.protection.address_accept_rate.per_second = small(v);
        }),
    )
    .about("New sessions of one address a second; 0 is no limit.")
    .reload(Reload::Now),
    Key::new(
        "protection",
        "address_accept_burst",
        |s| plain(s.service.protection.address_accept_rate.burst),
        count(1, RATE_MAX, |s, v| {
            s.service.protection.address_accept_rate.burst = small(v);
        }),
    )
    .about("New sessions of one address at once.")
    .reload(Reload::Now),
    Key::new(
        "protection",
        "accepts_per_second",
        |s| plain(s.service.protection.accept_rate.per_second),
        count(0, RATE_MAX, |s, v| {
            s.service.protection.accept_rate.per_second = small(v);
        }),
    )
    .about("New sessions of all addresses a second; 0 is no limit.")
    .reload(Reload::Now),
    Key::new(
        "protection",
        "accept_burst",
        |s| plain(s.service.protection.accept_rate.burst),
        count(1, RATE_MAX, |s, v| {
            s.service.protection.accept_rate.burst = small(v);
        }),
    )
    .about("New sessions of all addresses at once.")
    .reload(Reload::Now),
    Key::new(
        "protection",
        "packets_per_second",
        |s| plain(s.service.protection.packet_rate.per_second),
        number(0, |s, v| s.service.protection.packet_rate.per_second = v),
    )
    .about("Packets of one session a second; 0 is no limit."),
    Key::new(
        "protection",
        "packet_burst",
        |s| plain(s.service.protection.packet_rate.burst),
        number(1, |s, v| s.service.protection.packet_rate.burst = v),
    )
    .about("Packets of one session at once."),
    Key::new(
        "protection",
        "bytes_per_second",
        |s| plain(s.service.protection.byte_rate.per_second),
        number(0, |s, v| s.service.protection.byte_rate.per_second = v),
    )
    .about("Bytes of one session a second; 0 is no limit."),
    Key::new(
        "protection",
        "byte_burst",
        |s| plain(s.service.protection.byte_rate.burst),
        number(1, |s, v| s.service.protection.byte_rate.burst = v),
    )
    .about("Bytes of one session at once."),
    Key::new(
        "protection",
        "rate_action",
        |s| quoted(action_name(s.service.protection.rate_action)),
        word(RATE_ACTIONS, |s, v| {
            s.service.protection.rate_action = rate_action(v).unwrap_or_default();
        }),
    )
    .about("What happens to a session's packets above its rate."),
    Key::new(
        "protection",
        "packet_rates",
        |s| shown(&s.service.protection.packet_rates),
        Field::PacketRates {
            set: |s, v| s.service.protection.packet_rates = v,
        },
    )
    .about("Rates of single packet ids, each in every session."),
    Key::new(
        "protection",
        "authentication",
        |s| plain(s.service.protection.authentication),
        flag(|s, v| s.service.protection.authentication = v),
    )
    .about("Whether the application has to accept each peer; until then the next three hold."),
    Key::new(
        "protection",
        "authentication_timeout",
        |s| lasting(s.service.protection.authentication_timeout),
        time(MILLISECOND, |s, v| {
            s.service.protection.authentication_timeout = v;
        }),
    )
    .about("How long a peer may take until it is accepted, whatever it sends."),
    Key::new(
        "protection",
        "unauthenticated_frame_bytes_max",
        |s| plain(s.service.protection.unauthenticated_frame_bytes_max),
        count(4, 65_535, |s, v| {
            s.service.protection.unauthenticated_frame_bytes_max = size(v);
        }),
    )
    .about("Largest frame of a peer that is not accepted yet, header included, in bytes."),
    Key::new(
        "protection",
        "unauthenticated_sessions_max",
        |s| plain(s.service.protection.unauthenticated_sessions_max),
        count(0, RATE_MAX, |s, v| {
            s.service.protection.unauthenticated_sessions_max = size(v);
        }),
    )
    .about("Sessions of peers that are not accepted yet; 0 is no limit."),
    Key::new(
        "protection",
        "queued_bytes_max",
        |s| s.service.protection.queued_bytes_max.and_then(plain),
        count(0, u64::MAX, |s, v| {
            s.service.protection.queued_bytes_max = Some(size(v));
        }),
    )
    .about(
        "Bytes that wait for all peers together, 0 for any; by default a quarter of the memory.",
    ),
    Key::new(
        "protection",
        "proxies",
        |s| listed(&s.service.protection.proxies),
        addresses(|s, v| s.service.protection.proxies = v),
    )
    .about("Addresses that begin each connection with a PROXY header (version 1 or 2)."),
    Key::new(
        "protection",
        "proxy_timeout",
        |s| lasting(s.service.protection.proxy_timeout),
        time(MILLISECOND, |s, v| s.service.protection.proxy_timeout = v),
    )
    .about("How long a PROXY header may take."),
    Key::new(
        "protection",
        "addresses_max",
        |s| plain(s.service.protection.addresses_max),
        count(16, 16_777_216, |s, v| {
            s.service.protection.addresses_max = size(v);
        }),
    )
    .about("Addresses that are remembered; further ones share what one may have.")
    .reload(Reload::Now),
];

/// What may happen to packets above a rate.
const RATE_ACTIONS: &[&str] = &["off", "count", "delay", "drop", "disconnect"];

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
pub(in crate::settings) fn packet_rate(text: &str) -> Option<PacketRate> {
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

/// Rates as the file says them.
#[allow(clippy::unnecessary_wraps, reason = "what `get` returns")]
fn shown(rates: &[PacketRate]) -> Option<String> {
    let rates = rates.iter().map(|PacketRate { id, rate, action }| {
        let (id, action) = (id.number(), action_name(*action));
        let (per_second, burst) = (rate.per_second, rate.burst);
        format!("\"{id:#06x} {per_second}/s burst {burst} {action}\"")
    });
    Some(format!("[{}]", rates.collect::<Vec<_>>().join(", ")))
}

fn action_name(action: RateAction) -> &'static str {
    match action {
        RateAction::Off => "off",
        RateAction::Count => "count",
        RateAction::Delay => "delay",
        RateAction::Drop => "drop",
        RateAction::Disconnect => "disconnect",
    }
}
