//! `delay(time)`: the response leaves that much later. A release time, not a pause: what is pipelined behind
//! waits for its turn only, so five requests delayed 200 ms arrive after about 200 ms.

use super::{Executed, Harm, Injected};
use crate::policy::random::{Distribution, Draws};

pub fn inject(distribution: &Distribution, draws: &mut Draws, harm: &mut Harm) -> Injected {
    let delay = distribution.draw(draws);
    harm.delay = harm.delay.saturating_add(delay);
    Injected { executed: Executed::Untouched, parameter: Some(format!("{delay:?}")), terminal: false }
}
