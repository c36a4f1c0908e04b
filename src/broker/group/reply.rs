//! From a coordinator's answer to a [`Reply`]: waiting for others, waiting for the log.

use super::coordinator::Answer;
use super::member::Delivery;
use super::store::append_error;
use crate::broker::{Context, Reply, ReplyTo};
use crate::storage::Ticket;
use crate::wire::{ErrorCode, ResponseBody, Str};
use std::net::IpAddr;

/// Sends `body` once the append is durable; if it never will be, what `failed` makes of it.
pub fn after<T: Into<ResponseBody> + Send + 'static>(
    to: ReplyTo,
    ticket: Option<Ticket>,
    body: T,
    failed: impl FnOnce(T, ErrorCode) -> T + Send + 'static,
) -> Reply {
    match ticket {
        None => to.now(body),
        Some(ticket) => Reply::later(async move {
            match ticket.await {
                Ok(()) => to.response(body),
                Err(error) => to.response(failed(body, append_error(&error))),
            }
        }),
    }
}

/// Sends an answer of [`super::Groups::join`] or `sync` when it comes.
pub fn deliver<T: Into<ResponseBody> + Send + 'static>(
    to: ReplyTo,
    answer: Answer<T>,
    failed: impl FnOnce(ErrorCode) -> T + Send + 'static,
) -> Reply {
    match answer {
        Answer::Now(body) => to.now(body),
        Answer::Later(answer) => Reply::later(async move {
            let Ok(Delivery { response, after }) = answer.await else {
                // The coordinator is gone: the broker shuts down.
                return to.response(failed(ErrorCode::COORDINATOR_NOT_AVAILABLE));
            };
            if let Some(ticket) = after
                && let Err(error) = ticket.await
            {
                return to.response(failed(append_error(&error)));
            }
            to.response(response)
        }),
    }
}

/// As Kafka shows it: Java's notation of an address without a name.
pub fn client_host(cx: &Context) -> Str {
    Str::from(match cx.client_host.to_canonical() {
        IpAddr::V4(v4) => format!("/{v4}"),
        IpAddr::V6(v6) => {
            let segments: Vec<String> = v6.segments().iter().map(|s| format!("{s:x}")).collect();
            format!("/{}", segments.join(":"))
        }
    })
}
