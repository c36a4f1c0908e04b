//! `lose_commit()`: the commit of a transaction is carried out, and its producer never hears of it. `delay_commit(time)`: it
//! hears of it that much later; what it begins meanwhile is torn off if it does not wait. Aborts are left alone.

use super::{Harm, Injected, delay, lose};
use crate::policy::random::{Distribution, Draws};

pub fn lose(harm: &mut Harm) -> Injected {
    lose::response(harm)
}

pub fn delay(distribution: &Distribution, draws: &mut Draws, harm: &mut Harm) -> Injected {
    delay::inject(distribution, draws, harm)
}
