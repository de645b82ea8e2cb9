//! What is so or not of a session, one bit each, so that a session has one byte of them all.
//!
//! Any thread reads and sets. Nothing is ordered by them: what must be ordered has an atomic of its
//! own in [`SessionShared`](super::shared::SessionShared).

use crate::SendPolicy;
use std::sync::atomic::{AtomicU8, Ordering};

/// What the session does is logged.
pub(crate) const TRACED: u8 = 1;
/// Three bits for the [`SendPolicy`].
const POLICY_SHIFT: u32 = 1;
const POLICY: u8 = 0b111 << POLICY_SHIFT;

/// The application has not accepted the peer yet.
pub(crate) const UNAUTHENTICATED: u8 = 1 << 4;
/// It is counted among those of which there may be so many.
pub(crate) const COUNTED_UNAUTHENTICATED: u8 = 1 << 5;

/// Requests to the peer wait for their answers.
pub(crate) const ASKS: u8 = 1 << 6;

/// Something was queued past the high watermark since the owner last found the queue below it: the
/// owner looks at the queue before it handles more, and not at each packet of everybody.
pub(crate) const PRESSED: u8 = 1 << 7;

/// See the module's page.
pub(crate) struct Flags(AtomicU8);

impl Flags {
    pub(crate) fn new(policy: SendPolicy) -> Self {
        Self(AtomicU8::new(policy.code() << POLICY_SHIFT))
    }

    /// Whether the flag is set.
    #[inline]
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.0.load(Ordering::Relaxed) & flag != 0
    }

    /// Sets or clears the flag. Whether it was set.
    pub(crate) fn set(&self, flag: u8, on: bool) -> bool {
        let before = if on {
            self.0.fetch_or(flag, Ordering::AcqRel)
        } else {
            self.0.fetch_and(!flag, Ordering::AcqRel)
        };
        before & flag != 0
    }

    pub(crate) fn send_policy(&self) -> SendPolicy {
        SendPolicy::of_code((self.0.load(Ordering::Relaxed) & POLICY) >> POLICY_SHIFT)
    }

    pub(crate) fn set_send_policy(&self, policy: SendPolicy) {
        let bits = policy.code() << POLICY_SHIFT;
        let change = |flags| Some(flags & !POLICY | bits);
        let order = Ordering::AcqRel;
        // The change is never refused.
        let _ = self.0.fetch_update(order, Ordering::Relaxed, change);
    }
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
