//! All sessions of a service by id, for lookups from any thread.

use crate::lock::RwLock;
use crate::session::handle::{Session, SessionId};
use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

const SHARDS: usize = 16;

/// Sessions in shards with a reader-writer lock each (the seed's RWLock). Touched when a session
/// begins and ends and by lookups, never per message.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    shards: [RwLock<Shard>; SHARDS],
}

type Shard = HashSet<ById, BuildHasherDefault<IdHasher>>;

impl Registry {
    pub(crate) fn insert(&self, session: Session) {
        self.shard(session.id()).write().insert(ById(session));
    }

    pub(crate) fn remove(&self, id: SessionId) {
        // Taken out under the lock and dropped after it: the last handle may free much.
        let _session = self.shard(id).write().take(&id);
    }

    pub(crate) fn find(&self, id: SessionId) -> Option<Session> {
        let shard = self.shard(id).read();
        shard.get(&id).map(|ById(session)| session.clone())
    }

    /// Calls `visit` for each session that is there. Works on a copy of each shard, so `visit` may
    /// do anything; sessions that come or go meanwhile may be missed or ended.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Session)) {
        for shard in &self.shards {
            let sessions: Vec<Session> = shard.read().iter().map(|s| s.0.clone()).collect();
            sessions.iter().for_each(&mut visit);
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "the remainder is below 16")]
    fn shard(&self, id: SessionId) -> &RwLock<Shard> {
        &self.shards[(id.value() % SHARDS as u64) as usize]
    }
}

/// A session that is found by its id, which it holds itself: an entry is one pointer.
#[derive(Debug)]
struct ById(Session);

impl Borrow<SessionId> for ById {
    fn borrow(&self) -> &SessionId {
        &self.0.shared().id
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for ById {}

/// Ids are given out in order by this process, so nobody can choose ones that collide.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    /// Both halves of a product with the golden ratio: the ids of a shard differ in the middle, and
    /// the table takes the lowest bits as well as the highest.
    fn write_u64(&mut self, id: u64) {
        let product = u128::from(id) * 0x9E37_79B9_7F4A_7C15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_shard_spread_over_a_table() {
        let mut places = [0_u32; 256];
        for id in (5..).step_by(SHARDS).take(256) {
            let mut hasher = IdHasher::default();
            SessionId::new(id).hash(&mut hasher);
            places[(hasher.finish() % 256) as usize] += 1;
        }
        let most = places.into_iter().max();
        assert!(most <= Some(8), "{most:?} of 256 ids in one of 256 places");
    }
}
