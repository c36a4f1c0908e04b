//! What bindings come to, laid out to be asked: by the rules of Kafka's StandardAuthorizer. A deny wins; Read, Write, Delete
//! and Alter imply Describe, AlterConfigs implies DescribeConfigs, in allows only; without a matching entry the answer depends
//! on whether any entry is about the resource at all.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use super::binding::{ALL, ALLOW, ANY_USER, Binding, LITERAL, PREFIXED, WILDCARD};
use crate::wire::{Operation, api::Resource};

/// What is remembered of decisions. Names are a stranger's choice.
const KNOWN_BYTES: usize = 8 << 20;
/// What one costs beside its name.
const RULING_BYTES: usize = 128;
/// Longer names, and principals, are looked at each time.
const REMEMBERED_NAME_BYTES: usize = 249;

/// What the ACLs say of one pair of operation and resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclRuling {
    /// An entry denies it.
    Denied,
    /// An entry allows it, or it is a super user who asks.
    Allowed,
    /// There are entries about the resource, and none allows it.
    Refused,
    /// No entry is about the resource at all: whether that allows it.
    ByDefault(bool),
}

impl AclRuling {
    pub(super) fn or(self, allow_everyone: bool) -> AclRuling {
        match self {
            AclRuling::ByDefault(_) => AclRuling::ByDefault(allow_everyone),
            ruling => ruling,
        }
    }
}

/// One set of bindings, immutable.
#[derive(Debug, Default)]
pub struct Compiled {
    bindings: BTreeSet<Binding>,
    by_type: HashMap<i8, OfType>,
    known: RwLock<Known>,
}

/// Those about one type of resource.
#[derive(Debug, Default)]
struct OfType {
    literal: HashMap<Box<str>, Vec<Entry>>,
    prefixed: HashMap<Box<str>, Vec<Entry>>,
    /// Of the prefixes: only these need be tried.
    lengths: BTreeSet<usize>,
}

#[derive(Debug)]
struct Entry {
    principal: Box<str>,
    host: Host,
    operation: i8,
    allows: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    Any,
    Address(IpAddr),
    /// No client comes from there.
    Unreadable,
}

#[derive(Debug, Default)]
struct Known {
    by_principal: HashMap<Box<str>, HashMap<Asked, ByName>>,
    /// Of any resource of the kind. To find it out takes a look at every binding, and every producer asks.
    of_any: HashMap<Box<str>, HashMap<Asked, AclRuling>>,
    bytes: usize,
}

type Asked = (IpAddr, Operation, Resource);
type ByName = HashMap<Box<str>, AclRuling>;

impl Compiled {
    pub fn new(bindings: BTreeSet<Binding>) -> Self {
        let mut by_type: HashMap<i8, OfType> = HashMap::new();
        for binding in &bindings {
            let of_type = by_type.entry(binding.resource_type).or_default();
            let patterns = match binding.pattern_type {
                LITERAL => &mut of_type.literal,
                _ => {
                    of_type.lengths.insert(binding.name.len());
                    &mut of_type.prefixed
                }
            };
            patterns.entry((*binding.name).into()).or_default().push(Entry::of(binding));
        }
        Compiled { bindings, by_type, known: RwLock::default() }
    }

    pub fn bindings(&self) -> &BTreeSet<Binding> {
        &self.bindings
    }

    /// `host` is canonical. What nobody's entry is about is left to the caller.
    pub fn decide(
        &self,
        principal: &str,
        host: IpAddr,
        operation: Operation,
        resource: Resource,
        name: &str,
    ) -> AclRuling {
        if name.len().max(principal.len()) > REMEMBERED_NAME_BYTES {
            return self.find(principal, host, operation, resource, name);
        }
        let asked = (host, operation, resource);
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            let names = known.by_principal.get(principal).and_then(|all| all.get(&asked));
            if let Some(ruling) = names.and_then(|names| names.get(name)) {
                return *ruling;
            }
        }
        let ruling = self.find(principal, host, operation, resource, name);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.make_room(principal.len() + name.len());
        let all = known.by_principal.entry(principal.into()).or_default();
        all.entry(asked).or_default().insert(name.into(), ruling);
        ruling
    }

    fn find(
        &self,
        principal: &str,
        host: IpAddr,
        operation: Operation,
        resource: Resource,
        name: &str,
    ) -> AclRuling {
        let Some(of_type) = self.by_type.get(&type_of(resource)) else { return AclRuling::ByDefault(false) };
        let prefixes = of_type.lengths.iter().map_while(|length| (*length <= name.len()).then_some(*length));
        let prefixed = prefixes.filter_map(|length| of_type.prefixed.get(name.get(..length)?));
        let literal = [name, WILDCARD].into_iter().filter_map(|name| of_type.literal.get(name));
        let (mut concerned, mut allowed) = (false, false);
        for entry in literal.chain(prefixed).flatten() {
            concerned = true;
            if !entry.is_about(principal, host) {
                continue;
            }
            if entry.allows {
                allowed |= entry.operation == ALL || implies(entry.operation, operation.number());
            } else if entry.operation == ALL || entry.operation == operation.number() {
                return AclRuling::Denied;
            }
        }
        match (allowed, concerned) {
            (true, _) => AclRuling::Allowed,
            (false, true) => AclRuling::Refused,
            (false, false) => AclRuling::ByDefault(false),
        }
    }

    /// Whether there may be a resource of the kind that the principal may do it to: one that an entry allows and none
    /// denies altogether.
    pub fn decide_any(
        &self,
        principal: &str,
        host: IpAddr,
        operation: Operation,
        resource: Resource,
    ) -> AclRuling {
        if principal.len() > REMEMBERED_NAME_BYTES {
            return self.find_any(principal, host, operation, resource);
        }
        let asked = (host, operation, resource);
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(ruling) = known.of_any.get(principal).and_then(|all| all.get(&asked)) {
                return *ruling;
            }
        }
        let ruling = self.find_any(principal, host, operation, resource);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.make_room(principal.len());
        known.of_any.entry(principal.into()).or_default().insert(asked, ruling);
        ruling
    }

    fn find_any(&self, principal: &str, host: IpAddr, operation: Operation, resource: Resource) -> AclRuling {
        let (mut allowed, mut denied) = (Vec::new(), [HashSet::new(), HashSet::new()]);
        let asked = operation.number();
        let of_type = self.bindings.iter().filter(|binding| binding.resource_type == type_of(resource));
        for binding in of_type.filter(|binding| matches!(binding.operation, o if o == ALL || o == asked)) {
            if !is_about(&binding.principal, principal) || !Host::of(&binding.host).takes(host) {
                continue;
            }
            let is_prefix = binding.pattern_type == PREFIXED;
            let takes_all = !is_prefix && binding.name == WILDCARD;
            match binding.permission == ALLOW {
                true => allowed.push((&*binding.name, is_prefix, takes_all)),
                false if takes_all => return AclRuling::Denied,
                false => {
                    denied[usize::from(is_prefix)].insert(&*binding.name);
                }
            }
        }
        let [literals, prefixes] = &denied;
        let lengths: BTreeSet<usize> = prefixes.iter().map(|prefix| prefix.len()).collect();
        let stands = |(name, is_prefix, takes_all): &(&str, bool, bool)| {
            let starts = lengths.iter().map_while(|length| (*length <= name.len()).then_some(*length));
            *takes_all
                || (*is_prefix || !literals.contains(name))
                    && !starts.filter_map(|end| name.get(..end)).any(|start| prefixes.contains(start))
        };
        match allowed.iter().any(stands) {
            true => AclRuling::Allowed,
            false => AclRuling::Refused,
        }
    }
}

impl Known {
    /// For one more about a name of so many bytes; forgetting all of them is rare and cheap enough.
    fn make_room(&mut self, bytes: usize) {
        if self.bytes >= KNOWN_BYTES {
            *self = Known::default();
        }
        self.bytes += bytes + RULING_BYTES;
    }
}

impl Entry {
    fn of(binding: &Binding) -> Self {
        let (host, allows) = (Host::of(&binding.host), binding.permission == ALLOW);
        Entry { principal: (*binding.principal).into(), host, operation: binding.operation, allows }
    }

    fn is_about(&self, principal: &str, host: IpAddr) -> bool {
        is_about(&self.principal, principal) && self.host.takes(host)
    }
}

impl Host {
    fn of(text: &str) -> Self {
        match text {
            WILDCARD => Host::Any,
            host => host.parse().map_or(Host::Unreadable, |host: IpAddr| Host::Address(host.to_canonical())),
        }
    }

    fn takes(&self, host: IpAddr) -> bool {
        *self == Host::Any || *self == Host::Address(host)
    }
}

/// Whether an entry for `of` is about this principal.
fn is_about(of: &str, principal: &str) -> bool {
    of == principal || of == ANY_USER
}

fn type_of(resource: Resource) -> i8 {
    match resource {
        Resource::Topic => 2,
        Resource::Group => 3,
        Resource::Cluster => 4,
        Resource::TransactionalId => 5,
        Resource::DelegationToken => 6,
        Resource::User => 7,
    }
}

/// Whether who is allowed the one is allowed the other.
fn implies(allowed: i8, asked: i8) -> bool {
    const DESCRIBE: i8 = 8;
    const DESCRIBE_CONFIGS: i8 = 10;
    allowed == asked
        || match asked {
            // Read, Write, Delete, Alter
            DESCRIBE => matches!(allowed, 3 | 4 | 6 | 7),
            DESCRIBE_CONFIGS => allowed == 11,
            _ => false,
        }
}
