//! `duplicate_request()`: the upstream gets the request twice, one behind the other; the client gets the first answer.

use super::{Executed, Harm, Injected};

pub fn inject(harm: &mut Harm) -> Injected {
    harm.duplicate = true;
    Injected { executed: Executed::Yes, parameter: None, terminal: false }
}
