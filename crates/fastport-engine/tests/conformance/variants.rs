//! The engines with other settings than their default ones, as engines of their own.

use fastport_buffer::{Chunk, SendBatch};
use fastport_engine::{
    CloseMode, Drained, Engine, EngineConfig, EngineError, Event, Key, ListenConfig, SocketOptions,
    Wait,
};
#[cfg(windows)]
use fastport_engine::{IocpEngine, ReceiveForm};
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Instant;

/// What is different.
pub(crate) trait Change: 'static {
    fn change(config: &mut EngineConfig);
}

/// Connections are direct descriptors.
#[cfg(target_os = "linux")]
pub(crate) struct ByDirectDescriptors;
/// Nothing is received into a buffer that is the kernel's.
#[cfg(windows)]
pub(crate) struct ByDirect;
/// Bytes are taken by overlapped receives.
#[cfg(windows)]
pub(crate) struct ByOverlapped;
/// Operations that succeed at once make no packets, under Wine as well.
#[cfg(windows)]
pub(crate) struct BySkipping;

#[cfg(target_os = "linux")]
impl Change for ByDirectDescriptors {
    fn change(config: &mut EngineConfig) {
        // Fewer than some cases have connections, so that both kinds stand side by side.
        config.direct_descriptors = 600;
    }
}

#[cfg(windows)]
impl Change for ByDirect {
    fn change(config: &mut EngineConfig) {
        config.receive_form = ReceiveForm::Direct;
    }
}

#[cfg(windows)]
impl Change for ByOverlapped {
    fn change(config: &mut EngineConfig) {
        config.receive_form = ReceiveForm::Overlapped;
    }
}

#[cfg(windows)]
impl Change for BySkipping {
    fn change(config: &mut EngineConfig) {
        config.skip_completions = Some(true);
    }
}

#[cfg(windows)]
impl<A: Change, B: Change> Change for (A, B) {
    fn change(config: &mut EngineConfig) {
        A::change(config);
        B::change(config);
    }
}

#[cfg(target_os = "linux")]
pub(crate) type DirectDescriptors = Changed<fastport_engine::UringEngine, ByDirectDescriptors>;
#[cfg(windows)]
pub(crate) type Direct = Changed<IocpEngine, ByDirect>;
#[cfg(windows)]
pub(crate) type DirectSkipping = Changed<IocpEngine, (ByDirect, BySkipping)>;
#[cfg(windows)]
pub(crate) type Overlapped = Changed<IocpEngine, ByOverlapped>;
#[cfg(windows)]
pub(crate) type Skipping = Changed<IocpEngine, BySkipping>;
#[cfg(windows)]
pub(crate) type OverlappedSkipping = Changed<IocpEngine, (ByOverlapped, BySkipping)>;

/// The engine as `C` changes it.
pub(crate) struct Changed<E, C>(E, PhantomData<C>);

impl<E: Engine, C: Change> Engine for Changed<E, C> {
    type Accepted = E::Accepted;
    type Waker = E::Waker;
    const NAME: &'static str = E::NAME;
    const EVENTS_PER_SUBMIT: usize = E::EVENTS_PER_SUBMIT;

    fn open(config: &EngineConfig) -> Result<Self, EngineError> {
        let mut config = config.clone();
        C::change(&mut config);
        Ok(Self(E::open(&config)?, PhantomData))
    }

    fn waker(&self) -> Self::Waker {
        self.0.waker()
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn listen(&mut self, on: &ListenConfig) -> Result<(Key, SocketAddr), EngineError> {
        self.0.listen(on)
    }

    fn connect(&mut self, to: SocketAddr, options: &SocketOptions) -> Result<Key, EngineError> {
        self.0.connect(to, options)
    }

    fn adopt(
        &mut self,
        socket: Self::Accepted,
        options: &SocketOptions,
    ) -> Result<Key, EngineError> {
        self.0.adopt(socket, options)
    }

    fn peer_address(&self, key: Key) -> io::Result<SocketAddr> {
        self.0.peer_address(key)
    }

    fn arm_recv(&mut self, key: Key) {
        self.0.arm_recv(key);
    }

    fn pause_recv(&mut self, key: Key) {
        self.0.pause_recv(key);
    }

    fn recycle(&mut self, chunk: Chunk) {
        self.0.recycle(chunk);
    }

    fn is_chunk_scarce(&self) -> bool {
        self.0.is_chunk_scarce()
    }

    fn send(&mut self, key: Key, batch: SendBatch) {
        self.0.send(key, batch);
    }

    fn shutdown_write(&mut self, key: Key) {
        self.0.shutdown_write(key);
    }

    fn close(&mut self, key: Key, mode: CloseMode) {
        self.0.close(key, mode);
    }

    fn submit(&mut self) -> Result<(), EngineError> {
        self.0.submit()
    }

    fn submit_and_wait(&mut self, wait: Wait) -> Result<(), EngineError> {
        self.0.submit_and_wait(wait)
    }

    fn next_event(&mut self) -> Option<Event<Self::Accepted>> {
        self.0.next_event()
    }

    fn in_flight(&self) -> usize {
        self.0.in_flight()
    }

    fn open_keys(&self) -> usize {
        self.0.open_keys()
    }

    fn drain(self, deadline: Instant) -> Drained {
        self.0.drain(deadline)
    }
}
