//! Actions that protect or change data: pure functions over records, that know neither scripts nor exchanges.

pub mod edit;
mod header;
pub mod json;
pub mod limit;
pub mod mask;
pub mod path;
pub mod quota;
pub mod route;
pub mod seal;

pub use edit::{
    Edit, EditContext, EditError, EditRule, Edited, MASKED_HEADER, Mask, OnUnparsable, RecordEdits,
    RuleCounts, Seen, Unread, Unreadable, stand_in,
};
pub use json::{JsonValue, PathSet, Unparsable};
pub use limit::Limit;
pub use mask::{HashKey, How};
pub use path::{Path, PathError, Target};
pub use route::Route;
pub use seal::{Keyring, Seal, SealError, SealTarget, Way as SealWay};

#[cfg(test)]
mod tests;
