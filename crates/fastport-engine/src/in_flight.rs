//! Which operations of a key are outstanding, and when its `Closed` is due: once for all back-ends.
//!
//! ```text
//!   Open { bits } --close--> Closing { bits } --last bit cleared--> Closed
//!        |                        bits != 0
//!        +--close, bits == 0------------------------------------------^
//! ```
//!
//! A bit is cleared by the operation's final completion only: on io_uring one without MORE, on IOCP
//! the dequeued packet (or a synchronous success with skip-on-success), on poll the return of the
//! call. The memory of an operation belongs to the kernel while its bit is set.

/// The kinds of operations. At most one of each is outstanding per key.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Op {
    /// Accepting on a listener, however many are posted.
    Accept = 1,
    /// Connecting.
    Connect = 2,
    /// Receiving, one-shot or multishot.
    Recv = 3,
    /// Sending one batch.
    Send = 4,
    /// Half-closing, where that takes the kernel a while.
    Shutdown = 5,
    /// Looking whether the connection is broken.
    Look = 6,
    /// Giving up the last hold on a file, when nothing else is outstanding any more.
    Close = 7,
    /// Asking the kernel to end another operation. Of no key.
    Cancel = 8,
    /// Waiting for a wake-up from another thread. Of no key.
    Wake = 9,
}

impl Op {
    /// The operation with this number.
    #[must_use]
    pub const fn from_u8(op: u8) -> Option<Self> {
        Some(match op {
            1 => Self::Accept,
            2 => Self::Connect,
            3 => Self::Recv,
            4 => Self::Send,
            5 => Self::Shutdown,
            6 => Self::Look,
            7 => Self::Close,
            8 => Self::Cancel,
            9 => Self::Wake,
            _ => return None,
        })
    }

    /// Its bit in the operations of a key.
    const fn bit(self) -> u8 {
        debug_assert!(self as u8 <= Self::Close as u8, "an operation of no key");
        1 << (self as u8 - 1)
    }
}

/// The outstanding operations of one key and how far its close has come.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum InFlight {
    /// In use.
    Open {
        /// A bit per outstanding [`Op`].
        bits: u8,
    },
    /// To be closed as soon as the kernel holds nothing more.
    Closing {
        /// A bit per outstanding [`Op`]; never 0.
        bits: u8,
    },
    /// Nothing is outstanding, and nothing may begin.
    Closed,
}

impl Default for InFlight {
    fn default() -> Self {
        Self::Open { bits: 0 }
    }
}

impl InFlight {
    /// Notes that `op` was handed to the kernel.
    ///
    /// # Panics
    /// In debug builds, when it is outstanding already or the key is closing or closed.
    pub fn begin(&mut self, op: Op) {
        match self {
            Self::Open { bits } => {
                debug_assert_eq!(*bits & op.bit(), 0, "{op:?} is outstanding already");
                *bits |= op.bit();
            }
            Self::Closing { .. } | Self::Closed => {
                debug_assert!(false, "{op:?} begun after the close");
            }
        }
    }

    /// Notes the final completion of `op`. True when `Closed` is due now.
    ///
    /// # Panics
    /// In debug builds, when it was not outstanding.
    #[must_use]
    pub fn finish(&mut self, op: Op) -> bool {
        debug_assert!(self.has(op), "{op:?} finished, but was not outstanding");
        match self {
            Self::Open { bits } => *bits &= !op.bit(),
            Self::Closing { bits } => *bits &= !op.bit(),
            Self::Closed => return false,
        }
        self.settle()
    }

    /// Asks for the close. True when `Closed` is due now; false also when it was asked for before.
    #[must_use]
    pub fn close(&mut self) -> bool {
        let Self::Open { bits } = *self else {
            return false;
        };
        *self = Self::Closing { bits };
        self.settle()
    }

    /// Whether `op` is outstanding.
    #[must_use]
    pub fn has(&self, op: Op) -> bool {
        match self {
            Self::Open { bits } | Self::Closing { bits } => bits & op.bit() != 0,
            Self::Closed => false,
        }
    }

    /// Whether anything is outstanding.
    #[must_use]
    pub fn any(&self) -> bool {
        matches!(self, Self::Open { bits } | Self::Closing { bits } if *bits != 0)
    }

    /// Whether the key is in use: no close was asked for.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    fn settle(&mut self) -> bool {
        let due = matches!(self, Self::Closing { bits: 0 });
        if due {
            *self = Self::Closed;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_is_due_once_and_last() {
        let mut state = InFlight::default();
        state.begin(Op::Recv);
        state.begin(Op::Send);
        assert!(!state.close());
        assert!(!state.close());
        assert!(!state.finish(Op::Recv));
        assert!(state.finish(Op::Send));
        assert_eq!(state, InFlight::Closed);
        assert!(!state.close());
    }

    #[test]
    fn an_idle_key_closes_at_once() {
        let mut state = InFlight::default();
        assert!(state.close());
        assert!(!state.any());
    }
}
