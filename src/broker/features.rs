//! KIP-584's features: what this node says of itself by them. Clients act on some: `transaction.version` 2 has a Java
//! producer leave out AddPartitionsToTxn and expect a new epoch with each commit, `group.version`, `share.version` and
//! `streams.version` promise the groups of KIP-848, 932 and 1071. None of that is served, so none of it is there, as on a
//! Kafka where they are at level 0. `kraft.version` is at 0 as well: the quorum is what it is.

/// A feature that is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Feature {
    pub name: &'static str,
    pub min: i16,
    pub max: i16,
    pub finalized: i16,
}

pub(super) const METADATA_VERSION: &str = "metadata.version";

/// `metadata.version` as Kafka 4.4 has it: clients read nothing from it, tools print it.
pub(super) const FEATURES: &[Feature] = &[Feature { name: METADATA_VERSION, min: 7, max: 33, finalized: 33 }];

const OFF: &[&str] = &[
    "eligible.leader.replicas.version",
    "group.version",
    "kraft.version",
    "share.version",
    "streams.version",
    "transaction.version",
];

pub(super) fn find(name: &str) -> Option<&'static Feature> {
    FEATURES.iter().find(|feature| feature.name == name)
}

/// Kafka 4.4 has it, and here it is at level 0.
pub(super) fn is_known_to_be_off(name: &str) -> bool {
    OFF.contains(&name)
}
