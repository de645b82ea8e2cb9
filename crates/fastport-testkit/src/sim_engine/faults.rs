//! How likely each fault of a simulated engine is. All zero: a kind and prompt machine.

/// Chances in per mille, each time that the fault is possible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// An operation makes no progress in a step.
    pub lazy: u16,
    /// A receive brings fewer bytes than are there.
    pub short_read: u16,
    /// The kernel takes fewer bytes than it has room for.
    pub short_write: u16,
    /// A receive fails.
    pub receive_error: u16,
    /// A send fails.
    pub send_error: u16,
    /// An accept fails for want of descriptors or memory.
    pub accept_error: u16,
    /// A connection is gone before it is accepted.
    pub accept_aborted: u16,
    /// A socket can not be taken over.
    pub adopt_error: u16,
    /// A socket that was taken over does not know its peer any more.
    pub address_error: u16,
    /// There is no buffer for a receive at the moment.
    pub no_buffer: u16,
    /// A closed key's operations end some steps later.
    pub late_close: u16,
    /// A turn gets only a part of the events that are there, or none.
    pub few_events: u16,
}

impl Faults {
    /// All chances, by name, for whoever draws or shrinks them.
    pub fn fields_mut(&mut self) -> [(&'static str, &mut u16); 12] {
        [
            ("lazy", &mut self.lazy),
            ("short_read", &mut self.short_read),
            ("short_write", &mut self.short_write),
            ("receive_error", &mut self.receive_error),
            ("send_error", &mut self.send_error),
            ("accept_error", &mut self.accept_error),
            ("accept_aborted", &mut self.accept_aborted),
            ("adopt_error", &mut self.adopt_error),
            ("address_error", &mut self.address_error),
            ("no_buffer", &mut self.no_buffer),
            ("late_close", &mut self.late_close),
            ("few_events", &mut self.few_events),
        ]
    }
}
