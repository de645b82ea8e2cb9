//! The io_uring back-end.
