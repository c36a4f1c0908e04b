//! Where exchanges go: the border to whatever answers requests. `app` joins the embedded broker to it.

use crate::wire::{Request, Response, Str};
use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

/// Who asks, and how it reached us.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Number of the session, never reused in this process.
    pub session: u64,
    pub principal: Str,
    pub client_id: Option<Str>,
    pub remote: IpAddr,
    pub listener: Str,
    /// What clients of this listener are told to connect to.
    pub advertised_host: Str,
    pub advertised_port: i32,
}

/// A future of a response; None when the exchange has none.
pub type Answering = Pin<Box<dyn Future<Output = Option<Response>> + Send>>;

/// The same, and for how long the session is not read after the response: its client used more than its quota.
pub type Metering = Pin<Box<dyn Future<Output = (Option<Response>, Duration)> + Send>>;

/// What became of a request.
pub enum Submitted {
    /// Done; None for an exchange without a response (acks=0).
    Now(Option<Response>),
    /// Its effects stand in order, its answer follows. With `barrier` the effects come with the answer: the session's next
    /// request must wait.
    Later { response: Answering, barrier: bool },
    /// As `Later`, for a client with quotas: `mute` holds from now on, the future's from the response on.
    Metered { response: Metering, barrier: bool, mute: Duration },
    /// The upstream would close the connection.
    Close,
}

/// Takes requests in the order of each session, without blocking.
pub trait Upstream: Send + Sync {
    fn submit(&self, caller: &Arc<Caller>, request: Request) -> Submitted;

    /// Asked once for each connection. None: it is welcome; else it is kept waiting so long and then closed, because its
    /// address opened too many.
    fn connecting(&self, _remote: IpAddr) -> Option<Duration> {
        None
    }

    /// The reply to an ApiVersions of a version nobody knows (KIP-511): version 0 with an error and our ranges.
    fn unknown_api_versions(&self, caller: &Arc<Caller>, correlation_id: i32) -> Response;
}
