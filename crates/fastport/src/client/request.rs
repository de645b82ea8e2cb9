//! The futures of a client: an answer, and a connection.

use super::answer::{Answer, NoAnswer, Pending};
use super::{Client, ClientError};
use crate::lock::Mutex;
use crate::{Error, SendError, Session};
use std::future::Future;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The answer to a request, of type `Resp`. Works with any executor; dropping it forgets the
/// request.
#[derive(Debug)]
pub struct Request<Resp> {
    pending: Arc<Pending>,
    id: u64,
    answer: Arc<Answer>,
    /// The session whose worker keeps the request's own time limit, if it has one.
    timed: Option<Session>,
    response: PhantomData<fn() -> Resp>,
}

impl<Resp: prost::Message + Default> Request<Resp> {
    pub(super) fn new(pending: Arc<Pending>, id: u64, answer: Arc<Answer>) -> Self {
        Self {
            pending,
            id,
            answer,
            timed: None,
            response: PhantomData,
        }
    }

    /// Has the request end as timed out when `limit` is over.
    ///
    /// # Errors
    /// The session has ended.
    pub(super) fn limit(&mut self, session: &Session, limit: Duration) -> Result<(), SendError> {
        let answer = self.answer.clone();
        let told = move |_: &Session, outcome: Result<&[u8], ClientError>| {
            // The end of a session is told by its handler, with all other requests.
            if let Err(ClientError::Timeout(limit)) = outcome {
                answer.complete(Err(NoAnswer::Late(limit)));
            }
        };
        session
            .shared()
            .limit_request(self.id, limit, Box::new(told))?;
        self.timed = Some(session.clone());
        Ok(())
    }

    /// The id that the request has on the wire.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Blocks for the answer, at most `limit`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn wait(self, limit: Duration) -> Result<Resp, ClientError> {
        let outcome = self
            .answer
            .wait(Some(limit))
            .ok_or(ClientError::Timeout(limit))?;
        Ok(Resp::decode(&*outcome?)?)
    }
}

impl<Resp: prost::Message + Default> Future for Request<Resp> {
    type Output = Result<Resp, ClientError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.poll(context).map(|outcome| {
            let payload = outcome?;
            Ok(Resp::decode(&*payload)?)
        })
    }
}

impl<Resp> Drop for Request<Resp> {
    fn drop(&mut self) {
        self.pending.forget(self.id);
        if let Some(session) = &self.timed {
            session.shared().forget_ask(self.id);
        }
    }
}

type Finish = Box<dyn FnOnce(Session) -> Client + Send>;

/// A connection that is being made. Works with any executor; dropping it closes the connection.
pub struct Connecting {
    to: SocketAddr,
    made: Arc<Answer>,
    handover: Arc<Handover>,
    finish: Option<Finish>,
}

/// Where a session waits for the client that it is for.
#[derive(Debug, Default)]
pub(super) struct Handover {
    place: Mutex<Place>,
}

#[derive(Debug, Default)]
enum Place {
    #[default]
    Empty,
    Made(Session),
    /// Taken, or nobody wants it any more.
    Over,
}

impl Handover {
    /// Leaves the session here. When nobody wants it any more it is closed.
    pub(super) fn put(&self, session: Session) {
        let mut place = self.place.lock();
        match *place {
            Place::Empty => *place = Place::Made(session),
            Place::Made(_) | Place::Over => session.disconnect(),
        }
    }

    fn take(&self) -> Option<Session> {
        match std::mem::replace(&mut *self.place.lock(), Place::Over) {
            Place::Made(session) => Some(session),
            Place::Empty | Place::Over => None,
        }
    }
}

impl Connecting {
    pub(super) fn new(
        to: SocketAddr,
        made: Arc<Answer>,
        handover: Arc<Handover>,
        finish: impl FnOnce(Session) -> Client + Send + 'static,
    ) -> Self {
        Self {
            to,
            made,
            handover,
            finish: Some(Box::new(finish)),
        }
    }

    /// Blocks until the connection stands or has failed; the session's connect time limit bounds
    /// it.
    ///
    /// # Errors
    /// Why there is no connection.
    pub fn wait(mut self) -> Result<Client, Error> {
        match self.made.wait(None) {
            Some(outcome) => self.finish(outcome),
            None => Err(Error::Stopped),
        }
    }

    fn finish(&mut self, outcome: super::answer::Outcome) -> Result<Client, Error> {
        match outcome {
            Err(NoAnswer::Closed(reason)) => {
                return Err(Error::Connect {
                    address: self.to,
                    reason,
                });
            }
            // A connection's time limit is the session's.
            Err(NoAnswer::Late(_)) => return Err(Error::Stopped),
            Ok(_) => {}
        }
        let session = self.handover.take().ok_or(Error::Stopped)?;
        let finish = self.finish.take().ok_or(Error::Stopped)?;
        Ok(finish(session))
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Some(session) = self.handover.take() {
            session.disconnect();
        }
    }
}

impl Future for Connecting {
    type Output = Result<Client, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.made.poll(context).map(|outcome| self.finish(outcome))
    }
}

impl std::fmt::Debug for Connecting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connecting")
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}
