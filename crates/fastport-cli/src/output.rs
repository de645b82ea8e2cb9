//! How results are shown: on a terminal, in a file, to another program.

pub(crate) mod csv;
pub(crate) mod environment;
pub(crate) mod histogram;
pub(crate) mod json;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod table;
