//! The server's admin listener: its settings, its token, and what it steers.

use crate::failure::Failure;
use crate::logging::LogControl;
use crate::serving::News;
use crate::signals::Urgency;
use fastport::IoService;
use fastport_admin::{AdminConfig, AdminError, AdminServer, Control, Token};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Where an admin listener is when nobody says where.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:6629";

/// The variables that hold the tokens when no file is named.
const TOKEN_VARIABLE: &str = "FASTPORT_ADMIN_TOKEN";
const VIEWER_VARIABLE: &str = "FASTPORT_ADMIN_VIEWER_TOKEN";

/// How long a reload may take before whoever asked is told that it hangs.
const RELOAD_LIMIT: Duration = Duration::from_secs(5);

/// What the settings say of the admin listener.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct AdminSettings {
    /// Addresses, separated by commas; none turns it off.
    pub(crate) listen: String,
    /// The file with the token of operators.
    pub(crate) token_file: Option<PathBuf>,
    /// The file with the token of those who may only read.
    pub(crate) viewer_token_file: Option<PathBuf>,
    /// Further names of this machine, separated by commas.
    pub(crate) hosts: String,
    /// The audit log.
    pub(crate) audit_file: Option<PathBuf>,
    /// Where bans are kept.
    pub(crate) bans_file: Option<PathBuf>,
    /// Whether the game port answers admin packets.
    pub(crate) in_band: bool,
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Address { .. }
            | AdminError::TokenNeeded { .. }
            | AdminError::TokensAlike
            | AdminError::TokenShort { .. } => Self::Usage(error.to_string()),
            error => Self::Runtime(error.to_string()),
        }
    }
}

/// Starts the admin listener, if there is to be one. Blocks until it listens.
///
/// # Errors
/// An address or a token that can not be used.
pub(crate) fn start(
    settings: &AdminSettings,
    service: &IoService,
    news: Sender<News>,
    log: LogControl,
) -> Result<Option<AdminServer>, Failure> {
    let listen = listed(&settings.listen)
        .map(str::parse)
        .collect::<Result<Vec<_>, _>>()?;
    if listen.is_empty() && !settings.in_band {
        return Ok(None);
    }
    let token = token(settings.token_file.as_deref())?;
    let viewer_token = read_token(settings.viewer_token_file.as_deref(), VIEWER_VARIABLE)?;
    if settings.in_band && token.is_none() && viewer_token.is_none() {
        return Err(Failure::Usage(format!(
            "admin.in_band: admin packets on the game port need a token: name a file with \
             admin.token_file, or set {TOKEN_VARIABLE}"
        )));
    }
    let config = AdminConfig {
        listen,
        token,
        viewer_token,
        hosts: listed(&settings.hosts).map(Into::into).collect(),
        audit_file: settings.audit_file.clone(),
        bans_file: settings.bans_file.clone(),
    };
    let control = Arc::new(Steering { news, log });
    let server = AdminServer::start(config, service.monitor(), control)?;
    for address in server.addresses() {
        tracing::info!(%address, "listening for admin requests");
    }
    Ok(Some(server))
}

/// The token of operators that a file or the environment holds, if any.
///
/// # Errors
/// A file that can not be read, a token that is too short.
pub(crate) fn token(file: Option<&Path>) -> Result<Option<Token>, Failure> {
    read_token(file, TOKEN_VARIABLE)
}

fn read_token(file: Option<&Path>, variable: &str) -> Result<Option<Token>, Failure> {
    if let Some(file) = file {
        return Ok(Some(Token::from_file(file)?));
    }
    match std::env::var(variable) {
        Ok(text) => Ok(Some(Token::new(&text)?)),
        Err(_) => Ok(None),
    }
}

fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// What an operator steers: the thread that serves, and the log.
struct Steering {
    news: Sender<News>,
    log: LogControl,
}

impl Control for Steering {
    fn drain(&self) {
        // Nobody listens when the server has ended.
        let _ = self.news.send(News::Stop(Urgency::Orderly));
    }

    fn reload(&self) -> Result<Vec<String>, String> {
        let (sender, answer) = channel();
        let _ = self.news.send(News::Reload(Some(sender)));
        let answer = answer.recv_timeout(RELOAD_LIMIT);
        let changes = answer.map_err(|_| "the server does not answer, or is stopping")??;
        let later = changes.needs_restart.into_iter();
        let later = later.map(|change| format!("from the next start on: {change}"));
        let never = changes.overridden.into_iter();
        let never = never.map(|change| format!("not changed: {change}"));
        Ok(changes
            .applied
            .into_iter()
            .chain(later)
            .chain(never)
            .collect())
    }

    fn set_log_level(&self, directives: &str) -> Result<(), String> {
        self.log.set_level(directives)
    }

    fn log_lines_lost(&self) -> u64 {
        self.log.lost()
    }
}
