//! What comes with a request, and what goes back.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use crate::wire::{ApiKey, Request, Response, ResponseBody, Str};

/// Who asks, and how that client reaches us.
#[derive(Debug, Clone)]
pub struct Context {
    /// As Kafka writes it: `User:alice`.
    pub principal: Str,
    pub client_id: Option<Str>,
    pub client_host: IpAddr,
    /// The client's connection: requests of one session come in order.
    pub session: u64,
    pub listener: Str,
    /// What this client must be told to connect to.
    pub advertised_host: Str,
    pub advertised_port: i32,
}

/// The answer of a [`super::Broker`] to one request.
pub enum Reply {
    /// `None`: there is no answer (acks=0).
    Now(Option<Response>),
    Later {
        response: ReplyFuture,
        /// The session's next request must not start before this one is done, because this one takes effect only then
        /// (catalogue changes). Otherwise its effects happened already, in order, and only the answer waits.
        barrier: bool,
    },
    /// The answer to a client with quotas. After it the session is not read for a while, when the client used too much.
    Metered {
        response: MeteredFuture,
        /// As of `Later`.
        barrier: bool,
        /// From now on the session is not read for so long, whenever the answer comes.
        mute: Duration,
    },
    /// The connection is to be closed, after the answers still owed: what Kafka does with what it cannot answer.
    Close,
}

pub type ReplyFuture = Pin<Box<dyn Future<Output = Option<Response>> + Send>>;

/// An answer, and for how long its session is not read after it.
pub type MeteredFuture = Pin<Box<dyn Future<Output = (Option<Response>, Duration)> + Send>>;

impl Reply {
    /// An answer that waits for something that needs no further order.
    pub fn later(response: impl Future<Output = Response> + Send + 'static) -> Reply {
        Reply::Later { response: Box::pin(async move { Some(response.await) }), barrier: false }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Now(response) => f.debug_tuple("Now").field(response).finish(),
            Reply::Later { barrier, .. } => f.debug_struct("Later").field("barrier", barrier).finish(),
            Reply::Metered { barrier, mute, .. } => {
                f.debug_struct("Metered").field("barrier", barrier).field("mute", mute).finish()
            }
            Reply::Close => f.write_str("Close"),
        }
    }
}

/// Which request an answer belongs to, for handlers that have taken the request apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyTo {
    pub api: ApiKey,
    pub version: i16,
    pub correlation_id: i32,
}

impl ReplyTo {
    pub fn of(request: &Request) -> Self {
        ReplyTo { api: request.api(), version: request.version(), correlation_id: request.correlation_id() }
    }

    pub fn response(&self, body: impl Into<ResponseBody>) -> Response {
        Response {
            api: self.api,
            version: self.version,
            correlation_id: self.correlation_id,
            header_tags: Default::default(),
            body: body.into(),
        }
    }

    pub fn now(&self, body: impl Into<ResponseBody>) -> Reply {
        Reply::Now(Some(self.response(body)))
    }
}
