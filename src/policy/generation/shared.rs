//! What all sets of policies of a process share, and what the process gives them.

use crate::policy::acl::Acls;
use crate::policy::clock::Clock;
use crate::policy::cursor::CursorKey;
use crate::policy::fault::disk::Concerned;
use crate::policy::identity::Subjects;
use crate::policy::journal::line::line;
use crate::policy::journal::{self, Lines};
use crate::policy::letters::Letters;
use crate::policy::names::{Names, NoTopics};
use crate::policy::pause::Pauses;
use crate::policy::replay::Replay;
use crate::policy::schema::Schemas;
use crate::policy::script::Surroundings;
use crate::policy::secrets::Secrets;
use crate::policy::sequences::Sequences;
use crate::policy::state::StateStore;
use crate::policy::waits::Waits;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Fifty times what a closure needs for each of 100,000 records.
const CLOSURES_WALL: Duration = Duration::from_secs(8);

/// What all generations of a process share.
#[derive(Debug)]
pub struct Shared {
    pub clock: Clock,
    /// Of policies without a seed of their own.
    pub seed: u64,
    /// Of all policies, whatever they say: of tests.
    pub(super) forced_seed: Option<u64>,
    pub subjects: Subjects,
    pub state: Arc<StateStore>,
    pub names: Names,
    /// The upstream's access control lists, where it enforces any.
    pub acls: Option<Arc<dyn Acls>>,
    pub journal: Arc<Lines>,
    pub audit: Arc<Lines>,
    pub secrets: Secrets,
    pub schemas: Schemas,
    /// Faults happen as this says, and not otherwise.
    pub replay: Option<Replay>,
    pub closures_wall: Duration,
    /// Whether a rule may end the process.
    pub(super) allow_crash: bool,
    /// No rule does anything, whatever it says.
    pub(in crate::policy) watch_only: bool,
    /// Which operations of the disk rules in force are about: asked before every one.
    pub disk_rules: Concerned,
    pub pauses: Pauses,
    /// Requests that wait for others.
    pub waits: Waits,
    /// What of the embedded broker faults can reach.
    pub broker: Option<Arc<dyn EmbeddedBroker>>,
    /// Of the broker that clients come to.
    pub node_id: i32,
    /// Closures that failed.
    pub closure_failures: AtomicU64,
    pub(in crate::policy) cursors: CursorKey,
    /// Of producers whose batches lost or gained records.
    pub sequences: Sequences,
    pub letters: Letters,
}

impl Shared {
    pub fn new(settings: Settings) -> Arc<Self> {
        let journal = Arc::new(settings.journal);
        let told = Arc::clone(&journal);
        Arc::new(Self {
            subjects: Subjects::new(move |subject| told.put(&Evicted::new(subject))),
            state: StateStore::new(settings.clock.clone()),
            clock: settings.clock,
            seed: settings.seed,
            forced_seed: settings.forced_seed,
            names: settings.names,
            acls: settings.acls,
            journal,
            audit: Arc::new(settings.audit),
            secrets: settings.secrets,
            schemas: settings.schemas,
            replay: settings.replay,
            closures_wall: settings.closures_wall,
            allow_crash: settings.allow_crash,
            watch_only: settings.watch_only,
            disk_rules: Concerned::default(),
            pauses: Pauses::default(),
            waits: Waits::default(),
            broker: settings.broker,
            node_id: settings.node_id,
            closure_failures: AtomicU64::new(0),
            cursors: CursorKey::random(),
            sequences: Sequences::default(),
            letters: Letters::default(),
        })
    }

    pub fn surroundings(&self) -> Surroundings {
        Surroundings {
            state: Arc::clone(&self.state),
            secrets: self.secrets.clone(),
            schemas: self.schemas.clone(),
        }
    }
}

/// What a process gives its policies.
#[derive(Debug)]
pub struct Settings {
    pub clock: Clock,
    pub seed: u64,
    /// Goes before the policies' own seeds.
    pub forced_seed: Option<u64>,
    pub names: Names,
    pub acls: Option<Arc<dyn Acls>>,
    pub journal: Lines,
    pub audit: Lines,
    pub secrets: Secrets,
    pub schemas: Schemas,
    /// A journal that is made to happen again.
    pub replay: Option<Replay>,
    /// How long the closures on the records of one request or response may take together; then they failed.
    pub closures_wall: Duration,
    /// Whether `crash_at` may end the process: what is not allowed does not load.
    pub allow_crash: bool,
    /// Whether all rules only watch, as in a dry run.
    pub watch_only: bool,
    pub broker: Option<Arc<dyn EmbeddedBroker>>,
    /// Kafka's `node.id` of the broker that clients come to; there is one.
    pub node_id: i32,
}

/// The broker in this process, as far as faults reach into it.
pub trait EmbeddedBroker: std::fmt::Debug + Send + Sync {
    /// Takes the newest records off a partition; never waits. False: it cannot.
    fn truncate(&self, topic: &str, partition: i32, records: u64) -> bool;
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            seed: 0,
            forced_seed: None,
            names: Names::new(Arc::new(NoTopics)),
            acls: None,
            journal: Lines::none(),
            audit: Lines::none(),
            secrets: Secrets::default(),
            schemas: Schemas::default(),
            replay: None,
            closures_wall: CLOSURES_WALL,
            allow_crash: false,
            watch_only: false,
            broker: None,
            node_id: 1,
        }
    }
}

line! {
/// A subject that had to be forgotten: its next event counts from zero.
pub struct Evicted {
    /// Milliseconds since 1970.
    time: u64,
    /// Its number, in hexadecimal.
    evicted_subject: String,
}
}

impl Evicted {
    fn new(subject: u128) -> Self {
        Self { time: journal::now(), evicted_subject: format!("{subject:032x}") }
    }
}
