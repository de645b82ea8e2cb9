//! TLS on every engine and both ways of dispatch: against this library's own client, and against
//! rustls' blocking one, which shares no I/O with it.
#![cfg(feature = "tls-ring")]

#[allow(dead_code, reason = "the conformance suite uses all of it")]
#[path = "conformance/harness.rs"]
mod harness;
mod tls {
    pub(crate) mod ending;
    pub(crate) mod handshakes;
    pub(crate) mod serving;
    pub(crate) mod trust;
    pub(crate) mod world;
}

macro_rules! mount {
    ($name:ident, $setup:expr) => {
        mod $name {
            use crate::harness::Setup;

            mount! {
                @cases $setup;
                serving: an_echo_comes_back_as_it_was,
                serving: many_are_in_flight,
                serving: messages_of_all_sizes_are_whole,
                serving: what_came_may_be_cut_at_every_byte,
                serving: a_peer_that_does_not_read_is_waited_for,
                serving: tls_1_2_is_spoken_as_well,
                serving: keys_may_change,
                serving: a_broadcast_reaches_plain_and_encrypted_sessions,
                serving: many_threads_send_to_one_session,
                serving: a_heartbeat_is_answered,
                serving: a_session_goes_on_with_its_next_connection,
                serving: a_proxy_header_comes_before_tls,
                trust: both_sides_show_who_they_are,
                trust: a_client_without_a_certificate_is_refused,
                trust: a_client_of_another_authority_is_refused,
                trust: a_server_that_nobody_vouches_for_is_refused,
                trust: a_server_of_another_name_is_refused,
                trust: a_certificate_that_has_expired_is_refused,
                trust: a_new_certificate_is_for_new_sessions,
                trust: one_that_comes_back_resumes_until_a_reload,
                handshakes: one_that_stalls_is_closed_in_time,
                handshakes: so_many_may_be_in_progress,
                handshakes: what_is_no_handshake_is_closed,
                handshakes: who_fails_and_stays_is_closed_soon,
                handshakes: a_peer_that_goes_away_is_counted,
                handshakes: a_server_that_is_silent_is_given_up,
                handshakes: a_stop_does_not_wait_for_them,
                ending: a_session_ends_with_a_word,
                ending: a_peer_that_ends_in_order_is_answered_first,
                ending: a_stream_that_is_cut_off_is_told,
                ending: a_record_that_was_changed_ends_the_session,
                ending: a_dribbled_record_is_closed_in_time,
                ending: a_stop_flushes_what_was_sent,
            }
        }
    };
    (@cases $setup:expr; $($file:ident: $case:ident),* $(,)?) => {
        $(
            #[test]
            fn $case() {
                crate::tls::$file::$case($setup);
            }
        )*
    };
}

#[cfg(target_os = "linux")]
mount!(io_uring_inline, Setup::inline("io_uring"));
#[cfg(target_os = "linux")]
mount!(io_uring_pool, Setup::pool("io_uring"));
#[cfg(target_os = "linux")]
mount!(
    io_uring_direct_inline,
    Setup::inline("io_uring").direct_descriptors()
);
#[cfg(unix)]
mount!(poll_inline, Setup::inline("poll"));
#[cfg(unix)]
mount!(poll_pool, Setup::pool("poll"));
#[cfg(windows)]
mount!(iocp_inline, Setup::inline("iocp"));
#[cfg(windows)]
mount!(iocp_pool, Setup::pool("iocp"));
#[cfg(windows)]
mount!(iocp_direct_inline, Setup::inline("iocp").direct());
#[cfg(windows)]
mount!(iocp_overlapped_pool, Setup::pool("iocp").overlapped());
