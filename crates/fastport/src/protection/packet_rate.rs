//! How fast a session may send, in all and by packet id, and what happens when it is faster.
//!
//! Judged by the owning worker as it finds the frames, before any handler. A session has meters
//! only once it has sent something, and loses them again when it is silent.

use crate::PacketId;
use crate::config::{Profile, ProtectionConfig};
use crate::protection::meter::{Meter, Rate};
use crate::stats::counters::WorkerCounters;
use fastport_engine::Moment;

/// What happens to a packet above a rate.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum RateAction {
    /// The rate is not looked at.
    Off,
    /// It is counted, and delivered.
    Count,
    /// It waits until the rate allows it, and all behind it with it: the session is not read from
    /// meanwhile, so that its peer is slowed down. Nothing is lost.
    #[default]
    Delay,
    /// It is counted, and dropped.
    Drop,
    /// The session is closed with [`CloseReason::RateLimited`](crate::CloseReason::RateLimited).
    Disconnect,
}

/// A rate for one packet id.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PacketRate {
    /// The id.
    pub id: PacketId,
    /// How many packets with it a session may send.
    pub rate: Rate,
    /// What happens to more.
    pub action: RateAction,
}

/// The rates that hold for every session from an address that is not trusted.
#[derive(Debug)]
pub(crate) struct SessionRates {
    packets: Rate,
    bytes: Rate,
    action: RateAction,
    /// In the order of their ids.
    ids: Vec<PacketRate>,
}

impl SessionRates {
    pub(crate) fn new(config: &ProtectionConfig) -> Self {
        let acting = |action: RateAction| match config.profile {
            Profile::Public => action,
            Profile::Trusted => action.min(RateAction::Count),
        };
        let ids = config.packet_rates.iter();
        let mut ids: Vec<_> = ids
            .filter(|of| of.action != RateAction::Off && !of.rate.is_off())
            .map(|of| PacketRate {
                action: acting(of.action),
                ..*of
            })
            .collect();
        ids.sort_unstable_by_key(|of| of.id.number());
        Self {
            packets: config.packet_rate,
            bytes: config.byte_rate,
            action: acting(config.rate_action),
            ids,
        }
    }

    /// Whether there is anything to measure.
    pub(crate) fn is_on(&self) -> bool {
        let session = !self.packets.is_off() || !self.bytes.is_off();
        self.action != RateAction::Off && session || !self.ids.is_empty()
    }
}

/// What is to be done with a packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Deliver,
    Drop,
    /// Not before this time.
    Hold(u64),
    Disconnect,
}

/// What one session has used up of its rates.
#[derive(Debug, Default)]
pub(crate) struct SessionMeters {
    packets: Meter,
    bytes: Meter,
    ids: Box<[Meter]>,
    /// The time of this turn, in nanoseconds.
    now: u64,
    /// What is held waits until then.
    pub(crate) held_until: Option<Moment>,
}

impl SessionMeters {
    pub(crate) fn new(rates: &SessionRates) -> Box<Self> {
        Box::new(Self {
            ids: vec![Meter::default(); rates.ids.len()].into(),
            ..Self::default()
        })
    }

    /// Begins to judge what came in a turn.
    pub(crate) fn begin(&mut self, now: u64) {
        self.now = now;
        self.held_until = None;
    }

    /// Judges the next packet, and counts what is not just delivered.
    pub(crate) fn judge(
        &mut self,
        rates: &SessionRates,
        id: PacketId,
        bytes: usize,
        counters: &WorkerCounters,
    ) -> Verdict {
        let now = self.now;
        let (mut action, mut until) = (RateAction::Off, 0);
        let mut look = |meter: &Meter, rate: Rate, its_action: RateAction| {
            if let Err(next) = meter.look(rate, now) {
                action = action.max(its_action);
                until = next.max(until);
            }
        };
        let own = rates
            .ids
            .binary_search_by_key(&id.number(), |of| of.id.number());
        let own = own
            .ok()
            .and_then(|at| Some((self.ids.get_mut(at)?, rates.ids.get(at)?)));
        if let Some((meter, of)) = &own {
            look(meter, of.rate, of.action);
        }
        if rates.action != RateAction::Off {
            look(&self.packets, rates.packets, rates.action);
            look(&self.bytes, rates.bytes, rates.action);
        }
        match action {
            RateAction::Off => {}
            RateAction::Count => counters.packets_over_rate.add(1),
            RateAction::Delay => {
                counters.packets_delayed.add(1);
                return Verdict::Hold(until);
            }
            RateAction::Drop => {
                counters.packets_dropped.add(1);
                return Verdict::Drop;
            }
            RateAction::Disconnect => return Verdict::Disconnect,
        }
        if let Some((meter, of)) = own {
            meter.charge(of.rate, 1, now);
        }
        self.packets.charge(rates.packets, 1, now);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.bytes.charge(rates.bytes, bytes, now);
        Verdict::Deliver
    }

    /// As [`SessionMeters::judge`], for a packet that can not be held: it was put together from
    /// pieces. It is delivered now, and what follows it waits the longer.
    pub(crate) fn judge_now(
        &mut self,
        rates: &SessionRates,
        id: PacketId,
        bytes: usize,
        counters: &WorkerCounters,
    ) -> Verdict {
        let verdict = self.judge(rates, id, bytes, counters);
        let Verdict::Hold(_) = verdict else {
            return verdict;
        };
        self.packets.charge(rates.packets, 1, self.now);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.bytes.charge(rates.bytes, bytes, self.now);
        Verdict::Deliver
    }

    /// Whether forgetting these meters changes nothing.
    pub(crate) fn is_idle(&self, now: u64) -> bool {
        let mut ids = self.ids.iter();
        self.held_until.is_none()
            && self.packets.is_full(now)
            && self.bytes.is_full(now)
            && ids.all(|meter| meter.is_full(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(change: impl FnOnce(&mut ProtectionConfig)) -> SessionRates {
        let mut config = ProtectionConfig {
            packet_rate: Rate::new(10, 3),
            byte_rate: Rate::OFF,
            ..ProtectionConfig::default()
        };
        change(&mut config);
        SessionRates::new(&config)
    }

    fn judged(rates: &SessionRates, ids: &[u16]) -> Vec<Verdict> {
        let (mut meters, counters) = (SessionMeters::new(rates), WorkerCounters::default());
        meters.begin(5);
        let ids = ids.iter().map(|id| PacketId::new(*id));
        ids.map(|id| meters.judge(rates, id, 100, &counters))
            .collect()
    }

    #[test]
    fn each_action_does_what_it_says() {
        use Verdict::{Deliver, Disconnect, Drop};
        let action = |action| rates(|config| config.rate_action = action);
        let five = [1; 5];
        assert_eq!(judged(&action(RateAction::Off), &five), [Deliver; 5]);
        assert_eq!(judged(&action(RateAction::Count), &five), [Deliver; 5]);
        assert_eq!(
            judged(&action(RateAction::Drop), &five)[2..],
            [Deliver, Drop, Drop]
        );
        assert_eq!(
            judged(&action(RateAction::Disconnect), &five)[3],
            Disconnect
        );
        let held = judged(&action(RateAction::Delay), &five)[3];
        assert!(
            matches!(held, Verdict::Hold(until) if until > 5),
            "{held:?}"
        );
    }

    #[test]
    fn bytes_are_a_rate_too() {
        let rates = rates(|config| {
            config.packet_rate = Rate::OFF;
            config.byte_rate = Rate::new(1000, 250);
            config.rate_action = RateAction::Drop;
        });
        use Verdict::{Deliver, Drop};
        assert_eq!(judged(&rates, &[1; 4]), [Deliver, Deliver, Deliver, Drop]);
    }

    #[test]
    fn an_id_has_a_rate_of_its_own() {
        let of = |id, action| PacketRate {
            id: PacketId::new(id),
            rate: Rate::new(1, 1),
            action,
        };
        let rates = rates(|config| {
            config.packet_rate = Rate::OFF;
            config.packet_rates = vec![of(9, RateAction::Disconnect), of(7, RateAction::Drop)];
        });
        use Verdict::{Deliver, Disconnect, Drop};
        assert_eq!(
            judged(&rates, &[7, 8, 8, 7, 9, 8, 9]),
            [
                Deliver, Deliver, Deliver, Drop, Deliver, Deliver, Disconnect
            ]
        );
    }

    #[test]
    fn the_trusted_profile_only_counts() {
        let rates = rates(|config| {
            config.profile = Profile::Trusted;
            config.rate_action = RateAction::Disconnect;
        });
        assert_eq!(judged(&rates, &[1; 9]), [Verdict::Deliver; 9]);
    }

    #[test]
    fn a_frame_in_pieces_is_never_held() {
        let rates = rates(|_| {});
        let (mut meters, counters) = (SessionMeters::new(&rates), WorkerCounters::default());
        meters.begin(0);
        for _ in 0..20 {
            let verdict = meters.judge_now(&rates, PacketId::new(1), 1, &counters);
            assert_eq!(verdict, Verdict::Deliver);
        }
        let Verdict::Hold(until) = meters.judge(&rates, PacketId::new(1), 1, &counters) else {
            panic!("it was not charged for");
        };
        assert!(until > 1_600_000_000, "{until}");
        assert!(!meters.is_idle(0));
        assert!(meters.is_idle(3_000_000_000));
    }
}
