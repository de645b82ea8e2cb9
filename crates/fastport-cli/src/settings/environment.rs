//! Settings from the environment: `FASTPORT_SERVER_WORKERS=4` is `workers = 4` under `[server]`.

use super::keys::{self, Key};
use super::{Origin, ServerSettings, SettingsError, file};

/// Changes the settings to what the variables say.
///
/// # Errors
/// A variable of ours that names no key, or whose value is wrong.
pub(super) fn apply(
    variables: impl Iterator<Item = (String, String)>,
    settings: &mut ServerSettings,
) -> Result<(), SettingsError> {
    for (variable, value) in variables {
        let Some(found) = find(&variable) else {
            continue;
        };
        let set = found.and_then(|key| {
            file::set_from_text(key, &value, settings)?;
            Ok(key)
        });
        match set {
            Ok(key) => settings.note(key, Origin::Variable(variable)),
            Err(problem) => {
                return Err(SettingsError::Given {
                    what: variable,
                    problem,
                });
            }
        }
    }
    Ok(())
}

/// The variable of a key.
pub(super) fn variable_of(key: &Key) -> String {
    format!("FASTPORT_{}_{}", key.section, key.name).to_ascii_uppercase()
}

/// The key that a variable means; `None` when it is not one of ours.
fn find(variable: &str) -> Option<Result<&'static Key, String>> {
    let rest = variable.strip_prefix("FASTPORT_")?.to_ascii_lowercase();
    if rest == "admin_token" || rest == "admin_viewer_token" {
        // A secret, which is no setting that could be shown.
        return None;
    }
    keys::SECTIONS.iter().find_map(|section| {
        let name = rest.strip_prefix(section.name)?.strip_prefix('_')?;
        let key = section.keys().iter().find(|key| key.name == name);
        Some(key.ok_or_else(|| {
            let known: Vec<_> = section.keys().iter().map(variable_of).collect();
            format!("unknown variable; there are {}", known.join(", "))
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variable: &str, value: &str) -> Result<ServerSettings, String> {
        let mut settings = ServerSettings::default();
        let variables = [(variable.to_owned(), value.to_owned())];
        match apply(variables.into_iter(), &mut settings) {
            Ok(()) => Ok(settings),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let settings = with("FASTPORT_SERVER_WORKERS", "0x10").unwrap();
        assert_eq!(settings.service_config().workers, 16);
        let settings = with("FASTPORT_SESSION_IDLE_TIMEOUT", "90s").unwrap();
        assert_eq!(settings.service_config().session.idle_timeout.as_secs(), 90);
        let settings = with("FASTPORT_SOCKET_NODELAY", "false").unwrap();
        assert!(!settings.service_config().session.socket.nodelay);
        let settings = with("FASTPORT_LOG_FORMAT", "json").unwrap();
        assert_eq!(settings.log.format, crate::logging::Format::Json);
    }

    #[test]
    fn each_mistake_names_the_variable_and_what_is_allowed() {
        for (variable, value, expected) in [
            (
                "FASTPORT_SERVER_WORKERS",
                "0",
                "FASTPORT_SERVER_WORKERS: expected a whole number from 1 to 1024, found \"0\"",
            ),
            ("FASTPORT_SERVER_WORKERS", "two", "found \"two\""),
            ("FASTPORT_SOCKET_NODELAY", "yes", "expected true or false"),
            ("FASTPORT_SERVER_ENGINE", "epoll", "one of \"auto\""),
            (
                "FASTPORT_SERVER_WORKRES",
                "1",
                "unknown variable; there are FASTPORT_SERVER_LISTEN",
            ),
        ] {
            let error = with(variable, value).unwrap_err();
            assert!(error.contains(expected), "{variable}={value} gave {error}");
        }
    }

    #[test]
    fn variables_of_others_are_left_alone() {
        for variable in [
            "FASTPORT_LOG",
            "FASTPORT_CONFIG",
            "FASTPORT_ADMIN_TOKEN",
            "PATH",
            "FASTPORTSERVER_X",
        ] {
            assert!(with(variable, "anything").is_ok(), "{variable}");
        }
    }
}
