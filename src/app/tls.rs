//! Certificates of the listeners, and of the admin address, while the process runs: opened at the start, renewed from their files, and told of before they
//! end.

use super::config::Config;
use super::failure::Failure;
use super::listeners::Listener;
use crate::security::tls::{Renewed, Served, ServerTls, principal};
use crate::security::users_file::is_exposed;
use prometheus::{IntGaugeVec, Opts, Registry};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;

/// TLS of the admin address, as that room wants it.
pub(super) struct OfAdmin(pub Arc<ServerTls>);

impl crate::admin::Certificates for OfAdmin {
    fn config(&self) -> Arc<rustls::ServerConfig> {
        self.0.config()
    }

    fn name_of(&self, certificate: &rustls::pki_types::CertificateDer<'_>) -> Result<String, String> {
        principal(certificate).map(|principal| principal.to_string()).map_err(|error| error.to_string())
    }
}

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Worth a warning each: so long before a certificate ends.
const STAGES: [Duration; 3] = [Duration::from_secs(7 * 24 * 3600), DAY, Duration::ZERO];

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
            exposed(name, files.key.as_ref().unwrap_or(&files.certificate));
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
        let mut all: Vec<_> = self.0.into_iter().map(|(name, tls)| (name, tls, Said::default())).collect();
        Ok(Some(tokio::spawn(async move {
            let mut tick = tokio::time::interval(LOOK);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let (mut looking, ends) = (std::mem::take(&mut all), ends.clone());
                let looked = tokio::task::spawn_blocking(move || {
                    for (name, tls, said) in &mut looking {
                        look(name, tls, &ends, said);
                    }
                    looking
                });
                match looked.await {
                    Ok(looked) => all = looked,
                    Err(error) => {
                        tracing::error!(%error, "certificates are not renewed any more");
                        return;
                    }
                }
            }
        })))
    }
}

/// What was said of the files of one address.
#[derive(Default)]
struct Said {
    /// How many of the stages.
    stages: usize,
    error: Option<String>,
}

fn look(name: &str, tls: &ServerTls, ends: &IntGaugeVec, said: &mut Said) {
    match tls.renew() {
        Ok(Renewed::Changed(certificate)) => {
            let files = tls.files();
            tracing::info!(listener = %name, file = %files.certificate.display(), "the certificate was renewed");
            *said = Said::default();
            exposed(name, files.key.as_ref().unwrap_or(&files.certificate));
            tell(ends, name, &certificate);
        }
        Ok(Renewed::Unchanged | Renewed::Settling) => {}
        Err(error) => {
            let error = Some(error.to_string());
            if said.error != error {
                tracing::error!(listener = %name, error, "the certificate stays as it was");
                said.error = error;
            }
        }
    }
    warn(name, &tls.certificate(), &mut said.stages);
}

fn exposed(name: &str, key: &Path) {
    if is_exposed(key) {
        tracing::warn!(listener = %name, file = %key.display(), "others than its owner and group can read the private key");
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
fn warn(name: &str, certificate: &Served, said: &mut usize) {
    let left = certificate.not_after.duration_since(SystemTime::now()).unwrap_or_default();
    match worth_saying(left, said) {
        None => {}
        Some(0) if left.is_zero() => {
            tracing::warn!(listener = %name, "the certificate is out of date: clients refuse it");
        }
        Some(hours) => tracing::warn!(listener = %name, hours, "the certificate ends soon"),
    }
}

/// Hours that are left, whenever less is left than at the last stage that was told of.
fn worth_saying(left: Duration, said: &mut usize) -> Option<u64> {
    let reached = STAGES.iter().filter(|stage| left <= **stage).count();
    let is_news = reached > *said;
    *said = reached;
    is_news.then_some(left.as_secs() / 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_ends_is_told_of_at_each_stage_once() {
        let mut said = 0;
        let mut after = |days: u32, hours: u32| worth_saying(DAY * days + DAY / 24 * hours, &mut said);
        let weeks = [after(30, 0), after(8, 0), after(7, 0), after(6, 5), after(2, 0)];
        assert_eq!(weeks, [None, None, Some(168), None, None]);
        assert_eq!([after(0, 23), after(0, 1), after(0, 0), after(0, 0)], [Some(23), None, Some(0), None]);
        // a new one begins again
        assert_eq!([after(90, 0), after(5, 0)], [None, Some(120)]);
        assert_eq!(worth_saying(Duration::ZERO, &mut 0), Some(0), "of all that are reached, one is told of");
    }
}
