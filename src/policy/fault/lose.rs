//! `lose_request()`: the whole exchange is never forwarded and never answered. `lose_response()`: executed,
//! and the answer withheld. After either nothing more is sent on the session until the client gives up.

use super::{Executed, Harm, Injected};
use crate::policy::verdict::Lose;

pub fn request(harm: &mut Harm) -> Injected {
    harm.lose = Some(Lose::Request);
    Injected { executed: Executed::No, parameter: None, terminal: true }
}

pub fn response(harm: &mut Harm) -> Injected {
    harm.lose.get_or_insert(Lose::Response);
    Injected { executed: Executed::Yes, parameter: None, terminal: true }
}
