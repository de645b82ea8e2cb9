//! Outgoing connections until they stand.

use crate::session::slot::{ConnectDone, Connecting};
use crate::worker::Worker;
use crate::worker::receive::{drop_panic, note_panic};
use crate::worker::secure::ClientTls;
use crate::{CloseReason, Handler};
use fastport_engine::{CloseMode, Engine, EngineError, Key};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

impl<E: Engine> Worker<E> {
    pub(crate) fn on_connect(
        &mut self,
        to: SocketAddr,
        handler: Arc<dyn Handler>,
        tls: Option<ClientTls>,
        done: ConnectDone,
    ) {
        if self.stopping.is_some() {
            self.forget_one();
            tell_failed(done, CloseReason::Stopping);
            return;
        }
        match self.engine.connect(to, self.link.service.socket_options()) {
            Ok(key) => {
                let limit = self.link.service.session_config.connect_timeout;
                let deadline = self.now() + limit;
                self.wheel.insert(deadline, key);
                self.connecting.insert(
                    key,
                    Connecting {
                        to,
                        handler,
                        done,
                        deadline,
                        tls,
                    },
                );
            }
            Err(error) => {
                self.link.counters.connect_failures.add(1);
                self.forget_one();
                tracing::debug!(%to, %error, "connecting failed");
                let os_code = match error {
                    EngineError::Connect { source, .. } => source.raw_os_error(),
                    _ => None,
                };
                tell_failed(done, CloseReason::ConnectFailed { os_code });
            }
        }
    }

    pub(crate) fn on_connected(&mut self, key: Key) {
        let Some(mut connecting) = self.connecting.remove(&key) else {
            return;
        };
        if let Some(tls) = connecting.tls.take() {
            return self.begin_outbound(key, connecting, &tls);
        }
        let Connecting {
            to, handler, done, ..
        } = connecting;
        self.link.counters.connected.add(1);
        let slot = self.make_slot(key, to, handler, false);
        // A panic of the application's ends its session, not the worker.
        let told = catch_unwind(AssertUnwindSafe(|| done.call(Ok(slot.session.clone()))));
        if let Err(panic) = told {
            note_panic(&slot.session, panic);
        }
        self.begin_session(slot);
    }

    /// Gives up a connection that is being made.
    pub(crate) fn abandon_connect(&mut self, key: Key, reason: CloseReason) {
        let Some(connecting) = self.connecting.remove(&key) else {
            return;
        };
        self.link.counters.connect_failures.add(1);
        self.abandoned.insert(key);
        self.engine.close(key, CloseMode::Abort);
        self.forget_one();
        tell_failed(connecting.done, reason);
    }
}

/// Tells the application that there is no session. A panic of its is logged; the worker lives.
pub(crate) fn tell_failed(done: ConnectDone, reason: CloseReason) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| done.call(Err(reason)))) {
        drop_panic("the callback of a connect panicked", panic);
    }
}
