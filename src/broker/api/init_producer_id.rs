//! InitProducerId 0 to 5 (6 is not released by Kafka 4.4), for idempotent producers. With a transactional id it is
//! refused as a version that is not supported: clients take that as final and say so, where most other codes make them
//! try for ever.

use std::sync::Arc;

use crate::broker::broker::{Broker, blocking};
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::ErrorCode;
use crate::wire::api::init_producer_id::{Request, Response};

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    match request.transactional_id {
        Some(id) if id.is_empty() => return to.now(refused(ErrorCode::INVALID_REQUEST)),
        Some(_) => return to.now(refused(ErrorCode::UNSUPPORTED_VERSION)),
        None => {}
    }
    if let Some(producer_id) = broker.next_producer_id() {
        return to.now(given(producer_id));
    }
    let broker = Arc::clone(broker);
    Reply::later(async move {
        let asking = Arc::clone(&broker);
        let taken = blocking(move || {
            // Whoever comes first fetches for all; the others find what it brought.
            let mut ids = broker.producer_ids();
            if ids.is_empty() {
                *ids = broker.catalogue.take_producer_ids()?;
            }
            Ok::<_, crate::broker::BrokerError>(ids.next())
        });
        match taken.await {
            Ok(Ok(Some(producer_id))) => {
                asking.no_producer_ids.ends();
                to.response(given(producer_id))
            }
            Ok(Err(error)) | Err(error) => {
                if let Some(passed_over) =
                    asking.no_producer_ids.says(&error.to_string(), asking.clock.elapsed())
                {
                    tracing::warn!(%error, passed_over, "no producer ids");
                }
                to.response(refused(ErrorCode::COORDINATOR_NOT_AVAILABLE))
            }
            Ok(Ok(None)) => to.response(refused(ErrorCode::COORDINATOR_NOT_AVAILABLE)),
        }
    })
}

/// Producers that come back with an id get a new one, as with Kafka: the old id's epochs are nobody's any more.
fn given(producer_id: i64) -> Response {
    Response { producer_id, producer_epoch: 0, ..Default::default() }
}

fn refused(code: ErrorCode) -> Response {
    Response { error_code: code.0, producer_id: -1, producer_epoch: -1, ..Default::default() }
}
