//! Where handlers run when not on the I/O worker: a pool of event workers and a strand per session.

pub(crate) mod event_pool;
pub(crate) mod ready_batch;
pub(crate) mod strand;
pub(crate) mod work_queue;
