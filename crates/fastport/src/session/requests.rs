//! Requests to the peer, as the application makes and answers them.

use crate::client::now_ms;
use crate::lock::Mutex;
use crate::session::handle::Session;
use crate::{CloseReason, Identified, SendError, SendStatus};
use fastport_protocol::Headed;
use fastport_protocol::commons::Header;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No answer came within the time limit. It may still come; nobody waits for it any more.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The session ended before the answer came.
    #[error("the session ended: {0}")]
    Closed(CloseReason),
    /// The request could not be queued.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The answer does not decode as the message that was expected.
    #[error("the answer does not decode: {0}")]
    Decode(#[from] prost::DecodeError),
}

impl Session {
    /// Asks the peer, whichever side made the connection, and has `answered` called with what it
    /// answers, or with why it does not: exactly once, unless this returns an error.
    ///
    /// The request's header is filled in; its `request_id` is one of 2^62 or more, which a client
    /// that counts from 1 never has. What answers it is a packet with the id of `Resp` and the same
    /// `request_id` in its header. The handler does not see that packet.
    ///
    /// `answered` runs where the session's handler does, in order with its packets. `limit` is kept
    /// by the worker's timers, 50 ms exact. When the session ends, whoever waits is told so before
    /// `on_disconnected`. Any thread; does not block.
    ///
    /// ```
    /// use fastport::protocol::tests::{PingRequest, PingResponse};
    /// use fastport::{RequestError, Session};
    /// use std::time::Duration;
    ///
    /// fn measure(session: &Session) -> Result<(), fastport::SendError> {
    ///     let ask = PingRequest::default();
    ///     session.request(ask, Duration::from_secs(2), |session, answer| {
    ///         let answer: Result<PingResponse, RequestError> = answer;
    ///         if let Err(RequestError::Timeout(_)) = answer {
    ///             session.kick(1002, "too slow");
    ///         }
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// [`SendError`]; the request is not sent, and `answered` not called.
    pub fn request<Req, Resp>(
        &self,
        mut request: Req,
        limit: Duration,
        answered: impl FnOnce(&Self, Result<Resp, RequestError>) + Send + 'static,
    ) -> Result<(), SendError>
    where
        Req: Identified + Headed,
        Resp: Identified,
    {
        let answered = move |session: &Self, outcome: Result<&[u8], RequestError>| {
            let decode = |payload| Resp::decode(payload).map_err(RequestError::from);
            answered(session, outcome.and_then(decode));
        };
        let shared = self.shared();
        let id = shared.ask(Resp::ID, limit, Box::new(answered))?;
        request.set_header(Header {
            request_id: id,
            timestamp_ms: now_ms(),
        });
        let error = match self.send(Req::ID, &request) {
            Ok(SendStatus::Queued | SendStatus::Backpressure) => return Ok(()),
            Ok(SendStatus::Dropped) => SendError::Dropped,
            Err(error) => error,
        };
        // The end of the session may have told who waits already.
        if shared.forget_ask(id) {
            Err(error)
        } else {
            Ok(())
        }
    }

    /// As [`Session::request`]; the future is the answer. It works with any executor, has `limit`
    /// from now on, and may be dropped. Do not block a handler of the same session on it: the
    /// answer would wait behind that handler.
    ///
    /// # Errors
    /// As [`Session::request`].
    pub fn request_async<Req, Resp>(
        &self,
        request: Req,
        limit: Duration,
    ) -> Result<PeerAnswer<Resp>, SendError>
    where
        Req: Identified + Headed,
        Resp: Identified + Send + 'static,
    {
        let place = Arc::new(Mutex::new(Place::Waiting(None)));
        let promise = Promise(place.clone());
        self.request(request, limit, move |_, answer| promise.keep(answer))?;
        Ok(PeerAnswer { place })
    }

    /// Answers a request of the peer's: sends `response` with the header of `request`, by which the
    /// peer knows it.
    ///
    /// # Errors
    /// [`SendError`]; nothing is queued then.
    pub fn answer<Resp: Identified + Headed>(
        &self,
        request: &impl Headed,
        mut response: Resp,
    ) -> Result<SendStatus, SendError> {
        response.set_header(request.header().copied().unwrap_or_default());
        self.send(Resp::ID, &response)
    }
}

/// The answer of a peer, from [`Session::request_async`].
#[derive(Debug)]
pub struct PeerAnswer<Resp> {
    place: Arc<Mutex<Place<Resp>>>,
}

#[derive(Debug)]
enum Place<Resp> {
    Waiting(Option<Waker>),
    There(Result<Resp, RequestError>),
    Taken,
}

impl<Resp> Future for PeerAnswer<Resp> {
    type Output = Result<Resp, RequestError>;

    /// # Panics
    /// When it is polled after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut place = self.place.lock();
        match std::mem::replace(&mut *place, Place::Taken) {
            Place::There(answer) => Poll::Ready(answer),
            Place::Waiting(_) => {
                *place = Place::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
            Place::Taken => panic!("the answer was taken before"),
        }
    }
}

/// Leaves an answer, at the latest when it is dropped: nobody waits for ever.
struct Promise<Resp>(Arc<Mutex<Place<Resp>>>);

impl<Resp> Promise<Resp> {
    fn keep(self, answer: Result<Resp, RequestError>) {
        self.leave(answer);
    }

    fn leave(&self, answer: Result<Resp, RequestError>) {
        let mut place = self.0.lock();
        if let Place::Waiting(waker) = &mut *place {
            let waker = waker.take();
            *place = Place::There(answer);
            drop(place);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<Resp> Drop for Promise<Resp> {
    fn drop(&mut self) {
        // Does nothing when it was kept.
        self.leave(Err(RequestError::Closed(CloseReason::Stopping)));
    }
}
