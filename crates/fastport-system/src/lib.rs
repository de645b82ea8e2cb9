//! What belongs to the process as a whole and has no safe interface elsewhere: console control
//! events of Windows. Nothing else belongs in here; on other systems the crate is empty.

#[cfg(windows)]
pub mod console;
