//! The faults, and the tests that bring them about.

/// A fault and its tests, which are cases of one test program.
pub(super) struct Fault {
    pub(super) what: &'static str,
    pub(super) package: &'static str,
    pub(super) target: &'static str,
    /// The back-ends that can have it.
    pub(super) engines: &'static [&'static str],
    pub(super) cases: &'static [&'static str],
}

const ALL: &[&str] = &["io_uring", "poll", "iocp"];
const UNIX: &[&str] = &["io_uring", "poll"];
const URING: &[&str] = &["io_uring"];

/// Whether a test program is built for Windows.
pub(super) fn runs_on_windows(package: &str, target: &str) -> bool {
    let mut of = FAULTS.iter();
    of.any(|of| (of.package, of.target) == (package, target) && of.engines.contains(&"iocp"))
}

/// The engine of a case whose test is of one engine alone.
pub(super) fn only_engine(case: &str) -> Option<&'static str> {
    let fault = FAULTS.iter().find(|fault| fault.cases.contains(&case))?;
    fault.engines.first().copied()
}

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        what: "reset at every byte of a frame, with an answer unread, paused, half-closed",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &["a_reset_in_every_state_ends_the_session_once"],
    },
    Fault {
        what: "reset behind bytes that were not read",
        package: "fastport-engine",
        target: "linux_resets",
        engines: UNIX,
        cases: &[
            "bytes_before_a_reset_are_not_lost",
            "a_reset_behind_bytes_during_a_pause_is_told",
            "bytes_and_a_reset_in_one_harvest_are_both_told",
        ],
    },
    Fault {
        what: "reset while a send is blocked",
        package: "fastport-engine",
        target: "conformance",
        engines: ALL,
        cases: &["a_reset_during_a_blocked_send_is_no_success"],
    },
    Fault {
        what: "half-open: the peer vanishes without FIN or reset",
        package: "fastport",
        target: "conformance",
        engines: UNIX,
        cases: &["a_peer_that_vanishes_is_noticed"],
    },
    Fault {
        what: "FIN with unread data on our side",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &["the_end_behind_unread_bytes_comes_after_their_answers"],
    },
    Fault {
        what: "FIN inside a frame",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &["fin_inside_a_frame_is_told"],
    },
    Fault {
        what: "one byte at a time",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &["frames_may_be_cut_at_every_byte"],
    },
    Fault {
        what: "a frame that is never finished",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &["a_dribbled_frame_is_closed_in_time"],
    },
    Fault {
        what: "a peer that never says anything",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &[
            "a_silent_session_is_idle",
            "a_session_without_a_first_packet_is_closed",
        ],
    },
    Fault {
        what: "peers that never read: bounded, given up, neighbours served",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &[
            "a_flood_without_reading_is_bounded",
            "a_peer_that_never_reads_is_given_up",
            "neighbours_of_stalled_peers_are_served",
            "what_waits_for_all_peers_has_a_bound",
        ],
    },
    Fault {
        what: "descriptors exhausted at accept",
        package: "fastport-engine",
        target: "descriptors",
        engines: UNIX,
        cases: &["accepting_waits_for_descriptors_without_a_fuss"],
    },
    Fault {
        what: "descriptors exhausted at connect",
        package: "fastport",
        target: "no_descriptors",
        engines: UNIX,
        cases: &["connecting_without_descriptors_fails_and_recovers"],
    },
    Fault {
        what: "receive buffers exhausted, all kept by handlers",
        package: "fastport-engine",
        target: "conformance",
        engines: ALL,
        cases: &[
            "receiving_waits_while_every_chunk_is_kept",
            "a_starved_worker_finds_what_another_thread_gave_back",
            "many_connections_share_few_chunks",
        ],
    },
    Fault {
        what: "provided buffers exhausted (ENOBUFS)",
        package: "fastport-engine",
        target: "uring",
        engines: URING,
        cases: &["connections_starve_quietly_and_recover"],
    },
    Fault {
        what: "completion queue overflows",
        package: "fastport-engine",
        target: "uring",
        engines: URING,
        cases: &["a_tiny_completion_queue_loses_nothing"],
    },
    Fault {
        what: "submission queue full",
        package: "fastport-engine",
        target: "uring",
        engines: URING,
        cases: &["a_submission_queue_of_four_takes_any_number_of_operations"],
    },
    Fault {
        what: "two receive buffers of 1 KiB and the smallest queues, 50 sessions",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &["the_smallest_engine_serves_everyone"],
    },
    Fault {
        what: "EINTR: 200 stops and continues under traffic",
        package: "fastport-cli",
        target: "hard_times",
        engines: UNIX,
        cases: &["interrupted_calls_change_nothing"],
    },
    Fault {
        what: "every event worker blocked in a handler",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &["a_blocked_event_pool_does_not_stop_the_io"],
    },
    Fault {
        what: "a handler panics, in each callback",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &[
            "a_panic_in_on_accepted_ends_its_own_session",
            "a_panic_of_whoever_connects_ends_its_own_session",
            "a_panic_in_on_packet_ends_its_own_session",
            "a_panic_in_on_writable_ends_its_own_session",
            "a_panic_in_on_disconnected_harms_nobody",
            "a_panic_whose_payload_panics_ends_its_own_session",
        ],
    },
    Fault {
        what: "a worker thread dies: told, stop or go on",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &[
            "a_worker_that_dies_is_told_of",
            "the_others_go_on_if_so_set",
        ],
    },
    Fault {
        what: "time jumps: a blocked worker, a stopped process",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &["a_worker_that_could_not_run_blames_nobody"],
    },
    Fault {
        what: "time jumps: SIGSTOP for longer than the idle limit",
        package: "fastport-cli",
        target: "hard_times",
        engines: UNIX,
        cases: &["a_stopped_process_blames_nobody"],
    },
    Fault {
        what: "SIGTERM with 4,000 requests in flight",
        package: "fastport-cli",
        target: "hard_times",
        engines: UNIX,
        cases: &["a_drain_answers_what_is_in_flight"],
    },
    Fault {
        what: "SIGTERM while 100 connections wait in the backlog",
        package: "fastport-cli",
        target: "hard_times",
        engines: UNIX,
        cases: &["a_drain_answers_who_waits_in_the_backlog"],
    },
    Fault {
        what: "a second SIGTERM, under load",
        package: "fastport-cli",
        target: "hard_times",
        engines: UNIX,
        cases: &["a_second_signal_ends_a_loaded_drain"],
    },
    Fault {
        what: "log disk full",
        package: "fastport-cli",
        target: "hard_times",
        engines: UNIX,
        cases: &["a_full_disk_costs_the_log_only"],
    },
    Fault {
        what: "storms of connections that close at once",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &["a_storm_of_connections_leaves_nothing"],
    },
    Fault {
        what: "clients that reset before they are accepted",
        package: "fastport-engine",
        target: "conformance",
        engines: ALL,
        cases: &["clients_that_reset_at_once_do_not_end_the_listener"],
    },
    Fault {
        what: "sessions above a limit, of an address, of all",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &[
            "connections_above_the_maximum_are_refused_until_one_ends",
            "one_address_has_so_many_sessions",
            "a_storm_from_one_address_is_turned_away",
            "a_storm_from_everywhere_is_slowed",
            "a_denied_address_is_turned_away",
        ],
    },
    Fault {
        what: "packets and bytes above a rate",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &[
            "a_flood_above_the_rate_waits",
            "frames_above_a_rate_of_bytes_wait",
            "packets_above_the_rate_are_dropped_if_so_set",
            "a_session_above_the_rate_is_closed_if_so_set",
        ],
    },
    Fault {
        what: "a proxy that lies, is silent, or is none",
        package: "fastport",
        target: "conformance",
        engines: ALL,
        cases: &[
            "a_proxy_without_a_header_is_turned_away",
            "a_proxy_that_is_silent_is_turned_away",
            "a_header_from_anyone_else_is_no_header",
        ],
    },
    Fault {
        what: "io_uring forbidden (EPERM, ENOSYS, EINVAL) by seccomp at start",
        package: "fastport-engine",
        target: "uring_refused",
        engines: URING,
        cases: &[
            "a_container_that_forbids_it_gets_the_fallback_and_the_reason",
            "a_kernel_without_it_gets_the_fallback_and_the_reason",
            "a_kernel_that_lacks_the_flags_gets_the_fallback_and_the_reason",
        ],
    },
];
