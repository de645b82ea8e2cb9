//! What every engine must do: one suite, mounted once per back-end, against real sockets on this
//! machine.
//!
//! A case is a function that is generic over the engine. A case that is not mounted is dead code,
//! which does not pass the lints.

#[path = "conformance/closing.rs"]
mod closing;
#[path = "conformance/connections.rs"]
mod connections;
#[path = "conformance/driver.rs"]
mod driver;
#[path = "conformance/lending.rs"]
mod lending;
#[path = "conformance/receiving.rs"]
mod receiving;
#[path = "conformance/sending.rs"]
mod sending;
#[cfg(any(windows, target_os = "linux"))]
#[path = "conformance/variants.rs"]
mod variants;
#[path = "conformance/waiting.rs"]
mod waiting;

/// Makes a module of tests, one per case, for an engine.
macro_rules! conformance {
    ($engine:ident: $type:ty) => {
        mod $engine {
            conformance!(connections for $type:
                an_accepted_connection_echoes,
                nothing_is_received_before_it_is_armed,
                a_connect_stands_and_carries_bytes,
                an_engine_connects_to_itself,
                a_refused_connect_fails_once,
                a_connect_closed_at_once_only_closes,
                a_connect_without_an_answer_can_be_given_up,
                port_zero_becomes_an_address,
                a_port_in_use_is_an_error_that_names_it,
                a_deferred_connection_is_told_with_its_first_bytes,
                a_closed_listener_refuses,
                an_accepted_socket_that_is_dropped_is_closed,
                an_accepted_socket_may_go_to_another_worker,
                clients_that_reset_at_once_do_not_end_the_listener,
            );
            conformance!(receiving for $type:
                a_long_stream_arrives_in_order,
                the_peers_end_comes_after_all_its_bytes,
                an_end_without_bytes_is_told_once,
                a_reset_fails_the_connection_once,
                a_pause_holds_a_mebibyte_back_and_needs_no_new_byte_to_go_on,
                a_pause_amid_bytes_that_have_all_come_needs_no_new_byte_to_go_on,
                pauses_and_arms_in_any_order_lose_nothing,
                an_arm_cancels_the_pause_and_a_second_pause_is_nothing,
                a_peer_that_ends_during_a_pause_is_told_of_after_it,
                a_connection_has_its_turn_before_another_is_read_to_the_end,
                a_flood_does_not_starve_the_others,
            );
            conformance!(lending for $type:
                receiving_waits_while_every_chunk_is_kept,
                chunks_dropped_by_another_thread_are_used_again,
                a_starved_worker_finds_what_another_thread_gave_back,
                a_starved_connection_can_be_paused_and_closed,
                a_chunk_outlives_its_connection_and_the_engine,
                many_connections_share_few_chunks,
            );
            conformance!(sending for $type:
                eight_mebibytes_reach_a_slow_reader_in_order,
                sends_one_after_the_other_keep_their_order,
                a_batch_of_three_thousand_pieces_arrives_in_order,
                blocks_shared_frames_and_chunks_go_in_one_batch,
                both_directions_are_full_at_once,
                a_reset_during_a_blocked_send_is_no_success,
                a_send_to_a_connection_that_was_reset_fails,
                an_abort_frees_a_blocked_send_and_drops_what_is_left,
                what_was_sent_is_read_after_an_orderly_close,
                after_a_half_close_the_rest_is_still_received,
            );
            conformance!(closing for $type:
                a_close_with_an_armed_receive_ends_the_stream,
                an_abort_resets,
                after_a_close_only_closed_comes,
                a_stale_key_does_nothing,
                what_a_slot_had_under_way_does_not_reach_its_successor,
                a_thousand_connections_close_once_and_last_wherever_they_are,
                nothing_stays_in_flight,
                a_drain_in_the_middle_of_everything_is_clean,
                an_engine_dropped_without_a_drain_closes_its_sockets,
            );
            conformance!(waiting for $type:
                another_thread_ends_a_wait,
                a_wake_before_the_wait_is_not_lost,
                no_message_to_a_parked_worker_is_lost,
                a_waker_outlives_the_engine,
                a_wait_ends_at_its_deadline_and_tells_the_time,
            );
        }
    };
    ($module:ident for $type:ty: $($case:ident,)*) => {
        mod $module {
            $(#[test]
            fn $case() {
                crate::$module::$case::<$type>();
            })*
        }
    };
}

#[cfg(unix)]
conformance!(poll: fastport_engine::PollEngine);
#[cfg(target_os = "linux")]
conformance!(uring: fastport_engine::UringEngine);
#[cfg(target_os = "linux")]
conformance!(uring_direct: crate::variants::DirectDescriptors);
#[cfg(windows)]
conformance!(iocp: fastport_engine::IocpEngine);
#[cfg(windows)]
conformance!(iocp_direct: crate::variants::Direct);
#[cfg(windows)]
conformance!(iocp_direct_skipping: crate::variants::DirectSkipping);
#[cfg(windows)]
conformance!(iocp_overlapped: crate::variants::Overlapped);
#[cfg(windows)]
conformance!(iocp_skipping: crate::variants::Skipping);
#[cfg(windows)]
conformance!(iocp_overlapped_skipping: crate::variants::OverlappedSkipping);

// The same with benign faults above the engine: late, in parts, and woken for nothing.
#[cfg(unix)]
conformance!(faulty_poll: fastport_testkit::FaultyEngine<fastport_engine::PollEngine, 1>);
#[cfg(target_os = "linux")]
conformance!(faulty_uring: fastport_testkit::FaultyEngine<fastport_engine::UringEngine, 2>);
#[cfg(windows)]
conformance!(faulty_iocp: fastport_testkit::FaultyEngine<fastport_engine::IocpEngine, 3>);
