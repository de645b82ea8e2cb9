//! What reads text from people, as fuzz targets call it. Not an interface: it follows the fuzz
//! targets' needs. Any thread; reads no file.

use crate::quantity::{parse_duration, show_duration};
use crate::settings::ServerSettings;
use std::time::Duration;

/// Reads a configuration file's text, as `fastport server --config` does with the file's name
/// `fuzz.toml`, and makes the service's settings of it.
///
/// # Errors
/// The message that the user would see.
pub fn read_settings(text: &str) -> Result<(), String> {
    let settings = ServerSettings::from_text("fuzz.toml".as_ref(), text);
    let settings = settings.map_err(|error| error.to_string())?;
    let _ = settings.service_config();
    Ok(())
}

/// Reads a duration as `--idle-timeout` takes it.
///
/// # Errors
/// The message that the user would see.
pub fn read_duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
}

/// Writes a duration as reports show it.
#[must_use]
pub fn write_duration(duration: Duration) -> String {
    show_duration(duration)
}
