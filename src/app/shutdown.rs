//! SIGINT and SIGTERM: the first asks for an orderly end, the second ends the process there and then.
//!
//! Ending at once is safe for data: to the broker it is a crash, and acknowledged writes survive those.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells everyone who holds a clone that the end was asked for.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// Asks for the end.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

impl Trigger {
    pub fn fire(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// A shutdown that its trigger asks for. Dropping the trigger asks for it too.
    pub fn new() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (Trigger(sender), Self(receiver))
    }

    /// Takes over SIGINT and SIGTERM for the rest of the process.
    pub fn on_signals() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (trigger, shutdown) = Self::new();
        tokio::spawn(async move {
            let mut asked = false;
            loop {
                let (name, code) = tokio::select! {
                    _ = interrupt.recv() => ("SIGINT", 130),
                    _ = terminate.recv() => ("SIGTERM", 143),
                };
                if asked {
                    tracing::warn!(signal = name, "a second signal: ending at once");
                    end_at_once(code);
                }
                asked = true;
                tracing::info!(signal = name, "draining; a second signal ends at once");
                trigger.fire();
            }
        });
        Ok(shutdown)
    }

    /// Resolves when the end was asked for, at once if it was before.
    pub async fn requested(&mut self) {
        // An error means the trigger is gone: nobody could ask any more, which must not mean running for ever.
        let _ = self.0.wait_for(|asked| *asked).await;
    }

    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing may run after a second signal, destructors included")]
fn end_at_once(code: i32) -> ! {
    std::process::exit(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everyone_is_told_once_and_for_all() {
        let (trigger, mut first) = Shutdown::new();
        let mut second = first.clone();
        assert!(!first.is_requested());
        let waiting = tokio::spawn(async move { second.requested().await });
        trigger.fire();
        waiting.await.unwrap();
        first.requested().await;
        first.requested().await;
        assert!(first.is_requested());
    }

    #[tokio::test]
    async fn a_lost_trigger_does_not_mean_for_ever() {
        let (trigger, mut shutdown) = Shutdown::new();
        drop(trigger);
        shutdown.requested().await;
    }
}
