//! `throttle(time)`: the answer says that the client used more than its quota and must wait (KIP-219). The gateway does not
//! make it wait: what is tested is whether it does.

use super::{Executed, Harm, Injected};
use std::time::Duration;

pub fn inject(time: Duration, harm: &mut Harm) -> Injected {
    harm.throttle = harm.throttle.max(time);
    Injected { executed: Executed::Untouched, parameter: Some(format!("{time:?}")), terminal: false }
}
