//! What the admin room is given to read, and the shapes it shows. Each view answers from memory, at once.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;

use super::control::{PolicyControl, Tokens};

/// Everything the admin address can show.
#[derive(Clone)]
pub struct AdminHandles {
    /// Rooms register their collectors here.
    pub registry: prometheus::Registry,
    pub policies: Arc<dyn PoliciesView>,
    pub sessions: Arc<dyn SessionsView>,
    pub readiness: Arc<dyn ReadinessView>,
    pub control: Arc<dyn PolicyControl>,
    /// Who may make changes. None: whoever reaches a loopback address, and nobody elsewhere.
    pub tokens: Option<Arc<dyn Tokens>>,
    /// None: it is plain HTTP.
    pub tls: Option<Arc<dyn Certificates>>,
}

/// What HTTPS is spoken with.
pub trait Certificates: Send + Sync {
    /// For a handshake that begins now.
    fn config(&self) -> Arc<rustls::ServerConfig>;
    /// Who the client is that showed this certificate.
    fn name_of(&self, certificate: &rustls::pki_types::CertificateDer<'_>) -> Result<String, String>;
}

/// The policies there are, those that are switched off included.
pub trait PoliciesView: Send + Sync {
    fn policies(&self) -> PoliciesStatus;
    /// One of them, with its script.
    fn policy(&self, name: &str) -> Option<PolicyScript>;
    fn counts(&self) -> PolicyCounts;
}

/// What the policies as a whole did since the start, and had to give up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PolicyCounts {
    /// The set in force.
    pub generation: u64,
    /// Changes on disk that were not taken.
    pub refused_changes: u64,
    /// Subjects forgotten: their draws and counts start at zero.
    pub evicted_subjects: u64,
    /// Keys that windows forgot.
    pub evicted_window_keys: u64,
    pub closure_failures: u64,
    pub journal: LineCounts,
    pub audit: LineCounts,
}

/// Lines of a file that nobody waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineCounts {
    pub written: u64,
    pub dropped: u64,
}

/// `/v1/policies`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PoliciesStatus {
    /// Counts the sets taken into force since the start.
    pub generation: u64,
    pub policies: Vec<PolicyStatus>,
    /// Why the last change on disk was not taken; the set above stayed in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_change: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct PolicyStatus {
    pub name: String,
    pub purpose: String,
    pub file: String,
    /// `folder`, or `api` when it was added while the process runs.
    pub origin: String,
    pub enabled: bool,
    /// `enforce` or `observe`.
    pub mode: String,
    /// Milliseconds until it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    pub rules: Vec<RuleStatus>,
}

#[derive(Debug, Clone, Serialize)]
pub struct RuleStatus {
    pub name: String,
    /// Of its script, counted from one.
    pub line: usize,
    /// `security` or `chaos`.
    pub kind: String,
    /// Whether it is in force: switched off neither by itself nor with its policy.
    pub enabled: bool,
    /// It counts and does nothing.
    pub observe: bool,
    /// Milliseconds until it ends by itself, or with its policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    pub matched: u64,
    pub applied: u64,
    pub could_not_apply: u64,
}

/// `/v1/policies/{name}`.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyScript {
    #[serde(flatten)]
    pub status: PolicyStatus,
    pub text: String,
}

/// `/v1/rules`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RulesStatus {
    pub generation: u64,
    pub rules: Vec<RuleOfPolicy>,
}

#[derive(Debug, Clone, Serialize)]
pub struct RuleOfPolicy {
    pub policy: String,
    #[serde(flatten)]
    pub rule: RuleStatus,
}

/// The sessions of all listeners.
pub trait SessionsView: Send + Sync {
    /// At most `limit` sessions with an id above `after`, in the order of their ids.
    fn page(&self, after: u64, limit: usize) -> SessionsPage;
}

/// `/v1/sessions`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SessionsPage {
    /// All sessions there are, not only those of this page.
    pub total: usize,
    pub sessions: Vec<SessionStatus>,
    /// The `after` of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct SessionStatus {
    pub id: u64,
    pub listener: String,
    pub remote_address: SocketAddr,
    pub principal: String,
    /// The last one sent; a client may change it with every request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Name and version as ApiVersions carried them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_software: Option<String>,
    pub state: String,
    pub age_ms: u64,
    pub requests: u64,
    pub in_flight: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// Whether clients should be sent here.
pub trait ReadinessView: Send + Sync {
    fn readiness(&self) -> Readiness;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// And what is waited for.
    NotReady(String),
}
