//! What is so or not of a session, one bit each, so that one look tells the owner whether a packet
//! may take the short way.
//!
//! Any thread reads and sets. [`ENDS`] publishes what was written before it; nothing is ordered by
//! the others: what must be ordered has an atomic of its own in
//! [`SessionShared`](super::shared::SessionShared).

use crate::SendPolicy;
use std::sync::atomic::{AtomicU16, Ordering};

/// What the session does is logged.
pub(crate) const TRACED: u16 = 1;
/// Three bits for the [`SendPolicy`].
const POLICY_SHIFT: u32 = 1;
const POLICY: u16 = 0b111 << POLICY_SHIFT;

/// The application has not accepted the peer yet.
pub(crate) const UNAUTHENTICATED: u16 = 1 << 4;
/// It is counted among those of which there may be so many.
pub(crate) const COUNTED_UNAUTHENTICATED: u16 = 1 << 5;

/// Requests to the peer wait for their answers.
pub(crate) const ASKS: u16 = 1 << 6;

/// Something was queued past the high watermark since the owner last found the queue below it: the
/// owner looks at the queue before it handles more, and not at each packet of everybody.
pub(crate) const PRESSED: u16 = 1 << 7;

/// The end was asked for: the seed's `m_DisconnectRequested`, set once, by whoever is first.
pub(crate) const ENDS: u16 = 1 << 8;

/// The queue is full, and how long that may last is limited.
pub(crate) const FULL: u16 = 1 << 9;

/// See the module's page.
pub(crate) struct Flags(AtomicU16);

impl Flags {
    pub(crate) fn new(policy: SendPolicy) -> Self {
        Self(AtomicU16::new(bits_of(policy)))
    }

    /// Whether one of the flags is set. Acquire, so that who sees [`ENDS`] sees the reason.
    #[inline]
    pub(crate) fn has(&self, flags: u16) -> bool {
        self.among(flags) != 0
    }

    /// Those of the flags that are set.
    #[inline]
    pub(crate) fn among(&self, flags: u16) -> u16 {
        self.0.load(Ordering::Acquire) & flags
    }

    /// Sets or clears the flag. Whether it was set.
    pub(crate) fn set(&self, flag: u16, on: bool) -> bool {
        let before = if on {
            self.0.fetch_or(flag, Ordering::AcqRel)
        } else {
            self.0.fetch_and(!flag, Ordering::AcqRel)
        };
        before & flag != 0
    }

    pub(crate) fn send_policy(&self) -> SendPolicy {
        let bits = self.0.load(Ordering::Relaxed) & POLICY;
        // Three bits.
        SendPolicy::of_code((bits >> POLICY_SHIFT) as u8)
    }

    pub(crate) fn set_send_policy(&self, policy: SendPolicy) {
        let bits = bits_of(policy);
        let change = |flags| Some(flags & !POLICY | bits);
        let order = Ordering::AcqRel;
        // The change is never refused.
        let _ = self.0.fetch_update(order, Ordering::Relaxed, change);
    }
}

fn bits_of(policy: SendPolicy) -> u16 {
    u16::from(policy.code()) << POLICY_SHIFT
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_policy_leaves_the_other_flags_alone() {
        let flags = Flags::new(SendPolicy::Disconnect);
        assert!(!flags.set(TRACED, true));
        for policy in SendPolicy::ALL {
            flags.set_send_policy(policy);
            assert_eq!(flags.send_policy(), policy);
            assert!(flags.has(TRACED));
        }
        assert!(flags.set(TRACED, false) && !flags.has(TRACED));
        assert_eq!(flags.send_policy(), *SendPolicy::ALL.last().unwrap());
    }
}
