//! All connections of a run by number, for whoever has to find one.

use super::ledger::Ledger;
use crate::sim_engine::wire::id_of;
use crate::verdict::Verdict;
use fastport::Session;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The ledgers of a run; the number of a connection is its place, from 1.
#[derive(Debug, Default)]
pub struct Directory {
    ledgers: Mutex<Vec<Arc<Ledger>>>,
    verdict: Verdict,
}

impl Directory {
    /// An empty one.
    #[must_use]
    pub fn new(verdict: Verdict) -> Self {
        Self {
            ledgers: Mutex::default(),
            verdict,
        }
    }

    /// Adds a connection. Its number must be the next one.
    pub fn add(&self, ledger: Arc<Ledger>) {
        self.lock().push(ledger);
    }

    /// The ledger of a session, by its peer's address.
    #[must_use]
    pub fn of(&self, session: &Session) -> Option<Arc<Ledger>> {
        let id = id_of(session.peer_address());
        let ledger = self.lock().get((id as usize).wrapping_sub(1)).cloned();
        if ledger.is_none() {
            self.stray("a session of a peer that never connected");
        }
        ledger
    }

    /// Some connection near the one of this number that has a session, as `choice` chooses.
    #[must_use]
    pub fn other(&self, id: u32, choice: usize) -> Option<(Arc<Ledger>, Session)> {
        let ledger = {
            let ledgers = self.lock();
            let near = (id as usize + choice % 16).saturating_sub(8);
            ledgers.get(near)?.clone()
        };
        let session = (ledger.id != id).then(|| ledger.session()).flatten()?;
        Some((ledger, session))
    }

    /// The connection of a number.
    #[must_use]
    pub fn at(&self, id: u32) -> Option<Arc<Ledger>> {
        self.lock().get((id as usize).wrapping_sub(1)).cloned()
    }

    /// Connections so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there was none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A callback came that belongs to no connection.
    pub fn stray(&self, what: &str) {
        self.verdict.violate(format_args!("{what}"));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Ledger>>> {
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
