//! The server's settings: defaults, changed by a configuration file, by the environment, by flags.

mod environment;
mod file;
mod keys;
pub(crate) mod written;

pub(crate) use file::SettingsError;

use crate::administration::AdminSettings;
use crate::arguments::{DEFAULT_ADDRESS, DispatchKind, EngineChoice, ServerArguments};
use crate::logging::LogSettings;
use crate::tls::TlsSettings;
use fastport::{Dispatch, Profile, ResumeConfig, ServiceConfig, SessionConfig, WaitStrategy};
use keys::Key;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that `fastport server` can be told.
#[derive(Clone, Debug)]
pub(crate) struct ServerSettings {
    /// Where to listen: an address, or a name with a port.
    pub(crate) listen: String,
    /// How long a stop waits for sessions to finish.
    pub(crate) drain_timeout: Duration,
    /// The admin listener.
    pub(crate) admin: AdminSettings,
    /// What is logged, where and how.
    pub(crate) log: LogSettings,
    /// The files that TLS is made from.
    pub(crate) tls: TlsSettings,
    /// Whether and for how long sessions outlive their connections.
    pub(crate) resume: ResumeSettings,
    dispatch: DispatchKind,
    event_workers: Option<usize>,
    service: ServiceConfig,
    /// Where what is not a default is from, by section and name.
    origins: BTreeMap<(&'static str, &'static str), Origin>,
}

/// Sessions that outlive their connections.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct ResumeSettings {
    /// Whether there are any.
    pub(crate) enabled: bool,
    /// For how long, how many, and how much of each.
    pub(crate) config: ResumeConfig,
}

/// Where the value of a key is from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// This line of the configuration file.
    File(usize),
    /// This variable of the environment.
    Variable(String),
    /// This flag.
    Flag(&'static str),
}

/// The variable that names the configuration file when no flag does.
const CONFIG_VARIABLE: &str = "FASTPORT_CONFIG";

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: DEFAULT_ADDRESS.into(),
            drain_timeout: Duration::from_secs(5),
            admin: AdminSettings::default(),
            log: LogSettings::default(),
            tls: TlsSettings::default(),
            resume: ResumeSettings::default(),
            // The handlers served here are short: a hand-off to a pool would cost more than they
            // do.
            dispatch: DispatchKind::Inline,
            event_workers: None,
            service: ServiceConfig::default(),
            origins: BTreeMap::new(),
        }
    }
}

impl ServerSettings {
    /// The settings that the flags, the environment and the file that they name ask for.
    ///
    /// # Errors
    /// When the file can not be read, or something in it or in the environment is wrong.
    pub(crate) fn resolve(arguments: &ServerArguments) -> Result<Self, SettingsError> {
        // Text that is no UTF-8 can not be a value of ours.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self::resolve_with(arguments, variables.collect())
    }

    /// As [`ServerSettings::resolve`], in a given environment.
    fn resolve_with(
        arguments: &ServerArguments,
        variables: BTreeMap<String, String>,
    ) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        let named = arguments.config.clone();
        let path = named.or_else(|| variables.get(CONFIG_VARIABLE).map(PathBuf::from));
        if let Some(path) = &path {
            file::apply(path, &mut settings)?;
        }
        environment::apply(variables.into_iter(), &mut settings)?;
        settings.apply_flags(arguments);
        settings.check(path)?;
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

    /// Checks what the keys must keep between them, and the ranges that the library has.
    fn check(&self, path: Option<PathBuf>) -> Result<(), SettingsError> {
        if let Some((key, problem)) = self.tls.lacks() {
            return Err(SettingsError::Given {
                what: format!("tls.{key}"),
                problem,
            });
        }
        let service = self.service_config().validate();
        let Err(error) = service.and_then(|()| self.resume.config.validate()) else {
            return Ok(());
        };
        let key = keys::all().find(|key| key.name == error.key);
        let problem = format!("{} = {}: {}", error.key, error.value, error.expected);
        match (key.map(|key| (key, self.origin(key))), path) {
            (Some((key, Origin::File(line))), Some(path)) => Err(SettingsError::Wrong {
                path,
                line,
                key: Some(key.path()),
                problem: format!("{}, found {}", error.expected, error.value),
            }),
            (Some((_, Origin::Variable(what))), _) => Err(SettingsError::Given { what, problem }),
            (Some((_, Origin::Flag(name))), _) => Err(SettingsError::Given {
                what: format!("--{name}"),
                problem,
            }),
            _ => Err(SettingsError::Given {
                what: "settings".into(),
                problem,
            }),
        }
    }

    /// Where the value of a key is from.
    fn origin(&self, key: &Key) -> Origin {
        let origin = self.origins.get(&(key.section, key.name));
        origin.cloned().unwrap_or(Origin::Default)
    }

    fn note(&mut self, key: &Key, origin: Origin) {
        self.origins.insert((key.section, key.name), origin);
    }

    /// The defaults, on a port of this machine that the system chooses.
    pub(crate) fn local() -> Self {
        Self {
            listen: "127.0.0.1:0".into(),
            ..Self::default()
        }
    }

    /// Takes over what counts without a restart.
    pub(crate) fn take_reloadable(&mut self, new: Self) {
        self.drain_timeout = new.drain_timeout;
        self.tls = new.tls;
        self.log.level = new.log.level;
        self.service.sessions_max = new.service.sessions_max;
        self.service.protection = new.service.protection;
        self.service.session = SessionConfig {
            frame_bytes_max: self.service.session.frame_bytes_max,
            socket: self.service.session.socket.clone(),
            ..new.service.session
        };
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

    /// Notes which keys the flags set.
    fn note_flags(&mut self, arguments: &ServerArguments) {
        let given = [
            ("listen", "listen", arguments.listen.is_some()),
            ("workers", "workers", arguments.workers.is_some()),
            ("engine", "engine", arguments.engine.is_some()),
            ("dispatch", "dispatch", arguments.dispatch.is_some()),
            ("wait", "wait", arguments.wait.is_some()),
            (
                "event_workers",
                "event-workers",
                arguments.event_workers.is_some(),
            ),
            (
                "max_sessions",
                "max-sessions",
                arguments.max_sessions.is_some(),
            ),
            (
                "drain_timeout",
                "drain-timeout",
                arguments.drain_timeout.is_some(),
            ),
        ];
        for (key, flag, _) in given.into_iter().filter(|(.., given)| *given) {
            self.origins.insert(("server", key), Origin::Flag(flag));
        }
        let given = [
            (
                ("session", "idle_timeout"),
                "idle-timeout",
                arguments.idle_timeout.is_some(),
            ),
            (
                ("protection", "profile"),
                "profile",
                arguments.profile.is_some(),
            ),
            (
                ("protection", "address_sessions_max"),
                "max-sessions-per-address",
                arguments.max_sessions_per_address.is_some(),
            ),
        ];
        let files = [
            ("certificate_file", "tls-cert", arguments.tls_cert.is_some()),
            ("key_file", "tls-key", arguments.tls_key.is_some()),
            (
                "client_ca_file",
                "tls-client-ca",
                arguments.tls_client_ca.is_some(),
            ),
        ];
        let files = files.map(|(key, flag, given)| (("tls", key), flag, given));
        for (key, flag, _) in given.into_iter().chain(files).filter(|(.., given)| *given) {
            self.origins.insert(key, Origin::Flag(flag));
        }
        if arguments.admin.is_some() {
            self.origins
                .insert(("admin", "listen"), Origin::Flag("admin"));
        }
        for (key, flag, given) in [
            ("enabled", "resume", arguments.resume),
            ("keep", "resume-keep", arguments.resume_keep.is_some()),
        ] {
            if given {
                self.origins.insert(("resume", key), Origin::Flag(flag));
            }
        }
    }

    fn apply_flags(&mut self, arguments: &ServerArguments) {
        self.note_flags(arguments);
        if let Some(listen) = &arguments.admin {
            self.admin.listen.clone_from(listen);
        }
        for (path, given) in [
            (&mut self.tls.certificates, &arguments.tls_cert),
            (&mut self.tls.key, &arguments.tls_key),
            (&mut self.tls.client_ca, &arguments.tls_client_ca),
        ] {
            if given.is_some() {
                path.clone_from(given);
            }
        }
        if let Some(listen) = &arguments.listen {
            self.listen.clone_from(listen);
        }
        if let Some(EngineChoice(engine)) = arguments.engine {
            self.service.engine = engine;
        }
        let service = &mut self.service;
        replace(&mut service.workers, arguments.workers);
        replace(&mut service.wait, arguments.wait.map(WaitStrategy::from));
        replace(&mut service.sessions_max, arguments.max_sessions);
        replace(&mut service.session.idle_timeout, arguments.idle_timeout);
        let protection = &mut service.protection;
        replace(
            &mut protection.profile,
            arguments.profile.map(Profile::from),
        );
        replace(
            &mut protection.address_sessions_max,
            arguments.max_sessions_per_address,
        );
        replace(&mut self.dispatch, arguments.dispatch);
        self.event_workers = arguments.event_workers.or(self.event_workers);
        replace(&mut self.drain_timeout, arguments.drain_timeout);
        self.resume.enabled |= arguments.resume;
        replace(&mut self.resume.config.keep, arguments.resume_keep);
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

    fn resolve(text: &str, variables: &[(&str, &str)], arguments: &ServerArguments) -> String {
        let folder = std::env::temp_dir();
        let name = format!("fastport-settings-{:?}.toml", std::thread::current().id());
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        let arguments = ServerArguments {
            config: Some(path.clone()),
            ..arguments.clone()
        };
        let variables = variables.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        let outcome = ServerSettings::resolve_with(&arguments, variables.collect());
        std::fs::remove_file(&path).unwrap();
        match outcome {
            Ok(settings) => settings.service.workers.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_flag_counts_before_the_environment_and_that_before_the_file() {
        let text = "[server]\nworkers = 3\n";
        let variable = [("FASTPORT_SERVER_WORKERS", "5")];
        let flag = ServerArguments {
            workers: Some(7),
            ..ServerArguments::default()
        };
        assert_eq!(resolve(text, &[], &ServerArguments::default()), "3");
        assert_eq!(resolve(text, &variable, &ServerArguments::default()), "5");
        assert_eq!(resolve(text, &variable, &flag), "7");
    }

    #[test]
    fn keys_that_contradict_each_other_are_told_with_their_line() {
        let text = "[session]\nsend_high_watermark = 8192\nsend_low_watermark = 9000\n";
        let error = resolve(text, &[], &ServerArguments::default());
        assert!(
            error.contains(":3: session.send_low_watermark: 1 to 8192"),
            "{error}"
        );
        let variable = [("FASTPORT_SESSION_SEND_LOW_WATERMARK", "900000")];
        let error = resolve("", &variable, &ServerArguments::default());
        assert!(
            error.starts_with("FASTPORT_SESSION_SEND_LOW_WATERMARK: "),
            "{error}"
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
