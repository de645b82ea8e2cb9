//! All sessions of a service by id, for lookups from any thread.

use crate::session::handle::{Session, SessionId};
use parking_lot::RwLock;
use std::collections::HashMap;

const SHARDS: usize = 16;

/// Sessions in shards with a reader-writer lock each (the seed's RWLock). Touched when a session
/// begins and ends and by lookups, never per message.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    shards: [RwLock<HashMap<SessionId, Session>>; SHARDS],
}

impl Registry {
    pub(crate) fn insert(&self, session: Session) {
        self.shard(session.id())
            .write()
            .insert(session.id(), session);
    }

    pub(crate) fn remove(&self, id: SessionId) {
        self.shard(id).write().remove(&id);
    }

    pub(crate) fn find(&self, id: SessionId) -> Option<Session> {
        self.shard(id).read().get(&id).cloned()
    }

    /// Calls `visit` for each session that is there. Works on a copy of each shard, so `visit` may
    /// do anything; sessions that come or go meanwhile may be missed or ended.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Session)) {
        for shard in &self.shards {
            let sessions: Vec<Session> = shard.read().values().cloned().collect();
            sessions.iter().for_each(&mut visit);
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "the remainder is below 16")]
    fn shard(&self, id: SessionId) -> &RwLock<HashMap<SessionId, Session>> {
        &self.shards[(id.value() % SHARDS as u64) as usize]
    }
}
