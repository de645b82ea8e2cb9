//! The first thing that went wrong in a simulated run, and what happened before it.
//!
//! Everything that checks something has a clone. A check must not panic where a handler runs, since
//! the session layer catches panics there: it tells the verdict.

use std::fmt::Arguments;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Collects the first violation, and the trace when one is wanted. One run, one thread; the lock is
/// there because handlers must be `Sync`.
#[derive(Clone, Debug, Default)]
pub struct Verdict(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    traces: bool,
    trace: Vec<String>,
    violation: Option<String>,
}

impl Verdict {
    /// A verdict that keeps a trace if `traces`.
    #[must_use]
    pub fn new(traces: bool) -> Self {
        let verdict = Self::default();
        verdict.lock().traces = traces;
        verdict
    }

    /// Notes a step, if a trace is kept.
    pub fn trace(&self, step: Arguments<'_>) {
        let mut inner = self.lock();
        if inner.traces {
            inner.trace.push(step.to_string());
        }
    }

    /// Something that must not happen has happened. The first stays.
    pub fn violate(&self, what: Arguments<'_>) {
        let mut inner = self.lock();
        if inner.violation.is_none() {
            let text = what.to_string();
            if inner.traces {
                inner.trace.push(format!("VIOLATION {text}"));
            }
            inner.violation = Some(text);
        }
    }

    /// Whether something went wrong.
    #[must_use]
    pub fn is_violated(&self) -> bool {
        self.lock().violation.is_some()
    }

    /// What went wrong first.
    #[must_use]
    pub fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    /// Takes the trace.
    #[must_use]
    pub fn take_trace(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().trace)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the verdict when a condition does not hold.
#[macro_export]
macro_rules! check {
    ($verdict:expr, $holds:expr, $($what:tt)+) => {
        if !$holds {
            $verdict.violate(format_args!($($what)+));
        }
    };
}
