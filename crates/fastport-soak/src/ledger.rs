//! What was done to a server, what was checked, and what was found wrong. Any thread.

use crate::message::Wrong;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Findings that are kept word by word; all are counted.
const FINDINGS_KEPT: usize = 20;

/// One server's ledger.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Answers that were compared byte by byte and right.
    checked: AtomicU64,
    /// Bytes of them.
    checked_bytes: AtomicU64,
    /// Answers that did not come although nothing was done to their session.
    pub(crate) lost: AtomicU64,
    /// Answers that came again.
    pub(crate) doubled: AtomicU64,
    /// Answers before their turn.
    pub(crate) disordered: AtomicU64,
    /// Answers with wrong bytes, or of another client.
    pub(crate) damaged: AtomicU64,
    /// Connections that were made.
    connections: AtomicU64,
    /// How often each kind of thing was done.
    deeds: Mutex<BTreeMap<&'static str, u64>>,
    findings: Mutex<Findings>,
}

#[derive(Debug, Default)]
struct Findings {
    count: usize,
    kept: Vec<String>,
}

impl Ledger {
    /// An answer was right.
    pub(crate) fn note_checked(&self, bytes: usize) {
        self.checked.fetch_add(1, Ordering::Relaxed);
        self.checked_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// An answer was wrong.
    pub(crate) fn note_wrong(&self, wrong: Wrong, finding: String) {
        let counter = match wrong {
            Wrong::Doubled => &self.doubled,
            Wrong::Early => &self.disordered,
            Wrong::Foreign | Wrong::Damaged => &self.damaged,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.find(finding);
    }

    /// So many answers are lost.
    pub(crate) fn note_lost(&self, count: u64, finding: String) {
        self.lost.fetch_add(count, Ordering::Relaxed);
        self.find(finding);
    }

    /// A connection was made.
    pub(crate) fn note_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Something was done to the server.
    pub(crate) fn did(&self, what: &'static str) {
        *self.deeds.lock().entry(what).or_default() += 1;
    }

    /// Something is wrong.
    pub(crate) fn find(&self, what: String) {
        let mut findings = self.findings.lock();
        findings.count += 1;
        if findings.kept.len() < FINDINGS_KEPT {
            eprintln!("finding: {what}");
            findings.kept.push(what);
        }
    }

    /// Answers that were right, and their bytes.
    pub(crate) fn checked(&self) -> (u64, u64) {
        let bytes = self.checked_bytes.load(Ordering::Relaxed);
        (self.checked.load(Ordering::Relaxed), bytes)
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// What was done, and how often.
    pub(crate) fn deeds(&self) -> BTreeMap<&'static str, u64> {
        self.deeds.lock().clone()
    }

    /// What is wrong: how many things, and the first of them.
    pub(crate) fn findings(&self) -> (usize, Vec<String>) {
        let findings = self.findings.lock();
        (findings.count, findings.kept.clone())
    }
}
