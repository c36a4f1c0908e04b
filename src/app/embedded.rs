//! The embedded broker as an upstream of the gateway: the one place where the two meet. Here it stands still when a policy
//! says so (`pause`): what comes is taken and waits in the order of its session, what is ready is not told.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::{Broker, Context, Reply};
use crate::gateway::upstream::{Answering, Caller, Submitted, Upstream};
use crate::policy::generation::Policies;
use crate::wire::{Request, Response};

/// Answers exchanges in this process.
pub struct Embedded {
    pub broker: Arc<Broker>,
    pub policies: Arc<Policies>,
}

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
        let may_pause = self.policies.may_pause();
        if may_pause && self.policies.paused().is_some() {
            return self.after_the_pause(context, request);
        }
        match self.broker.handle(&context, request) {
            Reply::Now(response) => Submitted::Now(response),
            Reply::Later { response, barrier } if may_pause => {
                Submitted::Later { response: self.told(response), barrier }
            }
            Reply::Later { response, barrier } => Submitted::Later { response, barrier },
            Reply::Metered { response, barrier, mute } => {
                let (policies, broker) = (Arc::clone(&self.policies), Arc::clone(&self.broker));
                let response = Box::pin(async move {
                    let answer = response.await;
                    resumed(&policies, &broker).await;
                    answer
                });
                Submitted::Metered { response, barrier, mute }
            }
            Reply::Close => Submitted::Close,
        }
    }

    fn connecting(&self, remote: IpAddr) -> Option<Duration> {
        self.broker.quotas().connect(remote)
    }

    fn unknown_api_versions(&self, _: &Arc<Caller>, correlation_id: i32) -> Response {
        Broker::api_versions_fallback(correlation_id)
    }
}

impl Embedded {
    /// The broker sees the request when it goes on; the session's next one waits behind it.
    fn after_the_pause(&self, context: Context, request: Request) -> Submitted {
        let (policies, broker) = (Arc::clone(&self.policies), Arc::clone(&self.broker));
        let response = Box::pin(async move {
            resumed(&policies, &broker).await;
            let answer = match broker.handle(&context, request) {
                Reply::Now(response) => (response, Duration::ZERO),
                Reply::Later { response, .. } => (response.await, Duration::ZERO),
                Reply::Metered { response, mute, .. } => {
                    let (response, then) = response.await;
                    (response, then.max(mute))
                }
                // What it cannot read it answers with nothing: the client gives up on it.
                Reply::Close => (None, Duration::ZERO),
            };
            resumed(&policies, &broker).await;
            answer
        });
        Submitted::Metered { response, barrier: true, mute: Duration::ZERO }
    }

    fn told(&self, response: Answering) -> Answering {
        let (policies, broker) = (Arc::clone(&self.policies), Arc::clone(&self.broker));
        Box::pin(async move {
            let response = response.await;
            resumed(&policies, &broker).await;
            response
        })
    }
}

/// Waits until the broker goes on: the pause is over, or its rule is, or the process ends.
async fn resumed(policies: &Policies, broker: &Broker) {
    // Whoever is not held pays for no subscription.
    if policies.paused().is_none() {
        return;
    }
    let mut changes = policies.changes();
    while let Some(left) = policies.paused() {
        tokio::select! {
            () = tokio::time::sleep(left) => {}
            changed = changes.changed() => if changed.is_err() { return },
            () = broker.closing() => return,
        }
    }
}
