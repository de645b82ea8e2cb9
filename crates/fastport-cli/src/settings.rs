//! The server's settings: defaults, changed by a configuration file, changed by flags.

mod file;
mod keys;

pub(crate) use file::SettingsError;

use crate::arguments::{DEFAULT_ADDRESS, DispatchKind, EngineChoice, ServerArguments};
use fastport::{Dispatch, Profile, ServiceConfig, WaitStrategy};
use std::path::Path;
use std::time::Duration;

/// Everything that `fastport server` can be told.
#[derive(Clone, Debug)]
pub(crate) struct ServerSettings {
    /// Where to listen: an address, or a name with a port.
    pub(crate) listen: String,
    /// How long a stop waits for sessions to finish.
    pub(crate) drain_timeout: Duration,
    /// What to log, if the file says so.
    pub(crate) log: Option<String>,
    dispatch: DispatchKind,
    event_workers: Option<usize>,
    service: ServiceConfig,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: DEFAULT_ADDRESS.into(),
            drain_timeout: Duration::from_secs(5),
            log: None,
            // The handlers served here are short: a hand-off to a pool would cost more than they
            // do.
            dispatch: DispatchKind::Inline,
            event_workers: None,
            service: ServiceConfig::default(),
        }
    }
}

impl ServerSettings {
    /// The settings that the flags, and the file that they name, ask for.
    ///
    /// # Errors
    /// When the file can not be read, or something in it is wrong.
    pub(crate) fn resolve(arguments: &ServerArguments) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        if let Some(path) = &arguments.config {
            file::apply(path, &mut settings)?;
        }
        settings.apply_flags(arguments);
        Ok(settings)
    }

    /// The settings that a file with this text asks for.
    ///
    /// # Errors
    /// When something in it is wrong; `path` names it.
    pub(crate) fn from_text(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        file::apply_text(path, text, &mut settings)?;
        Ok(settings)
    }

    /// The defaults, on a port of this machine that the system chooses.
    pub(crate) fn local() -> Self {
        Self {
            listen: "127.0.0.1:0".into(),
            ..Self::default()
        }
    }

    /// The part that the I/O service is started with.
    pub(crate) fn service_config(&self) -> ServiceConfig {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let dispatch = match self.dispatch {
            DispatchKind::Inline => Dispatch::Inline,
            DispatchKind::Pool => Dispatch::Pool {
                workers: self.event_workers.unwrap_or(cores),
            },
        };
        ServiceConfig {
            dispatch,
            ..self.service.clone()
        }
    }

    fn apply_flags(&mut self, arguments: &ServerArguments) {
        if let Some(listen) = &arguments.listen {
            self.listen.clone_from(listen);
        }
        if let Some(EngineChoice(engine)) = arguments.engine {
            self.service.engine = engine;
        }
        replace(&mut self.service.workers, arguments.workers);
        replace(&mut self.dispatch, arguments.dispatch);
        replace(
            &mut self.service.wait,
            arguments.wait.map(WaitStrategy::from),
        );
        self.event_workers = arguments.event_workers.or(self.event_workers);
        replace(&mut self.service.sessions_max, arguments.max_sessions);
        let protection = &mut self.service.protection;
        replace(
            &mut protection.profile,
            arguments.profile.map(Profile::from),
        );
        replace(
            &mut protection.address_sessions_max,
            arguments.max_sessions_per_address,
        );
        replace(
            &mut self.service.session.idle_timeout,
            arguments.idle_timeout,
        );
        replace(&mut self.drain_timeout, arguments.drain_timeout);
    }
}

fn replace<T: Copy>(value: &mut T, by: Option<T>) {
    *value = by.unwrap_or(*value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastport::EngineKind;

    fn settings(text: &str, arguments: &ServerArguments) -> ServerSettings {
        let mut settings = ServerSettings::from_text("test.toml".as_ref(), text).unwrap();
        settings.apply_flags(arguments);
        settings
    }

    #[test]
    fn the_default_is_inline_on_the_known_port() {
        let settings = ServerSettings::resolve(&ServerArguments::default()).unwrap();
        assert_eq!(settings.listen, "127.0.0.1:6628");
        assert_eq!(settings.service_config().dispatch, Dispatch::Inline);
        assert_eq!(settings.service_config().engine, None);
    }

    #[test]
    fn flags_override_the_file_and_the_rest_of_it_stays() {
        let arguments = ServerArguments {
            listen: Some("127.0.0.1:1".into()),
            workers: Some(7),
            engine: Some(EngineChoice(None)),
            ..ServerArguments::default()
        };
        let text =
            "[server]\nlisten = '127.0.0.1:2'\nworkers = 3\nengine = 'poll'\nmax_sessions = 5\n";
        let settings = settings(text, &arguments);
        assert_eq!(settings.listen, "127.0.0.1:1");
        let config = settings.service_config();
        assert_eq!(
            (config.workers, config.sessions_max, config.engine),
            (7, 5, None)
        );
    }

    #[test]
    fn event_workers_count_only_with_a_pool() {
        let text = "[server]\nevent_workers = 3\n";
        let inline = settings(text, &ServerArguments::default());
        assert_eq!(inline.service_config().dispatch, Dispatch::Inline);
        let pool = ServerArguments {
            dispatch: Some(DispatchKind::Pool),
            ..Default::default()
        };
        let pooled = settings(text, &pool);
        assert_eq!(
            pooled.service_config().dispatch,
            Dispatch::Pool { workers: 3 }
        );
    }

    #[test]
    fn an_engine_of_the_file_stays_without_a_flag() {
        let settings = settings("[server]\nengine = 'poll'\n", &ServerArguments::default());
        assert_eq!(settings.service_config().engine, Some(EngineKind::Poll));
    }
}
