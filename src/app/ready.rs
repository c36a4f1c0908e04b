//! Whether clients should be sent here: not while starting, and no more once the end was asked for.

use std::sync::{Mutex, PoisonError};

use crate::admin::{Readiness, ReadinessView};

/// The state `/readyz` shows. Goes from starting to ready to draining, never back.
#[derive(Debug)]
pub struct Ready(Mutex<State>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    Draining,
}

impl Ready {
    pub fn starting() -> Self {
        Self(Mutex::new(State::Starting))
    }

    /// Listeners accept. Has no effect once draining.
    pub fn set_ready(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Starting {
            *state = State::Ready;
        }
    }

    pub fn set_draining(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::Draining;
    }
}

impl ReadinessView for Ready {
    fn readiness(&self) -> Readiness {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Starting => Readiness::NotReady("starting".into()),
            State::Ready => Readiness::Ready,
            State::Draining => Readiness::NotReady("draining".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_is_final() {
        let ready = Ready::starting();
        assert_eq!(ready.readiness(), Readiness::NotReady("starting".into()));
        ready.set_ready();
        assert_eq!(ready.readiness(), Readiness::Ready);
        ready.set_draining();
        ready.set_ready();
        assert_eq!(ready.readiness(), Readiness::NotReady("draining".into()));
    }
}
