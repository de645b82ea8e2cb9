//! The live dashboard on a terminal: what the server does, second by second, and its sessions.
//!
//! One thread: it asks the server, draws, and waits for a key until the next second is due.

mod view;

use crate::clock::Clock;
use crate::failure::Failure;
use fastport_admin::AdminError;
use fastport_admin::client::AdminClient;
use fastport_admin::model::{Action, SessionRow, Status};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::collections::VecDeque;
use std::time::Duration;

/// Samples are made once a second.
const PERIOD: Duration = Duration::from_secs(1);
/// Seconds that the curves go back.
const HISTORY: usize = 240;
/// Sessions that are asked for; the table scrolls through them.
const ROWS: usize = 200;

/// What is shown.
pub(crate) struct Dashboard {
    pub(crate) status: Status,
    pub(crate) packets: VecDeque<u64>,
    pub(crate) sessions: Vec<SessionRow>,
    pub(crate) total: usize,
    pub(crate) sort: Sort,
    /// The row that is chosen.
    pub(crate) chosen: usize,
    /// The session that a key press more would end.
    pub(crate) about_to_kick: Option<u64>,
    /// What came of the last key.
    pub(crate) note: String,
    /// The server does not answer: what is shown is what it last said.
    pub(crate) lost: Option<Lost>,
    clock: Clock,
    /// When it last answered, by the clock.
    answered_ns: u64,
}

/// A server that does not answer.
pub(crate) struct Lost {
    /// What happened.
    pub(crate) problem: String,
    /// How long ago it last answered.
    pub(crate) seconds: u64,
}

/// The order of the sessions.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Sort {
    Id,
    Packets,
    Received,
    Sent,
    Queued,
}

impl Sort {
    pub(crate) const ALL: [Self; 5] = [
        Self::Id,
        Self::Packets,
        Self::Received,
        Self::Sent,
        Self::Queued,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Packets => "packets",
            Self::Received => "received",
            Self::Sent => "sent",
            Self::Queued => "queued",
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self);
        Self::ALL[at.map_or(0, |at| (at + 1) % Self::ALL.len())]
    }
}

/// Shows the dashboard until `q`, Escape or Ctrl-C.
///
/// # Errors
/// A server that is not there at first, a terminal that can not be used.
pub(crate) fn run(client: &AdminClient) -> Result<(), Failure> {
    let mut dashboard = Dashboard::new(client.status()?);
    dashboard.look_at_sessions(client);
    let mut terminal = ratatui::try_init()
        .map_err(|error| Failure::while_doing("cannot use the terminal", error))?;
    let outcome = dashboard.show(&mut terminal, client);
    ratatui::restore();
    outcome.map_err(|error| Failure::while_doing("cannot use the terminal", error))
}

impl Dashboard {
    pub(crate) fn new(status: Status) -> Self {
        Self {
            packets: VecDeque::from([status.rates.packets_in as u64]),
            status,
            sessions: Vec::new(),
            total: 0,
            sort: Sort::Packets,
            chosen: 0,
            about_to_kick: None,
            note: String::new(),
            lost: None,
            clock: Clock::start(),
            answered_ns: 0,
        }
    }

    fn show(
        &mut self,
        terminal: &mut DefaultTerminal,
        client: &AdminClient,
    ) -> std::io::Result<()> {
        loop {
            terminal.draw(|frame| view::draw(self, frame))?;
            let mut pressed = false;
            // Keys are answered at once; silence for a second is time for a look.
            while event::poll(if pressed { Duration::ZERO } else { PERIOD })? {
                if let Event::Key(key) = event::read()?
                    && key.kind == KeyEventKind::Press
                    && !self.on_key(key, client)
                {
                    return Ok(());
                }
                pressed = true;
            }
            self.look(client);
        }
    }

    /// Asks the server. While it does not answer the last picture stays, and is marked as such.
    fn look(&mut self, client: &AdminClient) {
        match client.status() {
            Ok(status) => {
                if status.unix_ms != self.status.unix_ms {
                    self.packets.push_back(status.rates.packets_in as u64);
                    if self.packets.len() > HISTORY {
                        self.packets.pop_front();
                    }
                }
                self.status = status;
                self.answered_ns = self.clock.now_ns();
                self.lost = None;
                self.look_at_sessions(client);
            }
            Err(error) => {
                let silent_ns = self.clock.now_ns() - self.answered_ns;
                self.lost = Some(Lost {
                    problem: told(&error),
                    seconds: silent_ns / 1_000_000_000,
                });
            }
        }
    }

    fn look_at_sessions(&mut self, client: &AdminClient) {
        match client.sessions(self.sort.name(), None, ROWS) {
            Ok(list) => {
                // The choice is of a session, which may be in another place now.
                let id = self.sessions.get(self.chosen).map(|session| session.id);
                let found = list.sessions.iter().position(|row| Some(row.id) == id);
                self.chosen = found.unwrap_or(self.chosen);
                self.chosen = self.chosen.min(list.sessions.len().saturating_sub(1));
                (self.sessions, self.total) = (list.sessions, list.total);
            }
            Err(error) => self.note = told(&error),
        }
    }

    /// False when the dashboard is to end.
    fn on_key(&mut self, key: KeyEvent, client: &AdminClient) -> bool {
        let to_kick = self.about_to_kick.take();
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
            KeyCode::Char('q') | KeyCode::Esc if to_kick.is_none() => return false,
            KeyCode::Char('y') => self.kick(to_kick, client),
            KeyCode::Char('k') => {
                let chosen = self.sessions.get(self.chosen);
                self.about_to_kick = chosen.map(|session| session.id);
                self.note.clear();
            }
            KeyCode::Char('s') => {
                self.sort = self.sort.next();
                self.chosen = 0;
                self.sessions.clear();
            }
            KeyCode::Down => self.choose(self.chosen.saturating_add(1)),
            KeyCode::Up => self.choose(self.chosen.saturating_sub(1)),
            KeyCode::PageDown => self.choose(self.chosen.saturating_add(10)),
            KeyCode::PageUp => self.choose(self.chosen.saturating_sub(10)),
            KeyCode::Home => self.choose(0),
            _ => {}
        }
        true
    }

    fn choose(&mut self, row: usize) {
        self.chosen = row.min(self.sessions.len().saturating_sub(1));
    }

    fn kick(&mut self, id: Option<u64>, client: &AdminClient) {
        let Some(id) = id else { return };
        self.note = match client.act(&Action::Kick { id }) {
            Ok(outcome) => outcome.message,
            Err(error) => told(&error),
        };
    }
}

fn told(error: &AdminError) -> String {
    error.to_string()
}
