//! The policies' hand on the embedded broker: its disk. Joins what storage asks before each disk operation to the
//! rules on it.

use std::io::ErrorKind;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::broker::Broker;
use crate::policy::evaluate::{DiskEnd, on_disk, still_waits};
use crate::policy::fault::disk::{Operation, Point};
use crate::policy::generation::Policies;
use crate::storage::chaos::{DiskChaos, DiskFault, DiskOperation, DiskStop, DiskWait};

/// How long the line that says why may take to be in the journal before the process ends itself.
const LAST_LINE: Duration = Duration::from_secs(1);

/// Storage is opened before there are policies and before there is a broker: both come later.
#[derive(Debug, Default)]
pub struct BrokerChaos {
    joined: OnceLock<Joined>,
}

/// Both hold this, by way of storage: it must not hold them, or none of them would ever end, nor the journal.
struct Joined {
    policies: Weak<Policies>,
    broker: Weak<Broker>,
}

impl std::fmt::Debug for Joined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Joined")
    }
}

impl BrokerChaos {
    /// From here on the policies in force hold for this broker. What waits is looked at again whenever they change,
    /// until the task that comes back ends.
    pub fn join(&self, policies: &Arc<Policies>, broker: &Arc<Broker>) -> JoinHandle<()> {
        let joined = Joined { policies: Arc::downgrade(policies), broker: Arc::downgrade(broker) };
        if self.joined.set(joined).is_err() {
            tracing::error!("the policies were joined to the broker before");
        }
        let mut changes = policies.changes();
        let broker = Arc::downgrade(broker);
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let Some(broker) = broker.upgrade() else { return };
                broker.catalogue().storage().look_again();
            }
        })
    }

    fn policies(&self) -> Option<Arc<Policies>> {
        self.joined.get()?.policies.upgrade()
    }
}

fn named(operation: DiskOperation) -> Operation {
    match operation {
        DiskOperation::Append => Operation::Append,
        DiskOperation::Sync => Operation::Sync,
        DiskOperation::Read => Operation::Read,
    }
}

impl DiskChaos for BrokerChaos {
    fn is_on(&self, operation: DiskOperation) -> bool {
        self.policies().is_some_and(|policies| policies.shared().disk_rules.has(named(operation)))
    }

    fn before(&self, operation: DiskOperation, log: &str, _bytes: usize) -> Option<DiskFault> {
        let joined = self.joined.get()?;
        let (topic, partition) = joined.broker.upgrade()?.catalogue().owner(log)?;
        let verdict = on_disk(&joined.policies.upgrade()?.current(), named(operation), &topic, partition)?;
        let waits = verdict.waits.into_iter().map(|(asked_by, time)| DiskWait { asked_by, time });
        let stop = verdict.end.map(|end| match end {
            DiskEnd::Full => DiskStop::Fail(ErrorKind::StorageFull),
            DiskEnd::Failed => DiskStop::Fail(ErrorKind::Other),
            DiskEnd::Crash(Point::Before) => DiskStop::CrashBefore,
            DiskEnd::Crash(Point::After) => DiskStop::CrashAfter,
        });
        Some(DiskFault { waits: waits.collect(), stop })
    }

    fn wants(&self, wait: &DiskWait) -> bool {
        self.policies().is_some_and(|policies| still_waits(&policies.current(), wait.asked_by))
    }

    fn end_process(&self) {
        tracing::error!("the process ends itself: a policy says crash_at(…)");
        if let Some(policies) = self.policies() {
            policies.shared().journal.settle(LAST_LINE);
        }
        // As a kill from outside: nothing is closed, nothing is written any more.
        if let Err(error) =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
        {
            tracing::error!(%error, "and cannot be killed");
        }
        std::process::abort();
    }
}
