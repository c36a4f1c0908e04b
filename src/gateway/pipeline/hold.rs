//! Requests that wait for another exchange (`hold_until`), and what lets them go.

use super::{Exchange, Pipeline, Taken};
use crate::gateway::{
    end::EndCause,
    in_flight::{Answered, Closing, Waiting},
    listener::Gateway,
    release::Release,
    upstream::{Caller, Submitted},
};
use crate::policy::{
    verdict::{Held, Hold},
    waits::{By, Come},
};
use crate::wire::Request;
use std::sync::Arc;
use tokio::{sync::oneshot, time::Instant};

/// Gives a request to the upstream, and lets go those who waited for it.
pub(in crate::gateway) fn submit(gateway: &Gateway, caller: &Arc<Caller>, mut request: Request) -> Submitted {
    let shared = gateway.policies.shared();
    if !shared.waits.is_on() {
        return gateway.upstream.submit(caller, request);
    }
    let met = shared.waits.meet(&mut request, &shared.names);
    let come = Come { session: caller.session, correlation_id: request.correlation_id() };
    let submitted = gateway.upstream.submit(caller, request);
    met.let_go(come);
    submitted
}

/// A request that waits. However that ends, it is written down.
struct Holding {
    gateway: Arc<Gateway>,
    held: Held,
    since: Instant,
    by: By,
    /// None: it waits no more.
    come: Option<oneshot::Receiver<Come>>,
}

impl Drop for Holding {
    fn drop(&mut self) {
        let shared = self.gateway.policies.shared();
        self.come = None;
        shared.waits.forget();
        self.held.tell(self.by, self.since.elapsed(), shared);
    }
}

impl Pipeline {
    /// Keeps a request, and its session, until what it waits for has come, its time is over, or its rule or the process ends.
    pub(super) fn hold(
        &self,
        caller: &Arc<Caller>,
        request: Request,
        mut exchange: Exchange,
        (held, number): (Held, u64),
        come: oneshot::Receiver<Come>,
    ) -> Taken {
        exchange.recorded = exchange.asked.then_some(caller.session);
        let (gateway, caller, since) = (self.gateway.clone(), caller.clone(), Instant::now());
        let hold = Hold { rule: held.rule.clone(), delay: held.awaited.at_most };
        let mut release = Release::new(since, vec![hold], number);
        let at_most = held.awaited.at_most;
        let mut held = Holding { gateway: gateway.clone(), held, since, by: By::Client, come: Some(come) };
        let answered = Answered::Held(Box::pin(async move {
            let releaser = gateway.releaser();
            let come = async {
                match &mut held.come {
                    Some(come) => come.await.ok(),
                    None => None,
                }
            };
            let by = tokio::select! {
                biased;
                Some(come) = come => By::Event(come),
                () = releaser.released(|| releaser.next_look(&mut release)) => {
                    if since.elapsed() >= at_most { By::Time } else { By::Rule }
                }
            };
            held.by = by;
            drop(held);
            match submit(&gateway, &caller, request) {
                Submitted::Now(response) => Answered::Now(response),
                Submitted::Later { response, .. } => Answered::Later(response),
                Submitted::Metered { response, mute, .. } => Answered::Metered(Box::pin(async move {
                    let (response, after) = response.await;
                    (response, after.max(mute))
                })),
                Submitted::Close => Answered::End(Closing::Close(EndCause::NoPlaceForError)),
            }
        }));
        Taken::Barrier(Waiting { exchange, answered })
    }
}
