//! Joins Toxiproxy's API to the gateway's proxies.

use std::sync::Arc;

use crate::admin::toxiproxy::{Answering, ToxiproxyApi};
use crate::gateway::link::proxies::Proxies;

pub struct Toxiproxy(pub Arc<Proxies>);

impl ToxiproxyApi for Toxiproxy {
    fn call<'a>(&'a self, method: &'a str, path: &'a str, body: &'a [u8]) -> Answering<'a> {
        Box::pin(self.0.call(method, path, body))
    }
}
