//! What an operator does to the server. Each action, done or refused, is written to the audit log.

use crate::access::{Origin, Role};
use crate::audit::Audit;
use crate::ban_file::BanFile;
use crate::model::{Action, BanRow, Outcome};
use crate::server::Control;
use fastport::protocol::admin::AdminNotice;
use fastport::{AddressBlock, Identified, Monitor, Session, SessionId};
use std::sync::Arc;
use std::time::Duration;

/// A message to sessions has so many bytes at most.
const MESSAGE_BYTES_MAX: usize = 1024;

/// The code that a peer is told when an operator ends its session; codes below are FastPort's own.
const KICKED: u16 = 1000;

/// Who asks for an action.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) origin: Origin,
    /// `None` for somebody without a token.
    pub(crate) role: Option<Role>,
}

impl Asker {
    const fn role_name(self) -> &'static str {
        match self.role {
            Some(role) => role.name(),
            None => "none",
        }
    }
}

/// Does actions.
pub(crate) struct Actions {
    monitor: Monitor,
    control: Arc<dyn Control>,
    audit: Audit,
    ban_file: BanFile,
}

impl Actions {
    pub(crate) fn new(
        monitor: Monitor,
        control: Arc<dyn Control>,
        audit: Audit,
        ban_file: BanFile,
    ) -> Self {
        Self {
            monitor,
            control,
            audit,
            ban_file,
        }
    }

    /// Does it, and writes down who did what with which outcome. May block for as long as a reload
    /// takes: not on the admin thread itself. `None`, and nothing is done, when the asker may not.
    pub(crate) fn perform(&self, asker: Asker, action: &Action) -> Option<Outcome> {
        let (name, target) = named(action);
        if asker.role != Some(Role::Operator) {
            let why = "refused: only an operator's token may act";
            self.note(asker, name, &target, why);
            return None;
        }
        let outcome = match self.act(action) {
            Ok((message, details)) => Outcome {
                done: true,
                message,
                details,
            },
            Err(message) => Outcome {
                done: false,
                message,
                details: Vec::new(),
            },
        };
        let word = if outcome.done { "done" } else { "failed" };
        let what = format!("{word}: {}", outcome.message);
        self.note(asker, name, &target, &what);
        Some(outcome)
    }

    /// Writes down that somebody was not let in.
    pub(crate) fn refuse(&self, asker: Asker, action: &str, why: &str) {
        self.note(asker, action, "", &format!("refused: {why}"));
    }

    fn note(&self, asker: Asker, action: &str, target: &str, outcome: &str) {
        let from = asker.origin.to_string();
        let role = asker.role_name();
        self.audit.note(&from, role, action, target, outcome);
    }

    /// The bans that hold.
    pub(crate) fn bans(&self) -> Vec<BanRow> {
        let bans = self.monitor.bans().into_iter();
        bans.map(|ban| BanRow {
            block: ban.block.to_string(),
            seconds_left: ban.left.map(|left| left.as_secs()),
        })
        .collect()
    }

    fn act(&self, action: &Action) -> Result<(String, Vec<String>), String> {
        let message = match action {
            Action::Kick { id } => {
                let session = self.session(*id)?;
                session.kick(KICKED, "ended by an operator");
                format!("session {id} of {} is ending", session.peer_address())
            }
            Action::Message { id, text } => self.send(*id, text)?,
            Action::Drain => {
                self.control.drain();
                "the server drains its sessions and stops".into()
            }
            Action::LogLevel { directives } => {
                self.control.set_log_level(directives)?;
                format!("logging by {directives}")
            }
            Action::Ban { block, seconds } => self.ban(block, *seconds)?,
            Action::Unban { block } => {
                if !self.monitor.unban(parse_block(block)?) {
                    return Err(format!("{block} is not banned"));
                }
                format!("{block} is no longer banned{}", self.keep_bans())
            }
            Action::Reload => {
                let details = self.control.reload()?;
                return Ok(("the settings were read again".into(), details));
            }
            Action::Trace { id, on } => {
                self.session(*id)?.set_traced(*on);
                let what = if *on { "logged" } else { "no longer logged" };
                format!("packets of session {id} are {what}")
            }
        };
        Ok((message, Vec::new()))
    }

    fn session(&self, id: u64) -> Result<Session, String> {
        let found = self.monitor.session(SessionId::from_value(id));
        found.ok_or_else(|| format!("there is no session {id}"))
    }

    fn send(&self, id: Option<u64>, text: &str) -> Result<String, String> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(format!("a message has {MESSAGE_BYTES_MAX} bytes at most"));
        }
        let notice = AdminNotice {
            header: None,
            text: text.into(),
        };
        if let Some(id) = id {
            let sent = self.session(id)?.send(AdminNotice::ID, &notice);
            return match sent {
                Ok(_) => Ok(format!("sent to session {id}")),
                Err(error) => Err(error.to_string()),
            };
        }
        let frame = fastport::shared_frame(AdminNotice::ID, &notice);
        let frame = frame.map_err(|error| error.to_string())?;
        let mut sent = 0;
        self.monitor.for_each_session(|session| {
            sent += usize::from(session.send_shared(&frame).is_ok());
        });
        Ok(format!("sent to {sent} sessions"))
    }

    fn ban(&self, text: &str, seconds: Option<u64>) -> Result<String, String> {
        let block = parse_block(text)?;
        self.monitor.ban(block, seconds.map(Duration::from_secs));
        let mut ended = 0;
        self.monitor.for_each_session(|session| {
            if block.contains(session.peer_address().ip()) {
                session.kick(KICKED, "this address is banned");
                ended += 1;
            }
        });
        let until = seconds.map_or("for good".into(), |seconds| format!("for {seconds} s"));
        let kept = self.keep_bans();
        Ok(format!(
            "{block} is banned {until}; {ended} sessions are ending{kept}"
        ))
    }

    /// Writes the bans down. What is to be told of that: the ban itself is in force already.
    fn keep_bans(&self) -> String {
        match self.ban_file.save(&self.monitor) {
            Ok(()) => String::new(),
            Err(error) => {
                tracing::error!(target: "fastport::audit", %error, "bans can not be written");
                format!("; this will not be known after a restart: {error}")
            }
        }
    }
}

fn parse_block(text: &str) -> Result<AddressBlock, String> {
    text.parse()
        .map_err(|error: fastport::AddressBlockError| error.to_string())
}

/// The action's name and what it is about, for the audit log.
fn named(action: &Action) -> (&'static str, String) {
    match action {
        Action::Kick { id } => ("kick", id.to_string()),
        Action::Message { id, text } => {
            let to = id.map_or("all".into(), |id| id.to_string());
            ("message", format!("{to}: {text}"))
        }
        Action::Drain => ("drain", String::new()),
        Action::LogLevel { directives } => ("log_level", directives.clone()),
        Action::Ban { block, .. } => ("ban", block.clone()),
        Action::Unban { block } => ("unban", block.clone()),
        Action::Reload => ("reload", String::new()),
        Action::Trace { id, on } => ("trace", format!("{id} {on}")),
    }
}
