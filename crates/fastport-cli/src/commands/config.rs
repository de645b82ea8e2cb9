//! `fastport config`: writes, checks and shows configuration files.

use crate::arguments::{ConfigAction, ConfigArguments, ServerArguments};
use crate::failure::Failure;
use crate::settings::{ServerSettings, written};
use crate::terminal;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Does what was asked for.
///
/// # Errors
/// A file that is there already or can not be written; settings that are wrong.
pub(crate) fn run(arguments: &ConfigArguments) -> Result<(), Failure> {
    match &arguments.action {
        ConfigAction::Init { file: None } => terminal::say(written::default_file().trim_end()),
        ConfigAction::Init { file: Some(file) } => {
            write_new(file)?;
            terminal::say(format_args!("wrote {}", file.display()));
        }
        ConfigAction::Check { file } => {
            let arguments = ServerArguments {
                config: Some(file.clone()),
                ..ServerArguments::default()
            };
            ServerSettings::resolve(&arguments)?;
            terminal::say(format_args!("{}: nothing is wrong", file.display()));
        }
        ConfigAction::Show(arguments) => {
            let settings = ServerSettings::resolve(arguments)?;
            terminal::say(written::effective(&settings).trim_end());
        }
    }
    Ok(())
}

/// Writes the file, unless there is one.
fn write_new(path: &Path) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(written::default_file().as_bytes()))
        .map_err(|error| Failure::while_doing(path.display(), error))
}
