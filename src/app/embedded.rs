//! The embedded broker as an upstream of the gateway: the one place where the two meet.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::{Broker, Context, Reply};
use crate::gateway::{Caller, Submitted, Upstream};
use crate::wire::{Request, Response};

/// Answers exchanges in this process.
pub struct Embedded(pub Arc<Broker>);

impl Upstream for Embedded {
    fn submit(&self, caller: &Arc<Caller>, request: Request) -> Submitted {
        let context = Context {
            principal: caller.principal.clone(),
            client_id: caller.client_id.clone(),
            client_host: caller.remote,
            session: caller.session,
            listener: caller.listener.clone(),
            advertised_host: caller.advertised_host.clone(),
            advertised_port: caller.advertised_port,
        };
        match self.0.handle(&context, request) {
            Reply::Now(response) => Submitted::Now(response),
            Reply::Later { response, barrier } => Submitted::Later { response, barrier },
            Reply::Metered { response, barrier, mute } => Submitted::Metered { response, barrier, mute },
            Reply::Close => Submitted::Close,
        }
    }

    fn connecting(&self, remote: IpAddr) -> Option<Duration> {
        self.0.quotas().connect(remote)
    }

    fn unknown_api_versions(&self, _: &Arc<Caller>, correlation_id: i32) -> Response {
        Broker::api_versions_fallback(correlation_id)
    }
}
