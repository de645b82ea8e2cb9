//! The keys of `[session]`.

use super::{
    GIBIBYTE, Key, MILLISECOND, Reload, count, flag, lasting, plain, quoted, size, time, word,
};
use fastport::{SendPolicy, Undecodable};
use std::time::Duration;

pub(super) static KEYS: &[Key] = &[
    Key::new(
        "session",
        "frame_bytes_max",
        |s| plain(s.service.session.frame_bytes_max),
        count(4, 65_535, |s, v| {
            s.service.session.frame_bytes_max = size(v);
        }),
    )
    .about("Largest frame that is taken, header included, in bytes.")
    .reload(Reload::Restart),
    Key::new(
        "session",
        "send_high_watermark",
        |s| plain(s.service.session.send_high_watermark),
        count(4_096, GIBIBYTE, |s, v| {
            s.service.session.send_high_watermark = size(v);
        }),
    )
    .about("Above so many queued bytes reading from the session pauses.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "send_low_watermark",
        |s| plain(s.service.session.send_low_watermark),
        count(1, GIBIBYTE, |s, v| {
            s.service.session.send_low_watermark = size(v);
        }),
    )
    .about("Below so many queued bytes reading goes on.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "send_queue_max",
        |s| plain(s.service.session.send_queue_max),
        count(65_536, GIBIBYTE, |s, v| {
            s.service.session.send_queue_max = size(v);
        }),
    )
    .about("At so many queued bytes the session is closed.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "send_policy",
        |s| quoted(s.service.session.send_policy.name()),
        word(&SendPolicy::NAMES, |s, v| {
            s.service.session.send_policy = SendPolicy::named(v).unwrap_or_default();
        }),
    )
    .about("What happens to messages for a session above its high watermark.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "send_full_grace",
        |s| lasting(s.service.session.send_full_grace),
        time(MILLISECOND, |s, v| s.service.session.send_full_grace = v),
    )
    .about("With send_policy \"disconnect\", how long a session may stay full.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "receive_high_watermark",
        |s| plain(s.service.session.receive_high_watermark),
        count(4_096, GIBIBYTE, |s, v| {
            s.service.session.receive_high_watermark = size(v);
        }),
    )
    .about("Above so many bytes that wait for a pool handler reading pauses.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "idle_timeout",
        |s| lasting(s.service.session.idle_timeout),
        time(Duration::ZERO, |s, v| s.service.session.idle_timeout = v),
    )
    .about("A session that receives nothing for so long is closed.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "first_packet_timeout",
        |s| lasting(s.service.session.first_packet_timeout),
        time(Duration::ZERO, |s, v| {
            s.service.session.first_packet_timeout = v;
        }),
    )
    .about("A session whose first packet takes longer is closed.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "frame_timeout",
        |s| lasting(s.service.session.frame_timeout),
        time(Duration::ZERO, |s, v| s.service.session.frame_timeout = v),
    )
    .about("A frame that takes longer from its first byte closes the session.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "write_stall_timeout",
        |s| lasting(s.service.session.write_stall_timeout),
        time(Duration::ZERO, |s, v| {
            s.service.session.write_stall_timeout = v;
        }),
    )
    .about("A session with queued bytes of which none is taken for so long is closed.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "announce_close",
        |s| plain(s.service.session.announce_close),
        flag(|s, v| s.service.session.announce_close = v),
    )
    .about("Whether a peer is told why it is disconnected, also when nobody kicked it.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "heartbeat_interval",
        |s| lasting(s.service.session.heartbeat_interval),
        time(Duration::ZERO, |s, v| {
            s.service.session.heartbeat_interval = v;
        }),
    )
    .about("A peer from which nothing came for so long is asked whether it lives; 0 is never.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "heartbeat_timeout",
        |s| lasting(s.service.session.heartbeat_timeout),
        time(Duration::ZERO, |s, v| {
            s.service.session.heartbeat_timeout = v;
        }),
    )
    .about("With heartbeats, a peer from which nothing comes for so long is closed.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "flush_timeout",
        |s| lasting(s.service.session.flush_timeout),
        time(MILLISECOND, |s, v| s.service.session.flush_timeout = v),
    )
    .about("How long a disconnect may take to flush what is queued.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "linger_timeout",
        |s| lasting(s.service.session.linger_timeout),
        time(MILLISECOND, |s, v| s.service.session.linger_timeout = v),
    )
    .about("How long a half-closed session waits for the peer's FIN.")
    .reload(Reload::NewSessions),
    Key::new(
        "session",
        "undecodable",
        |s| {
            quoted(match s.service.session.undecodable {
                Undecodable::Close => "close",
                Undecodable::CountAndDrop => "count_and_drop",
            })
        },
        word(&["close", "count_and_drop"], |s, v| {
            s.service.session.undecodable = if v == "close" {
                Undecodable::Close
            } else {
                Undecodable::CountAndDrop
            };
        }),
    )
    .about("What happens to a payload that does not decode.")
    .reload(Reload::NewSessions),
];
