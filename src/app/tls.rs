//! Certificates of the listeners, and of the admin address, while the process runs: opened at the start, renewed from their files, and told of before they
//! end.

use super::config::Config;
use super::failure::Failure;
use super::listeners::Listener;
use crate::security::tls::{Renewed, Served, ServerTls};
use crate::security::users_file::is_exposed;
use prometheus::{IntGaugeVec, Opts, Registry};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A certificate that ends sooner is worth a warning.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// TLS of those addresses that have it, by what they are called in the log.
pub(super) struct Certificates(HashMap<String, Arc<ServerTls>>);

/// Of the admin address: no name of a listener.
const ADMIN: &str = "(admin)";

impl Certificates {
    /// Reads all files. One that cannot be used is a reason not to start.
    pub fn open(config: &Config) -> Result<Self, Failure> {
        let mut all = HashMap::new();
        let listeners = config.listeners.iter().map(|Listener { name, tls, .. }| (name.as_str(), tls));
        let admin = config.admin.as_ref().map(|_| (ADMIN, &config.admin_tls));
        for (name, tls) in listeners.chain(admin) {
            let Some(files) = tls else { continue };
            let whose =
                if name == ADMIN { "the admin address".to_owned() } else { format!("listener `{name}`") };
            let tls = ServerTls::open(files.clone())
                .map_err(|error| Failure::usage(format!("{whose}: {error}")))?;
            let key = files.key.as_ref().unwrap_or(&files.certificate);
            if is_exposed(key) {
                tracing::warn!(listener = %name, file = %key.display(), "others than its owner and group can read the private key");
            }
            warn(name, &tls.certificate());
            all.insert(name.to_owned(), Arc::new(tls));
        }
        Ok(Self(all))
    }

    pub fn of(&self, listener: &str) -> Option<Arc<ServerTls>> {
        self.0.get(listener).cloned()
    }

    pub fn of_admin(&self) -> Option<Arc<ServerTls>> {
        self.of(ADMIN)
    }

    /// Takes changes of the files over, as long as the process runs. None: there is nothing to look at.
    pub fn renew(self, registry: &Registry) -> Result<Option<JoinHandle<()>>, prometheus::Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let ends = IntGaugeVec::new(
            Opts::new(
                "tollgate_tls_certificate_not_after_timestamp_seconds",
                "When the certificate of the listener ends, in seconds since 1970.",
            ),
            &["listener"],
        )?;
        registry.register(Box::new(ends.clone()))?;
        for (name, tls) in &self.0 {
            tell(&ends, name, &tls.certificate());
        }
        let all = Arc::new(self.0);
        Ok(Some(tokio::spawn(async move {
            let mut tick = tokio::time::interval(LOOK);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let (all, ends) = (all.clone(), ends.clone());
                let looked = tokio::task::spawn_blocking(move || {
                    for (name, tls) in all.iter() {
                        look(name, tls, &ends);
                    }
                });
                if looked.await.is_err() {
                    return;
                }
            }
        })))
    }
}

fn look(name: &str, tls: &ServerTls, ends: &IntGaugeVec) {
    match tls.renew() {
        Ok(Renewed::Changed(certificate)) => {
            tracing::info!(listener = %name, file = %tls.files().certificate.display(), "the certificate was renewed");
            warn(name, &certificate);
            tell(ends, name, &certificate);
        }
        Ok(Renewed::Unchanged | Renewed::Settling) => {}
        Err(error) => tracing::error!(listener = %name, %error, "the certificate stays as it was"),
    }
}

fn tell(ends: &IntGaugeVec, name: &str, certificate: &Served) {
    let seconds = certificate.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    ends.with_label_values(&[name]).set(i64::try_from(seconds).unwrap_or(i64::MAX));
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is said of a certificate depends on today's date, and nothing else does"
)]
fn warn(name: &str, certificate: &Served) {
    match certificate.not_after.duration_since(SystemTime::now()) {
        Err(_) => tracing::warn!(listener = %name, "the certificate is out of date: clients refuse it"),
        Ok(left) if left < SOON => {
            let hours = left.as_secs() / 3600;
            tracing::warn!(listener = %name, hours, "the certificate ends soon");
        }
        Ok(_) => {}
    }
}
