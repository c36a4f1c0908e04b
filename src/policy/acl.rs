//! Access control lists that somebody else keeps: the upstream's, which clients change by Kafka's own apis. The scripts' access
//! rules and they are one authoriser (`access`): a deny of either wins, an allow of either is enough.

use crate::wire::{Operation, api::Resource};
use std::fmt;
use std::net::IpAddr;

/// What the ACLs say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclRuling {
    /// One denies it.
    Denied,
    /// One allows it, or it is a super user who asks, whom no ACL binds.
    Allowed,
    /// None allows it.
    Refused,
    /// None is about the resource at all, and that is no reason to refuse it.
    Open,
}

/// Who is asked. Answers hold for the moment: a change of the ACLs must show in the next answer, so that whoever remembers
/// answers does so behind this.
pub trait Acls: fmt::Debug + Send + Sync {
    /// Of one principal (`User:alice`) from one address: one operation on one resource.
    fn decide(&self, asked: &Asked<'_>, name: &str) -> AclRuling;

    /// Of any resource of the kind: whether there is one at least.
    fn decide_any(&self, asked: &Asked<'_>) -> AclRuling;
}

/// What ACLs are asked about, but for the name.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub principal: &'a str,
    pub host: IpAddr,
    pub operation: Operation,
    pub resource: Resource,
}
