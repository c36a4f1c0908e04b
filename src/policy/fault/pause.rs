//! `pause(time)`: the embedded broker stands still, for everybody, from the exchange on that the rule fired at: that one
//! is executed after it. Clients are still accepted, and timers of groups go on: a member that cannot be heard is
//! missed. Only `lose_*` and delays know one exchange from another.

use super::{Executed, Injected};
use std::time::Duration;

/// What the exchange itself meets: what the broker does is its own matter (`policy::pause`).
pub fn inject(time: Option<Duration>) -> Injected {
    let parameter = time.map(|time| format!("{time:?}"));
    Injected { executed: Executed::Untouched, parameter, terminal: false }
}
