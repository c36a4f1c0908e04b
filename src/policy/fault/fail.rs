//! `fail(code)`: the part is answered with an error and not executed. `fail_after(code)`: it is executed, and
//! the client is told it failed: what a retry then does is the test.

use super::{Executed, Harm, Injected};
use crate::wire::ErrorCode;

pub fn before(code: ErrorCode, harm: &mut Harm) -> Injected {
    harm.fail.get_or_insert(code);
    Injected { executed: Executed::No, parameter: Some(code.to_string()), terminal: true }
}

pub fn after(code: ErrorCode, harm: &mut Harm) -> Injected {
    harm.fail_after.get_or_insert(code);
    Injected { executed: Executed::Yes, parameter: Some(code.to_string()), terminal: true }
}
