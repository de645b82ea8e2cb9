//! One suite of session behaviour, on real sockets, for every engine and both ways of dispatch.
//!
//! A case is a function that takes a [`harness::Setup`]. It is mounted once for each combination
//! below, so a case that passes on one engine only is a difference that a user would meet.

mod conformance {
    pub(crate) mod admission;
    pub(crate) mod authentication;
    pub(crate) mod closing;
    pub(crate) mod connecting;
    pub(crate) mod dispatching;
    pub(crate) mod failing;
    pub(crate) mod farewells;
    pub(crate) mod faults;
    pub(crate) mod framing;
    pub(crate) mod full_queues;
    pub(crate) mod harness;
    pub(crate) mod lifecycle;
    pub(crate) mod limits;
    pub(crate) mod operating;
    pub(crate) mod pressure;
    pub(crate) mod proxies;
    pub(crate) mod rates;
    pub(crate) mod requests;
    pub(crate) mod resuming;
    pub(crate) mod rooms;
    pub(crate) mod sending;
    pub(crate) mod stopping;
}

/// Makes a test of each case, for one engine and one way of dispatch; of those alone that are not
/// timely, where faults change when things happen. Most of the timely ones wait for a time limit.
/// That a stop serves who waits in the backlog rests on an engine that asks the kernel in every
/// other turn, which is more than its contract says.
macro_rules! mount {
    ($name:ident, $setup:expr) => {
        mount!($name, all, $setup);
    };
    ($name:ident, $mode:ident, $setup:expr) => {
        mod $name {
            use crate::conformance::harness::Setup;

            mount! { @cases $mode $setup;
                lifecycle: a_session_is_accepted_first_and_disconnected_last,
                lifecycle: many_sessions_each_end_once,
                lifecycle: every_way_of_waiting_serves timely,
                lifecycle: handles_outlive_the_session_and_the_service,
                lifecycle: a_session_carries_a_value_of_the_application,
                lifecycle: sessions_are_found_by_their_id,
                lifecycle: a_service_has_several_listeners,
                lifecycle: sessions_spread_evenly_over_workers,
                framing: frames_may_be_cut_at_every_byte,
                framing: a_thousand_pipelined_frames_are_answered_in_order,
                framing: frames_of_every_size_class_come_back,
                framing: the_largest_frames_come_back,
                framing: a_frame_below_the_header_ends_the_session_after_two_bytes timely,
                framing: a_frame_above_the_configured_maximum_ends_the_session timely,
                framing: frames_before_a_violation_are_delivered timely,
                framing: an_unknown_id_is_counted_and_dropped,
                framing: a_payload_that_does_not_decode_ends_the_session timely,
                framing: a_payload_that_does_not_decode_may_be_dropped,
                sending: eight_threads_keep_their_order,
                sending: a_large_answer_reaches_a_slow_reader,
                sending: sends_of_random_sizes_arrive_whole,
                sending: a_frame_too_large_is_an_error,
                sending: an_encoder_that_panics_leaves_the_queue_whole,
                sending: an_encoder_that_sends_is_refused_or_served,
                sending: a_shared_frame_reaches_everyone,
                sending: what_was_sent_before_being_told_of_it_arrives_before,
                closing: what_came_before_fin_is_answered,
                closing: fin_inside_a_frame_is_told,
                closing: fin_inside_a_held_frame_is_told,
                closing: a_message_that_is_encoded_too_long_is_refused,
                connecting: a_reset_ends_the_session,
                closing: a_reset_inside_a_frame_ends_the_session,
                closing: a_reset_while_sending_ends_the_session,
                closing: a_disconnect_flushes_what_was_sent,
                closing: a_peer_that_never_closes_its_side_is_given_up timely,
                closing: a_disconnect_from_another_thread_ends_the_session,
                closing: a_disconnect_in_the_third_of_ten_frames_delivers_three,
                closing: a_peer_that_goes_on_sending_still_gets_the_last_bytes,
                closing: a_disconnect_while_threads_send_ends_once,
                closing: sending_after_the_end_is_an_error,
                farewells: a_kick_is_told_behind_everything_that_was_sent,
                farewells: a_peer_on_fastport_knows_why_it_was_closed,
                farewells: a_kick_does_not_wait_for_a_peer_that_does_not_read,
                farewells: other_ends_are_announced_if_that_is_wanted,
                farewells: a_peer_may_say_anything_to_the_session_layer,
                farewells: a_peer_that_answers_no_heartbeat_is_closed timely,
                farewells: a_peer_that_answers_heartbeats_lives_and_is_measured timely,
                pressure: a_flood_without_reading_is_bounded,
                pressure: a_flood_for_a_handler_that_blocks_is_bounded,
                pressure: reading_goes_on_when_the_peer_reads,
                pressure: writable_comes_once_per_episode,
                pressure: the_hard_limit_ends_the_session,
                pressure: a_peer_that_never_reads_is_given_up,
                pressure: neighbours_of_stalled_peers_are_served timely,
                resuming: nothing_is_lost_or_doubled_over_forced_disconnects,
                resuming: a_forged_token_is_refused,
                resuming: an_expired_session_is_refused,
                resuming: a_client_that_is_refused_is_lost_and_one_that_is_kicked_knows_why,
                resuming: what_is_kept_is_bounded,
                resuming: so_many_sessions_are_kept,
                resuming: a_client_gives_up_after_its_attempts,
                resuming: rooms_are_kept_and_heard_afterwards timely,
                full_queues: the_newest_are_dropped_if_so_set,
                full_queues: the_oldest_are_dropped_if_so_set,
                full_queues: what_threads_lose_at_once_is_counted_and_leaves_their_order,
                full_queues: the_latest_of_each_key_is_kept_if_so_set,
                full_queues: a_policy_may_change_while_the_queue_is_full,
                full_queues: a_queue_that_stays_full_ends_the_session_if_so_set timely,
                full_queues: what_has_no_room_beside_the_kernels_is_relieved,
                full_queues: a_session_may_have_a_grace_time_of_its_own timely,
                full_queues: a_queue_with_room_again_has_its_grace_time_anew timely,
                full_queues: a_member_that_does_not_keep_up_misses_broadcasts_alone,
                rooms: a_broadcast_is_encoded_once_for_all_members,
                rooms: who_is_excepted_or_has_left_hears_nothing,
                rooms: broadcasts_and_sends_of_a_thread_are_in_its_order,
                rooms: members_hear_a_room_in_the_same_order,
                rooms: a_handlers_broadcasts_are_in_order_with_all_it_knows_of,
                rooms: a_session_that_has_ended_has_left_its_rooms,
                rooms: a_room_outlives_the_service,
                rooms: what_was_broadcast_before_a_disconnect_is_flushed,
                rooms: a_member_that_does_not_read_is_the_only_one_to_suffer,
                rooms: everyone_hears_what_is_for_everyone,
                dispatching: packets_of_a_session_come_one_at_a_time_in_order,
                dispatching: each_turn_has_a_time_of_its_own,
                dispatching: a_panic_in_on_packet_ends_its_own_session,
                dispatching: a_panic_in_on_accepted_ends_its_own_session,
                dispatching: a_panic_in_on_disconnected_harms_nobody timely,
                dispatching: a_panic_whose_payload_panics_ends_its_own_session,
                dispatching: slow_handlers_take_turns,
                dispatching: a_handler_that_outlives_the_workers_leaks_nothing,
                limits: a_silent_session_is_idle timely,
                limits: a_session_without_a_first_packet_is_closed timely,
                limits: a_dribbled_frame_is_closed_in_time timely,
                limits: traffic_keeps_a_session_from_being_idle timely,
                limits: connections_above_the_maximum_are_refused_until_one_ends,
                limits: a_reload_counts_for_sessions_that_begin_after_it,
                limits: a_deferred_connection_begins_with_its_first_bytes,
                limits: a_port_in_use_is_an_error_that_names_it,
                admission: one_address_has_so_many_sessions,
                admission: a_storm_from_one_address_is_turned_away,
                admission: a_storm_from_everywhere_is_slowed,
                admission: a_denied_address_is_turned_away,
                admission: only_those_on_an_allow_list_come_in,
                admission: the_trusted_profile_counts_and_lets_pass,
                admission: the_trusted_are_not_counted,
                requests: an_answer_comes_in_order_with_packets,
                requests: answers_find_the_servers_requests,
                requests: a_request_to_the_client_has_a_time_limit timely,
                requests: who_waits_is_told_once_that_the_session_ended,
                requests: nobody_is_asked_behind_the_end,
                requests: both_sides_ask_at_once,
                requests: an_answer_may_be_awaited,
                authentication: who_does_not_authenticate_in_time_is_closed timely,
                authentication: a_large_frame_before_the_authentication_ends_the_session,
                authentication: frames_are_as_large_as_ever_behind_the_authentication,
                authentication: so_many_sessions_may_be_unauthenticated,
                authentication: everyone_is_who_is_authenticated,
                authentication: nobody_has_to_authenticate_unless_so_set,
                rates: a_flood_above_the_rate_waits timely,
                rates: what_waits_for_a_rate_is_answered_before_the_end timely,
                rates: frames_above_a_rate_of_bytes_wait timely,
                rates: a_dribble_above_the_rate_waits,
                rates: packets_above_the_rate_are_dropped_if_so_set,
                rates: a_session_above_the_rate_is_closed_if_so_set,
                rates: packets_above_the_rate_are_only_counted_if_so_set,
                rates: one_packet_id_has_a_rate_of_its_own,
                rates: the_trusted_may_send_as_fast_as_they_can,
                rates: what_waits_for_all_peers_has_a_bound,
                proxies: a_session_has_the_address_that_its_proxy_names,
                proxies: a_header_may_be_cut_at_every_byte,
                proxies: limits_hold_for_the_client_behind_a_proxy,
                proxies: a_proxy_without_a_header_is_turned_away,
                proxies: a_proxy_that_is_silent_is_turned_away,
                proxies: a_header_from_anyone_else_is_no_header,
                proxies: a_stop_does_not_wait_for_a_header timely,
                operating: totals_and_pages_hold_while_sessions_churn,
                operating: a_page_by_number_begins_where_a_walk_would,
                operating: a_banned_address_begins_no_session_until_the_ban_ends,
                operating: the_time_of_handlers_is_told,
                operating: frames_in_two_parts_are_timed,
                faults: a_reset_in_every_state_ends_the_session_once,
                faults: the_end_behind_unread_bytes_comes_after_their_answers,
                faults: a_storm_of_connections_leaves_nothing,
                faults: the_smallest_engine_serves_everyone,
                faults: a_blocked_event_pool_does_not_stop_the_io,
                faults: a_worker_that_could_not_run_blames_nobody timely,
                faults: a_panic_in_on_writable_ends_its_own_session,
                faults: a_panic_of_whoever_connects_ends_its_own_session,
                #[cfg(target_os = "linux")]
                faults: a_peer_that_vanishes_is_noticed,
                failing: a_worker_that_dies_is_told_of,
                failing: the_others_go_on_if_so_set,
                failing: connects_of_a_worker_that_dies_give_their_places_back,
                connecting: a_connection_is_made,
                connecting: a_refused_connection_is_told,
                connecting: a_connection_that_takes_too_long_is_given_up,
                stopping: a_stop_answers_what_was_received,
                stopping: a_stop_serves_who_waits_in_the_backlog timely,
                stopping: a_stop_does_not_wait_for_stalled_peers_past_its_deadline,
                stopping: a_stop_may_be_asked_for_twice_and_from_a_handler,
                stopping: a_stopped_service_takes_nobody,
                stopping: workers_answer_while_they_turn timely,
            }
        }
    };
    (@cases $mode:ident $setup:expr;
        $($(#[$on:meta])* $file:ident: $case:ident $($timely:ident)?),* $(,)?) => {
        $(
            $(#[$on])*
            mount! { @$mode $setup; $file $case $($timely)? }
        )*
    };
    (@late $setup:expr; $file:ident $case:ident timely) => {};
    (@$mode:ident $setup:expr; $file:ident $case:ident $($timely:ident)?) => {
        #[test]
        fn $case() {
            crate::conformance::$file::$case($setup);
        }
    };
}

// The way of dispatch is the session layer's affair and a form, direct descriptors or a way to
// receive, the engine's: so each engine has both ways, and each form one of them.
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

// With benign faults above the engine: late, in parts, and woken for nothing.
#[cfg(target_os = "linux")]
mount!(
    faulty_io_uring_pool,
    late,
    Setup::pool("io_uring").faulty::<fastport_engine::UringEngine>(1)
);
#[cfg(unix)]
mount!(
    faulty_poll_inline,
    late,
    Setup::inline("poll").faulty::<fastport_engine::PollEngine>(2)
);
#[cfg(windows)]
mount!(
    faulty_iocp_pool,
    late,
    Setup::pool("iocp").faulty::<fastport_engine::IocpEngine>(3)
);
