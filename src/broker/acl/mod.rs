//! Access control lists (KIP-11, KIP-290): which principal may, or may not, do what to which resources.
//!
//! `binding.rs` is one entry and the filter that finds entries, `authorizer.rs` decides by them, this file keeps them durably in
//! the catalogue and swaps what is decided by when they change: the next request of every session meets the change.
//! Kafka's own setting switches it on (`authorizer.class.name`). The broker itself asks nobody: it offers its decisions
//! ([`Acls::authorizer`]) to whoever stands before it, and keeps what CreateAcls and DeleteAcls say.

mod authorizer;
mod binding;

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use authorizer::AclRuling;
use authorizer::Compiled;
pub(super) use binding::{Binding, Filter, unknown};

use super::catalogue::Catalogue;
use super::config::ServerConfigs;
use super::error::{ApiError, BrokerError};
use crate::storage::KvOp;
use crate::wire::{ErrorCode, Operation, api::Resource};

/// One record a binding: the key says all of it.
const TABLE: &str = "acls";
/// The authorizer that Kafka comes with, and the only one here.
pub const STANDARD_AUTHORIZER: &str = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
const CLASS: &str = "authorizer.class.name";
const SUPER_USERS: &str = "super.users";
const ALLOW_EVERYONE: &str = "allow.everyone.if.no.acl.found";

/// Kafka's own limit of what one request changes.
pub(super) const MAX_PER_REQUEST: usize = 10_000;
/// All together: what a request of those who may alter the cluster can make this process hold.
const MAX_BINDINGS: usize = 100_000;
const MAX_BYTES: usize = 64 << 20;

/// The bindings there are, and what is decided by them.
pub struct Acls {
    catalogue: Arc<Catalogue>,
    authorizer: Option<Arc<Authorizer>>,
}

/// Decides by the bindings in force.
#[derive(Debug)]
pub struct Authorizer {
    super_users: HashSet<String>,
    allow_everyone: bool,
    /// Held over a change from its checks to its end.
    changing: Mutex<()>,
    current: RwLock<Arc<Compiled>>,
}

impl Acls {
    /// Reads the bindings, where the settings ask for an authorizer. Blocks on the disk.
    pub(super) fn open(catalogue: Arc<Catalogue>) -> Result<Self, BrokerError> {
        let configs = catalogue.server_configs();
        let authorizer = match configs.value(CLASS) {
            Some(class) if !class.is_empty() => Some(Arc::new(Authorizer::open(&catalogue, &configs)?)),
            _ => None,
        };
        Ok(Acls { catalogue, authorizer })
    }

    /// None: no authorizer is configured, and there are no ACLs.
    pub fn authorizer(&self) -> Option<&Arc<Authorizer>> {
        self.authorizer.as_ref()
    }

    /// Adds bindings, durably and in force on return; those that are there already are not added again. Blocks on the disk.
    pub(super) fn add(&self, authorizer: &Authorizer, wanted: Vec<Binding>) -> Result<(), ApiError> {
        let _change = authorizer.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bindings = authorizer.current().bindings().clone();
        let mut ops = Vec::new();
        for binding in wanted {
            if !bindings.contains(&binding) {
                ops.push(KvOp::Put { table: TABLE, key: binding.key()?.into_bytes(), value: Vec::new() });
                bindings.insert(binding);
            }
        }
        let bytes: usize = bindings.iter().map(Binding::bytes).sum();
        if !ops.is_empty() && (bindings.len() > MAX_BINDINGS || bytes > MAX_BYTES) {
            let message = format!("This broker keeps at most {MAX_BINDINGS} ACLs of {MAX_BYTES} bytes.");
            return Err(ApiError::new(ErrorCode::POLICY_VIOLATION, message));
        }
        self.put(authorizer, ops, bindings)
    }

    /// Removes what `choose` takes of the bindings there are. Durable and in force on return. Blocks on the disk.
    pub(super) fn remove<T>(
        &self,
        authorizer: &Authorizer,
        choose: impl FnOnce(&BTreeSet<Binding>) -> (BTreeSet<Binding>, T),
    ) -> Result<T, ApiError> {
        let _change = authorizer.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bindings = authorizer.current().bindings().clone();
        let (doomed, found) = choose(&bindings);
        let mut ops = Vec::new();
        for binding in &doomed {
            ops.push(KvOp::Delete { table: TABLE, key: binding.key()?.into_bytes() });
            bindings.remove(binding);
        }
        self.put(authorizer, ops, bindings)?;
        Ok(found)
    }

    fn put(
        &self,
        authorizer: &Authorizer,
        ops: Vec<KvOp>,
        bindings: BTreeSet<Binding>,
    ) -> Result<(), ApiError> {
        if ops.is_empty() {
            return Ok(());
        }
        let compiled = Arc::new(Compiled::new(bindings));
        match self.catalogue.change_records(ops) {
            Ok(()) => {
                *authorizer.current.write().unwrap_or_else(PoisonError::into_inner) = compiled;
                Ok(())
            }
            Err(error) => {
                // It may have got through all the same. What the disk says now is what the next start will find.
                match Authorizer::read(&self.catalogue) {
                    Ok(found) => {
                        let found = Arc::new(Compiled::new(found));
                        *authorizer.current.write().unwrap_or_else(PoisonError::into_inner) = found;
                    }
                    Err(unread) => {
                        tracing::error!(error = %unread, "a change of ACLs failed, and they cannot be read again: those before it stay in force");
                    }
                }
                Err(error.into())
            }
        }
    }
}

impl Authorizer {
    fn open(catalogue: &Catalogue, configs: &ServerConfigs) -> Result<Self, BrokerError> {
        let allow_everyone = configs.value(ALLOW_EVERYONE);
        Ok(Authorizer {
            super_users: super_users(&configs.value(SUPER_USERS).unwrap_or_default())?,
            allow_everyone: allow_everyone.is_some_and(|value| value.trim().eq_ignore_ascii_case("true")),
            changing: Mutex::default(),
            current: RwLock::new(Arc::new(Compiled::new(Self::read(catalogue)?))),
        })
    }

    fn read(catalogue: &Catalogue) -> Result<BTreeSet<Binding>, BrokerError> {
        // One that cannot be read is no small thing: it may be the one that denies.
        let damaged = |problem| BrokerError::Catalogue { what: TABLE.to_owned(), problem };
        let records = catalogue.records(TABLE)?.into_iter();
        records.map(|(key, _)| Binding::from_key(&key).map_err(damaged)).collect()
    }

    fn current(&self) -> Arc<Compiled> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The bindings a filter finds, in their order.
    pub(super) fn find(&self, filter: &Filter) -> Vec<Binding> {
        self.current().bindings().iter().filter(|binding| filter.matches(binding)).cloned().collect()
    }

    /// How many bindings there are.
    pub fn count(&self) -> usize {
        self.current().bindings().len()
    }

    /// What the ACLs say of one principal (`User:alice`) from one address, one operation and one resource.
    pub fn decide(
        &self,
        principal: &str,
        host: IpAddr,
        operation: Operation,
        resource: Resource,
        name: &str,
    ) -> AclRuling {
        if self.super_users.contains(principal) {
            return AclRuling::Allowed;
        }
        self.current()
            .decide(principal, host.to_canonical(), operation, resource, name)
            .or(self.allow_everyone)
    }

    /// The same of any resource of a kind: whether there is one at least (KIP-679).
    pub fn decide_any(
        &self,
        principal: &str,
        host: IpAddr,
        operation: Operation,
        resource: Resource,
    ) -> AclRuling {
        // Kafka asks about a made-up name first: who may do it to anything may do it to something.
        let made_up = self.decide(principal, host, operation, resource, "hardcode");
        if made_up == AclRuling::Allowed {
            return made_up;
        }
        match (made_up, self.current().decide_any(principal, host.to_canonical(), operation, resource)) {
            // what is open by default is as good, but for rules that close just that
            (AclRuling::ByDefault(true), AclRuling::Refused | AclRuling::Denied) => made_up,
            (_, ruling) => ruling,
        }
    }
}

/// `User:a;User:b`, as Kafka writes it: names may hold commas.
fn super_users(list: &str) -> Result<HashSet<String>, BrokerError> {
    let names = list.split(';').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| match name.contains(':') {
            true => Ok(name.to_owned()),
            false => Err(BrokerError::Config {
                name: SUPER_USERS.to_owned(),
                problem: format!("expected a string in format principalType:principalName but got {name}"),
            }),
        })
        .collect()
}
