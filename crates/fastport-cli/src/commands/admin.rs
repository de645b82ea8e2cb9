//! `fastport admin`: does something to a running server, over its admin listener.

use crate::administration::token;
use crate::arguments::{AdminAction, AdminArguments, AdminTarget};
use crate::failure::Failure;
use crate::terminal;
use fastport_admin::client::AdminClient;
use fastport_admin::model::Action;

/// Sessions that are asked for at once.
const PAGE: usize = 1000;

/// Does it, and tells what came of it.
///
/// # Errors
/// No server there, or a server that refuses.
pub(crate) fn run(arguments: &AdminArguments) -> Result<(), Failure> {
    let client = connect(&arguments.target)?;
    let action = match &arguments.action {
        AdminAction::Bans => return show_bans(&client),
        AdminAction::Sessions { limit } => return show_sessions(&client, *limit),
        AdminAction::Kick { id } => Action::Kick { id: *id },
        AdminAction::Message { text, session } => Action::Message {
            id: *session,
            text: text.clone(),
        },
        AdminAction::Drain => Action::Drain,
        AdminAction::Log { directives } => Action::LogLevel {
            directives: directives.clone(),
        },
        AdminAction::Ban { block, duration } => Action::Ban {
            block: block.clone(),
            seconds: duration.map(|duration| duration.as_secs().max(1)),
        },
        AdminAction::Unban { block } => Action::Unban {
            block: block.clone(),
        },
        AdminAction::Reload => Action::Reload,
        AdminAction::Trace { id, off } => Action::Trace { id: *id, on: !off },
    };
    let outcome = client.act(&action)?;
    if !outcome.done {
        return Err(Failure::Runtime(outcome.message));
    }
    terminal::say(&outcome.message);
    for line in &outcome.details {
        terminal::say(format_args!("  {line}"));
    }
    Ok(())
}

/// A client of the server that is meant.
///
/// # Errors
/// An address or a token that is none.
pub(crate) fn connect(target: &AdminTarget) -> Result<AdminClient, Failure> {
    let token = token(target.token_file.as_deref())?;
    Ok(AdminClient::new(target.admin.parse()?, token)?)
}

fn show_bans(client: &AdminClient) -> Result<(), Failure> {
    for ban in client.bans()? {
        match ban.seconds_left {
            Some(left) => terminal::say(format_args!("{} {left} s", ban.block)),
            None => terminal::say(format_args!("{} for good", ban.block)),
        }
    }
    Ok(())
}

fn show_sessions(client: &AdminClient, limit: usize) -> Result<(), Failure> {
    let mut left = limit;
    let mut after = None;
    terminal::say("id peer packets bytes_in bytes_out queued_bytes silent_ms");
    while left > 0 {
        let page = client.sessions("id", after, left.min(PAGE))?;
        for session in &page.sessions {
            let silent = session.silent_ms;
            let silent = silent.map_or("-".into(), |silent| silent.to_string());
            terminal::say(format_args!(
                "{} {} {} {} {} {} {silent}",
                session.id,
                session.peer,
                session.packets_in,
                session.bytes_in,
                session.bytes_out,
                session.queued_bytes,
            ));
        }
        left -= page.sessions.len().min(left);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(())
}
