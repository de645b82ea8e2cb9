//! Who takes part: a server, how many workers it has, and what goes on beside the load.

use crate::server::ServerKind;
use clap::ValueEnum;
use std::str::FromStr;

/// One line of a table.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Contestant {
    pub(crate) kind: ServerKind,
    pub(crate) workers: usize,
    pub(crate) beside: Beside,
    /// Sessions of a worker that are direct descriptors.
    pub(crate) direct: usize,
    /// Connections are accepted with their first bytes.
    pub(crate) defers: bool,
}

/// What the server has to do beside the load that is measured.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Beside {
    Nothing,
    /// So many sessions live, each after one echo.
    Idle(usize),
    /// One more session sends, one after the other, packets whose handler blocks for 1 ms.
    Blocked,
}

impl Contestant {
    /// The server alone, with one worker.
    pub(crate) const fn alone(kind: ServerKind) -> Self {
        Self {
            kind,
            workers: 1,
            beside: Beside::Nothing,
            direct: 0,
            defers: false,
        }
    }

    /// The name that a table shows.
    pub(crate) fn name(self) -> String {
        let mut name = self.kind.name().to_owned();
        if self.workers > 1 {
            name.push_str(&format!(", {} workers", self.workers));
        }
        if self.direct > 0 {
            name.push_str(", direct descriptors");
        }
        if self.defers {
            name.push_str(", deferred accepts");
        }
        match self.beside {
            Beside::Nothing => {}
            Beside::Idle(sessions) => name.push_str(&format!(", {sessions} idle beside")),
            Beside::Blocked => name.push_str(", one session blocks"),
        }
        name
    }
}

impl FromStr for Contestant {
    type Err = String;

    /// `SERVER[:workers=N][:direct=N][:defer][:idle=N][:blocked]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let server = parts.next().unwrap_or_default();
        let known = || {
            let names = ServerKind::value_variants().iter();
            let names: Vec<_> = names.filter_map(|kind| kind.to_possible_value()).collect();
            let names: Vec<_> = names.iter().map(|value| value.get_name()).collect();
            format!("no server {server}; there are {}", names.join(", "))
        };
        let kind = ServerKind::from_str(server, false).map_err(|_| known())?;
        let mut contestant = Self::alone(kind);
        let count = |text: &str| text.parse().ok().filter(|count| *count > 0);
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let refused = || format!("{part}: write workers=N, direct=N, defer, idle=N or blocked");
            match key {
                "workers" => contestant.workers = count(value).ok_or_else(refused)?,
                "direct" => contestant.direct = count(value).ok_or_else(refused)?,
                "defer" if value.is_empty() => contestant.defers = true,
                "idle" => contestant.beside = Beside::Idle(count(value).ok_or_else(refused)?),
                "blocked" if value.is_empty() => contestant.beside = Beside::Blocked,
                _ => return Err(refused()),
            }
        }
        if contestant.workers > 1 && !kind.has_workers() {
            return Err(format!("{server} has one thread"));
        }
        if (contestant.direct > 0 || contestant.defers) && !kind.is_fastport() {
            return Err(format!("{server} has no such setting"));
        }
        if contestant.beside == Beside::Blocked && kind != ServerKind::FastportLibrary {
            return Err("only fastport-library has a handler that blocks".to_owned());
        }
        Ok(contestant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_with_what_goes_on_beside() {
        let plain: Contestant = "limit".parse().unwrap();
        assert_eq!(plain, Contestant::alone(ServerKind::Limit));
        let two: Contestant = "tokio:workers=2:idle=9".parse().unwrap();
        assert_eq!((two.workers, two.beside), (2, Beside::Idle(9)));
        assert_eq!(two.name(), "tokio multi-thread, 2 workers, 9 idle beside");
        let direct: Contestant = "fastport-io-uring:direct=9".parse().unwrap();
        assert_eq!(direct.direct, 9);
        assert_eq!(direct.name(), "FastPort io_uring, direct descriptors");
        let deferring: Contestant = "fastport-poll:defer".parse().unwrap();
        assert_eq!(deferring.name(), "FastPort poll, deferred accepts");
    }

    #[test]
    fn what_a_server_can_not_do_is_refused() {
        for text in [
            "nobody",
            "tokio:workers=0",
            "tokio:threads=2",
            "compio:workers=2",
            "tokio:blocked",
            "limit:direct=9",
            "limit:defer",
            "fastport-poll:defer=1",
        ] {
            assert!(text.parse::<Contestant>().is_err(), "{text}");
        }
    }
}
