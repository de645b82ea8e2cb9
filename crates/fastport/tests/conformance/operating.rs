//! What an operator sees and does: totals, pages of sessions, bans, handler times.

use super::harness::{End, ID, Peer, Seen, Setup};
use fastport::{Monitor, RejectReason, SessionId, StatsSnapshot};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Sessions that come and go during the walks over the pages.
const CHURNED: usize = 1_000;
const THREADS: usize = 4;
/// Sessions that stay.
const STEADY: usize = 50;
/// Small, so that a walk has many pages between which others come and go.
const PAGE: usize = 7;

/// Totals never fall, pages never repeat a session, and none that lives through a walk is skipped,
/// while 1,000 sessions come and go.
pub(crate) fn totals_and_pages_hold_while_sessions_churn(setup: Setup) {
    let host = setup.echo();
    let (monitor, address) = (host.server.service().monitor(), host.address());
    let mut peers = Vec::new();
    let mut steady = BTreeSet::new();
    while peers.len() < STEADY {
        peers.push(host.connect());
        steady.insert(host.accepted().id());
        // Others begin and end between them, so that the ids have gaps.
        drop(host.connect());
        host.reason();
    }
    let running = AtomicUsize::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..CHURNED / THREADS {
                    let mut peer = Peer::connect(address);
                    peer.send(b"here");
                    assert_eq!(peer.receive(), b"here");
                }
                running.fetch_sub(1, Ordering::AcqRel);
            });
        }
        let mut before = monitor.stats();
        let (mut walks, mut pages) = (0, 0);
        while walks < 3 || running.load(Ordering::Acquire) > 0 {
            pages += walk(&monitor, &steady, &mut before);
            walks += 1;
        }
        println!(
            "{CHURNED} sessions came and went during {walks} walks over {pages} pages: no total \
             fell, no page repeated or skipped a session"
        );
    });
    let mut ended = 0;
    while ended < CHURNED {
        ended += usize::from(matches!(host.next(), Seen::Disconnected(..)));
    }
    let (stats, all) = (monitor.stats(), (2 * STEADY + CHURNED) as u64);
    assert_eq!((stats.accepted, stats.sessions), (all, STEADY as u64));
    assert_eq!(stats.closed_total(), all - STEADY as u64);
    assert_eq!(stats.packets_in, CHURNED as u64);
    let workers = monitor.workers().into_iter();
    assert_eq!(
        workers.map(|worker| worker.packets_in).sum::<u64>(),
        stats.packets_in
    );
}

/// Goes over all pages, and looks at the totals between them. How many pages there were.
fn walk(monitor: &Monitor, steady: &BTreeSet<SessionId>, before: &mut StatsSnapshot) -> usize {
    let mut pages = 0;
    let mut met: Vec<SessionId> = Vec::new();
    let mut after = None;
    loop {
        let page = monitor.page(after, PAGE);
        pages += 1;
        assert!(page.sessions.len() <= PAGE && page.total >= STEADY);
        met.extend(page.sessions.iter().map(fastport::Session::id));
        let now = monitor.stats();
        assert_rises(before, &now);
        *before = now;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    // Growing ids: none twice.
    assert!(met.is_sorted_by(|one, next| one < next), "{met:?}");
    let met: BTreeSet<_> = met.into_iter().collect();
    assert!(met.is_superset(steady), "skipped {:?}", steady - &met);
    pages
}

fn assert_rises(before: &StatsSnapshot, now: &StatsSnapshot) {
    let totals = |stats: &StatsSnapshot| {
        let mut totals = vec![
            stats.accepted,
            stats.packets_in,
            stats.bytes_in,
            stats.bytes_out,
            stats.receives,
            stats.sends,
            stats.turns,
            stats.handler_times.samples(),
        ];
        totals.extend(stats.closed);
        totals.extend(stats.rejected);
        totals
    };
    for (index, (before, now)) in totals(before).into_iter().zip(totals(now)).enumerate() {
        assert!(before <= now, "total {index} fell from {before} to {now}");
    }
}

/// Where a page by number begins is the same place as by walking.
pub(crate) fn a_page_by_number_begins_where_a_walk_would(setup: Setup) {
    let host = setup.echo();
    let monitor = host.server.service().monitor();
    assert_eq!(monitor.page(None, 5).next, None);
    assert_eq!(monitor.id_before(3), None);
    let mut peers = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..9 {
        peers.push(host.connect());
        ids.push(host.accepted().id());
    }
    for offset in 0..12 {
        let page = monitor.page(monitor.id_before(offset), 4);
        let found: Vec<_> = page.sessions.iter().map(fastport::Session::id).collect();
        let expected: Vec<_> = ids.iter().copied().skip(offset).take(4).collect();
        assert_eq!((found, page.total), (expected, 9), "offset {offset}");
        assert_eq!(page.next.is_some(), offset + 4 < 9, "offset {offset}");
    }
}

pub(crate) fn a_banned_address_begins_no_session_until_the_ban_ends(setup: Setup) {
    let host = setup.echo();
    let monitor = host.server.service().monitor();
    let block = "127.0.0.0/8".parse().unwrap();
    let mut old = host.connect();
    old.send(b"here");
    assert_eq!(old.receive(), b"here");
    monitor.ban(block, Some(Duration::from_secs(3600)));
    assert_eq!(monitor.bans().len(), 1);
    let refused = host.connect().drain();
    assert!(refused.0.is_empty() && matches!(refused.1, End::Reset | End::Fin));
    assert_eq!(monitor.stats().rejected_for(RejectReason::Banned), 1);
    // Sessions that there are stay.
    old.send(b"still");
    assert_eq!(old.receive(), b"still");
    assert!(monitor.unban(block));
    let mut new = host.connect();
    new.send(b"again");
    assert_eq!(new.receive(), b"again");
}

/// A slow handler shows, whichever thread runs it, and so does when bytes last came.
pub(crate) fn the_time_of_handlers_is_told(setup: Setup) {
    const SLOW: Duration = Duration::from_millis(20);
    let host = setup.host(
        |_| {},
        |session, packet| {
            let (never, wakes) = std::sync::mpsc::channel::<()>();
            // Takes its time without a sleep.
            let _ = wakes.recv_timeout(SLOW);
            drop(never);
            let _ = session.forward(&packet);
        },
    );
    let monitor = host.server.service().monitor();
    let mut peer = host.connect();
    let session = host.accepted();
    assert_eq!(session.last_received_ms(), 0);
    peer.write(&super::harness::frame(ID, b"slow"));
    assert_eq!(peer.receive(), b"slow");
    assert!(session.last_received_ms() > 0);
    // The first batch of a thread is timed; the time is written after the answer is.
    let times = loop {
        let times = monitor.stats().handler_times;
        if times.samples() > 0 {
            break times;
        }
        std::thread::yield_now();
    };
    assert!(times.quantile(0.99) >= SLOW && times.total() >= SLOW);
}

/// Batches are timed one in so many, and a part of a frame is none of them.
pub(crate) fn frames_in_two_parts_are_timed(setup: Setup) {
    let host = setup.echo();
    let mut peer = host.connect();
    let frame = super::harness::frame(ID, b"in two parts");
    for number in 0..40 {
        peer.write(&frame[..5]);
        let received = number * frame.len() as u64 + 5;
        while host.server.stats().bytes_in < received {
            std::thread::yield_now();
        }
        peer.write(&frame[5..]);
        assert_eq!(peer.receive(), b"in two parts");
    }
    assert!(host.server.stats().handler_times.samples() > 0);
}
