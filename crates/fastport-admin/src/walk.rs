//! Pages by number over sessions that come and go: where each page begins is remembered as an id.
//!
//! The wire asks for `offset` and `limit`. An offset alone would repeat and skip sessions whenever
//! one in front of it ends. So the answer to a page is noted together with the offset that follows
//! it: whoever asks for that offset next goes on behind the last session that was told.

use fastport::{Monitor, SessionId, SessionPage};
use std::collections::VecDeque;

/// Ends of pages that one client was told.
#[derive(Default)]
pub(crate) struct Walk {
    ends: VecDeque<(u32, SessionId)>,
}

/// Pages that are remembered for a client: it may read several lists at once.
const REMEMBERED: usize = 16;

impl Walk {
    /// The page at `offset`.
    pub(crate) fn page(&mut self, monitor: &Monitor, offset: u32, limit: usize) -> SessionPage {
        let known = self.ends.iter().rev().find(|(at, _)| *at == offset);
        let after = match known {
            _ if offset == 0 => None,
            Some((_, id)) => Some(*id),
            None => monitor.id_before(offset as usize),
        };
        let page = monitor.page(after, limit);
        if let Some(last) = page.sessions.last() {
            let count = u32::try_from(page.sessions.len()).unwrap_or(u32::MAX);
            let next = offset.saturating_add(count);
            self.ends.retain(|(at, _)| *at != next);
            if self.ends.len() >= REMEMBERED {
                self.ends.pop_front();
            }
            self.ends.push_back((next, last.id()));
        }
        page
    }
}
