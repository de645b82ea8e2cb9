//! Outgoing connections: ConnectEx on a socket that is bound to any port. Its time limit is the
//! caller's: a close cancels it.

use super::settings;
use super::slots::{Connecting, Receive, Role, Slot};
use super::winsock::{Begun, Extensions};
use super::{Event, IocpEngine, Parts};
use crate::{Key, Op, SocketOptions, socket};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::windows::io::OwnedSocket;

impl IocpEngine {
    /// See [`Engine::connect`](crate::Engine::connect).
    pub(super) fn start_connecting(
        &mut self,
        to: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<Key> {
        let socket = socket::connecting(to, options)?;
        // ConnectEx refuses a socket that is not bound.
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        socket.bind(&any.into())?;
        let socket: OwnedSocket = socket.into();
        if to.ip().is_loopback() {
            settings::refuse_at_once(&socket);
        }
        let extensions = self.extensions(&socket, to)?;
        self.port.associate(&socket)?;
        let skips = self.skip_completions && settings::skip_packets(&socket);
        let connecting = Connecting {
            address: to.into(),
            ended: None,
        };
        let key = self.insert(Slot::new(socket, Role::Connecting(Box::new(connecting))));
        self.post_connect(key, extensions, skips);
        Ok(key)
    }

    fn post_connect(&mut self, key: Key, extensions: Extensions, skips: bool) {
        let Parts {
            slots, operations, ..
        } = &mut *self.memory;
        let Some(slot) = slots.find(key) else { return };
        let (Role::Connecting(connecting), Some(socket)) = (&mut slot.role, &slot.socket) else {
            return;
        };
        slot.skips = skips;
        let overlapped = operations.of(key.index()).send.begin();
        // SAFETY: the OVERLAPPED and the address, which is boxed in the slot, stay in place until
        // `Op::Connect` is finished (`KernelMemory`).
        match unsafe { extensions.connect(socket, &connecting.address, overlapped) } {
            Ok(Begun::Done) if skips => connecting.ended = Some(Ok(())),
            Ok(_) => {
                slot.in_flight.begin(Op::Connect);
                self.operations += 1;
            }
            Err(error) => connecting.ended = Some(Err(error)),
        }
        if connecting.ended.is_some() {
            self.enqueue(key);
        }
    }

    /// The packet of a connect.
    pub(super) fn on_connect_ended(&mut self, key: Key) -> Option<Event> {
        let Parts {
            slots, operations, ..
        } = &mut *self.memory;
        let slot = slots.find(key)?;
        let failure = slot.failure_of(&operations.of(key.index()).send);
        if let Role::Connecting(connecting) = &mut slot.role {
            connecting.ended = Some(failure.map_or(Ok(()), Err));
        }
        self.finish(key, Op::Connect);
        self.take_connected(key)
    }

    /// What became of a connect that has ended.
    pub(super) fn take_connected(&mut self, key: Key) -> Option<Event> {
        let slot = self.memory.slots.find(key)?;
        let slot = Some(slot).filter(|slot| slot.in_flight.is_open())?;
        let (Role::Connecting(connecting), Some(socket)) = (&mut slot.role, &slot.socket) else {
            return None;
        };
        let outcome = connecting.ended.take()?;
        let outcome = outcome.and_then(|()| settings::update_connected(socket));
        slot.role = Role::Session;
        if let Err(error) = outcome {
            slot.receive = Receive::Ended;
            return Some(Event::Failed { key, error });
        }
        // It may have been armed already.
        self.enqueue(key);
        Some(Event::Connected { key })
    }
}
