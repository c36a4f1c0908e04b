//! Which quota holds for whom: of all that match a user and a client id, Kafka's most particular one.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::entity::{
    CLIENT_ID, CONNECTION_CREATION_RATE, CONSUMER_BYTE_RATE, CONTROLLER_MUTATION_RATE, Entity, IP,
    PRODUCER_BYTE_RATE, REQUEST_PERCENTAGE, USER, address_of,
};
use crate::wire::Str;

/// What is limited of a user and client id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Produce,
    Fetch,
    Request,
    Mutation,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Produce, Kind::Fetch, Kind::Request, Kind::Mutation];

    fn key(self) -> &'static str {
        match self {
            Kind::Produce => PRODUCER_BYTE_RATE,
            Kind::Fetch => CONSUMER_BYTE_RATE,
            Kind::Request => REQUEST_PERCENTAGE,
            Kind::Mutation => CONTROLLER_MUTATION_RATE,
        }
    }
}

/// Who pays together out of one quota; an empty name is everybody's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Purse {
    pub user: Str,
    pub client_id: Str,
}

/// Names longer than this are not remembered as they are: a stranger chooses its client id, which may take 32 KB, and there are
/// many purses.
const LONGEST_REMEMBERED: usize = 128;

impl Purse {
    fn new(user: &Str, client_id: &Str) -> Self {
        Purse { user: brief(user), client_id: brief(client_id) }
    }
}

/// The name, or in place of a long one what nobody else has.
fn brief(name: &Str) -> Str {
    if name.len() <= LONGEST_REMEMBERED {
        return name.clone();
    }
    let mut brief = String::from("sha256:");
    for byte in Sha256::digest(name.as_bytes()) {
        // Into a string, which takes everything.
        let _ = write!(brief, "{byte:02x}");
    }
    Str::from(brief)
}

/// All quotas, as requests look them up.
#[derive(Debug, Default)]
pub struct Limits {
    kinds: [Levels; 4],
    /// Addresses of the hosts that have a quota by their names, as they were when they got it.
    hosts: HashMap<String, IpAddr>,
    addresses: HashMap<IpAddr, f64>,
    default_address: Option<f64>,
}

/// By user and client id; no name is the default, and no type is any.
#[derive(Debug, Default)]
struct Levels {
    both: HashMap<(Option<String>, Option<String>), f64>,
    users: HashMap<Option<String>, f64>,
    clients: HashMap<Option<String>, f64>,
}

impl Limits {
    /// `before`: those in force, which know the addresses of hosts. Asks the system for the others.
    pub fn new(quotas: &BTreeMap<Entity, BTreeMap<String, f64>>, before: &Limits) -> Self {
        let mut limits = Limits::default();
        for (entity, values) in quotas {
            if let (Some(name), Some(limit)) = (entity.name(IP), values.get(CONNECTION_CREATION_RATE)) {
                match name {
                    None => limits.default_address = Some(*limit),
                    Some(text) => match before.hosts.get(text).copied().or_else(|| address_of(text)) {
                        Some(address) => {
                            limits.hosts.insert(text.to_owned(), address);
                            limits.addresses.insert(address, *limit);
                        }
                        None => tracing::warn!(host = text, "a quota's host has no address any more"),
                    },
                }
                continue;
            }
            let owned = |name: Option<&str>| name.map(str::to_owned);
            for (kind, levels) in Kind::ALL.into_iter().zip(&mut limits.kinds) {
                let Some(limit) = values.get(kind.key()).copied() else { continue };
                match (entity.name(USER), entity.name(CLIENT_ID)) {
                    (Some(user), Some(client)) => {
                        levels.both.insert((owned(user), owned(client)), limit);
                    }
                    (Some(user), None) => {
                        levels.users.insert(owned(user), limit);
                    }
                    (None, Some(client)) => {
                        levels.clients.insert(owned(client), limit);
                    }
                    (None, None) => {}
                }
            }
        }
        limits
    }

    /// Whether any user or client id has a quota.
    pub fn concern_clients(&self) -> bool {
        self.kinds
            .iter()
            .any(|levels| !(levels.both.is_empty() && levels.users.is_empty() && levels.clients.is_empty()))
    }

    pub fn concern_addresses(&self) -> bool {
        self.default_address.is_some() || !self.addresses.is_empty()
    }

    /// Connections a second of an address.
    pub fn address(&self, address: IpAddr) -> Option<f64> {
        self.addresses.get(&address.to_canonical()).copied().or(self.default_address)
    }

    /// The quota of a user and client id, in the order of Kafka's documentation, and who shares it.
    pub fn find(&self, kind: Kind, user: &Str, client_id: &Str) -> Option<(f64, Purse)> {
        let place = Kind::ALL.iter().position(|other| *other == kind)?;
        let levels = self.kinds.get(place)?;
        let named = |name: &Str| (!name.is_empty()).then(|| name.to_string());
        let (user_name, client_name) = (named(user), named(client_id));
        let both = |user: &Option<String>| {
            let particular = client_name
                .as_ref()
                .and_then(|client| levels.both.get(&(user.clone(), Some(client.clone()))));
            particular.or_else(|| levels.both.get(&(user.clone(), None))).copied()
        };
        let own = |limit: f64| (limit, Purse::new(user, client_id));
        let of_user = |limit: &f64| (*limit, Purse::new(user, &Str::default()));
        let of_client = |limit: &f64| (*limit, Purse::new(&Str::default(), client_id));
        if user_name.is_some() {
            let found = both(&user_name).map(own);
            let found = found.or_else(|| levels.users.get(&user_name).map(of_user));
            let found = found.or_else(|| both(&None).map(own));
            let found = found.or_else(|| levels.users.get(&None).map(of_user));
            if found.is_some() {
                return found;
            }
        }
        client_name.as_ref()?;
        levels.clients.get(&client_name).or_else(|| levels.clients.get(&None)).map(of_client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_particular_quota_holds_and_says_who_shares_it() {
        // In Kafka's order: each is for its entity and its value is its place.
        let order: [&[(&str, Option<&str>)]; 8] = [
            &[(USER, Some("u")), (CLIENT_ID, Some("c"))],
            &[(USER, Some("u")), (CLIENT_ID, None)],
            &[(USER, Some("u"))],
            &[(USER, None), (CLIENT_ID, Some("c"))],
            &[(USER, None), (CLIENT_ID, None)],
            &[(USER, None)],
            &[(CLIENT_ID, Some("c"))],
            &[(CLIENT_ID, None)],
        ];
        let shared =
            [("u", "c"), ("u", "c"), ("u", ""), ("u", "c"), ("u", "c"), ("u", ""), ("", "c"), ("", "c")];
        let mut quotas: BTreeMap<Entity, BTreeMap<String, f64>> = BTreeMap::new();
        let (user, client) = (Str::from_static("u"), Str::from_static("c"));
        for (place, named) in order.iter().enumerate().rev() {
            let entity = Entity::new(named.iter().map(|(k, n)| ((*k).to_owned(), n.map(str::to_owned))));
            quotas.insert(entity, BTreeMap::from([(PRODUCER_BYTE_RATE.to_owned(), place as f64 + 1.0)]));
            let limits = Limits::new(&quotas, &Limits::default());
            let (limit, purse) = limits.find(Kind::Produce, &user, &client).unwrap();
            assert_eq!(limit, place as f64 + 1.0);
            assert_eq!((&*purse.user, &*purse.client_id), shared[place]);
            assert_eq!(limits.find(Kind::Fetch, &user, &client), None, "each kind has quotas of its own");
        }
        let limits = Limits::new(&quotas, &Limits::default());
        let of = |user: &'static str, client: &'static str| {
            limits.find(Kind::Produce, &Str::from_static(user), &Str::from_static(client)).unwrap().0
        };
        assert_eq!((of("other", "c"), of("other", "x"), of("u", "x")), (4.0, 5.0, 2.0));
    }

    #[test]
    fn addresses_have_quotas_of_their_own() {
        let quota = |name: Option<&str>, limit: f64| {
            let entity = Entity::new([(IP.to_owned(), name.map(str::to_owned))]);
            (entity, BTreeMap::from([(CONNECTION_CREATION_RATE.to_owned(), limit)]))
        };
        let limits = Limits::new(&BTreeMap::from([quota(Some("10.0.0.1"), 3.0)]), &Limits::default());
        assert_eq!(limits.address([10, 0, 0, 1].into()), Some(3.0));
        assert_eq!(limits.address("::ffff:10.0.0.1".parse().unwrap()), Some(3.0));
        assert_eq!(limits.address([10, 0, 0, 2].into()), None);
        assert!(limits.concern_addresses() && !limits.concern_clients());
        let limits = Limits::new(&BTreeMap::from([quota(None, 7.0)]), &Limits::default());
        assert_eq!(limits.address([10, 0, 0, 2].into()), Some(7.0));
    }

    #[test]
    fn an_address_has_one_quota_however_it_is_written() {
        let entity = Entity::new([(IP.to_owned(), Some("::ffff:10.0.0.3".to_owned()))]);
        let quotas = BTreeMap::from([(entity, BTreeMap::from([(CONNECTION_CREATION_RATE.to_owned(), 3.0)]))]);
        let limits = Limits::new(&quotas, &Limits::default());
        assert_eq!(limits.address([10, 0, 0, 3].into()), Some(3.0));
    }

    #[test]
    fn a_purse_remembers_no_long_names() {
        let entity = Entity::new([(CLIENT_ID.to_owned(), None)]);
        let quotas = BTreeMap::from([(entity, BTreeMap::from([(PRODUCER_BYTE_RATE.to_owned(), 1.0)]))]);
        let limits = Limits::new(&quotas, &Limits::default());
        let purse = |client_id: &str| {
            limits.find(Kind::Produce, &Str::default(), &Str::from(client_id)).unwrap().1.client_id
        };
        let long = "c".repeat(32_000);
        assert_eq!(&*purse("c"), "c");
        assert!(purse(&long).len() < 100, "65,536 of these are remembered");
        assert_eq!(purse(&long), purse(&long));
        assert_ne!(purse(&long), purse(&format!("{long}x")), "each pays for itself");
    }
}
