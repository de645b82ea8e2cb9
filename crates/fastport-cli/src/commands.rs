//! The subcommands, one file each.

pub(crate) mod admin;
pub(crate) mod bench;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod status;
