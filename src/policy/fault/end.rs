//! `disconnect()`: the session is closed after the responses it is owed. `reset()`: at once, with a RST.
//! The request that meets either is not executed.

use super::{Executed, Harm, Injected};
use crate::policy::verdict::End;

pub fn disconnect(harm: &mut Harm) -> Injected {
    harm.end.get_or_insert(End::Disconnect);
    Injected { executed: Executed::No, parameter: None, terminal: true }
}

pub fn reset(harm: &mut Harm) -> Injected {
    harm.end = Some(End::Reset);
    Injected { executed: Executed::No, parameter: None, terminal: true }
}
