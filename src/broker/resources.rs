//! Configs of groups and of client metrics, which need not exist to have any: in memory for who reads, in the catalogue's store
//! for the next start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::catalogue::Catalogue;
use super::config::metrics::Subscription;
use super::error::{ApiError, BrokerError};
use crate::storage::KvOp;
use crate::wire::ErrorCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Group,
    ClientMetrics,
}

impl Kind {
    fn table(self) -> &'static str {
        match self {
            Kind::Group => "group.configs",
            Kind::ClientMetrics => "client.metrics.configs",
        }
    }

    /// Resources of the kind: whoever may alter configs must not fill the memory with names, or with the patterns of
    /// subscriptions, which take more.
    fn most(self) -> usize {
        match self {
            Kind::Group => 10_000,
            Kind::ClientMetrics => 1_000,
        }
    }
}

type Values = Arc<BTreeMap<String, String>>;

/// The configs of one kind of resource, by the resource's name.
pub struct Resources {
    kind: Kind,
    values: RwLock<BTreeMap<String, Values>>,
    /// The same, read; of client metrics only.
    subscriptions: RwLock<Arc<[Subscription]>>,
    /// Held over a change from its checks to its end.
    changing: Mutex<()>,
}

impl Resources {
    /// Blocks on the disk, as does `alter`.
    pub(super) fn open(catalogue: &Catalogue, kind: Kind) -> Result<Self, BrokerError> {
        let mut values = BTreeMap::new();
        for (name, stored) in catalogue.records(kind.table())? {
            let configs: BTreeMap<String, String> =
                serde_json::from_slice(&stored).map_err(|error| BrokerError::Catalogue {
                    what: format!("{} of {name}", kind.table()),
                    problem: error.to_string(),
                })?;
            values.insert(name, Arc::new(configs));
        }
        let read = values.iter().filter(|_| kind == Kind::ClientMetrics);
        let subscriptions = RwLock::new(read.map(|(name, values)| Subscription::new(name, values)).collect());
        Ok(Resources { kind, values: RwLock::new(values), subscriptions, changing: Mutex::default() })
    }

    /// What was set of this resource.
    pub fn of(&self, name: &str) -> Values {
        self.values.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default()
    }

    /// Those with configs, in the order of their names.
    pub fn names(&self) -> Vec<String> {
        self.values.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The metrics that clients are asked for.
    pub fn subscriptions(&self) -> Arc<[Subscription]> {
        Arc::clone(&self.subscriptions.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces a resource's configs by what `alter` makes of them. Durable and in force on return.
    pub(super) fn alter(
        &self,
        catalogue: &Catalogue,
        name: &str,
        alter: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let _change = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.of(name);
        let mut after = (*before).clone();
        alter(&mut after)?;
        if after == *before {
            return Ok(());
        }
        let (table, key) = (self.kind.table(), name.as_bytes().to_vec());
        let op = if after.is_empty() {
            KvOp::Delete { table, key }
        } else {
            let known = self.values.read().unwrap_or_else(PoisonError::into_inner);
            let most = self.kind.most();
            if known.len() >= most && !known.contains_key(name) {
                let message = format!("More than {most} resources of one kind have configs.");
                return Err(ApiError::new(ErrorCode::POLICY_VIOLATION, message));
            }
            let value = serde_json::to_vec(&after)
                .map_err(|error| ApiError::new(ErrorCode::UNKNOWN_SERVER_ERROR, error.to_string()))?;
            KvOp::Put { table, key, value }
        };
        catalogue.change_records(vec![op])?;
        if self.kind == Kind::ClientMetrics {
            // Compiling a pattern takes a while: only this one's, and nobody waits for it.
            let read = (!after.is_empty()).then(|| Subscription::new(name, &after));
            let others = self.subscriptions();
            let mut read: Vec<_> =
                others.iter().filter(|other| other.name != name).cloned().chain(read).collect();
            read.sort_by(|one, other| one.name.cmp(&other.name));
            *self.subscriptions.write().unwrap_or_else(PoisonError::into_inner) = read.into();
        }
        let mut known = self.values.write().unwrap_or_else(PoisonError::into_inner);
        match after.is_empty() {
            true => drop(known.remove(name)),
            false => drop(known.insert(name.to_owned(), Arc::new(after))),
        }
        Ok(())
    }
}
