//! All sessions of a service, to send a message to as one.

use crate::rooms::casts::Cast;
use crate::rooms::room::check_room_for_casts;
use crate::session::handle::{Session, SessionId, shared_frame, shared_frame_of};
use crate::worker::link::{ServiceShared, WorkerLink};
use crate::{PacketId, SendError};
use fastport_buffer::SharedFrame;
use std::sync::Arc;

/// All sessions of a service, whoever they are when a message is sent. From
/// [`IoService::everyone`](crate::IoService::everyone), or in a handler from
/// [`Session::everyone`]; may be kept. Any thread; nothing here blocks.
///
/// What [`Room`](crate::Room) says about order and about members that do not keep up holds here as
/// well: sessions receive what is for everyone in the same order, and in order with what the same
/// thread sends otherwise. A session belongs to everyone from just before `on_accepted` or
/// `on_connected` until its end is asked for; one that has to authenticate, once it has.
#[derive(Clone)]
pub struct Everyone {
    service: Arc<ServiceShared>,
}

impl Everyone {
    pub(crate) fn of(service: &Arc<ServiceShared>) -> Self {
        Self {
            service: service.clone(),
        }
    }

    /// Sends a message to all sessions; encoded once.
    ///
    /// # Errors
    /// When the frame is too large, or too many broadcasts wait; nobody receives it then.
    pub fn broadcast<M: prost::Message>(&self, id: PacketId, message: &M) -> Result<(), SendError> {
        self.broadcast_shared(&shared_frame(id, message)?, None)
    }

    /// Sends a payload as it is to all sessions; copied once.
    ///
    /// # Errors
    /// As [`Everyone::broadcast`].
    pub fn broadcast_bytes(&self, id: PacketId, payload: &[u8]) -> Result<(), SendError> {
        self.broadcast_shared(&shared_frame_of(id, payload)?, None)
    }

    /// Sends a frame that was encoded before to all sessions but `except`.
    ///
    /// # Errors
    /// When too many broadcasts wait.
    pub fn broadcast_shared(
        &self,
        frame: &SharedFrame,
        except: Option<&Session>,
    ) -> Result<(), SendError> {
        let except: Option<SessionId> = except.map(Session::id);
        // One at a time, so that all workers have them in the same order.
        let _one = self.service.casting.lock();
        let links: Vec<Arc<WorkerLink>> = self.service.workers();
        check_room_for_casts(links.iter())?;
        for link in links {
            link.casts.post(Cast::Frame {
                to: None,
                frame: frame.clone(),
                key: None,
                except,
            });
            link.mailbox.wake();
        }
        self.service.broadcasts.add_shared(1);
        Ok(())
    }
}

impl std::fmt::Debug for Everyone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Everyone").finish_non_exhaustive()
    }
}
