//! The headers of a record while they are edited: set, removed, masked. What stays keeps its place.

use super::mask::How;
use crate::policy::glob::{Glob, Patterns};
use crate::wire::record::{Header, Headers, HeadersBuf};

/// Copied at the first change, and then from one buffer into the other; both are kept from record to record.
#[derive(Debug, Default)]
pub(super) struct HeaderList {
    now: HeadersBuf,
    next: HeadersBuf,
    edited: bool,
}

impl HeaderList {
    /// Starts with another record.
    pub(super) fn begin(&mut self) {
        self.edited = false;
    }

    pub(super) fn is_edited(&self) -> bool {
        self.edited
    }

    /// The headers as they are now, of a record that came with `original`.
    pub(super) fn now<'a>(&'a self, original: Headers<'a>) -> Headers<'a> {
        if self.edited { self.now.as_headers() } else { original }
    }

    pub(super) fn append(&mut self, original: Headers<'_>, name: &[u8], value: Option<&[u8]>) {
        self.rewrite(original, |header, list| list.push(header.key, header.value));
        self.now.push(name, value);
    }

    /// One header of this name, at the end, instead of all there were.
    pub(super) fn set(&mut self, original: Headers<'_>, name: &[u8], value: &[u8]) {
        self.rewrite(original, |header, list| {
            if header.key != name {
                list.push(header.key, header.value);
            }
        });
        self.now.push(name, Some(value));
    }

    /// Says whether there was one. `dry`: only says.
    pub(super) fn remove(&mut self, original: Headers<'_>, names: &Patterns, dry: bool) -> bool {
        let found = self.now(original).any(|header| names.matches(header.key));
        if found && !dry {
            self.rewrite(original, |header, list| {
                if !names.matches(header.key) {
                    list.push(header.key, header.value);
                }
            });
        }
        found
    }

    /// Says whether there was one with a value. `dry`: only says.
    pub(super) fn mask(
        &mut self,
        original: Headers<'_>,
        name: &Glob,
        how: &How,
        scratch: &mut String,
        dry: bool,
    ) -> bool {
        let found = self.now(original).any(|header| header.value.is_some() && name.matches(header.key));
        if found && !dry {
            self.rewrite(original, |header, list| {
                let value = match header.value {
                    Some(value) if name.matches(header.key) => how.mask_bytes(value, scratch),
                    other => other,
                };
                list.push(header.key, value);
            });
        }
        found
    }

    fn rewrite(&mut self, original: Headers<'_>, mut each: impl FnMut(Header<'_>, &mut HeadersBuf)) {
        self.next.clear();
        let now = if self.edited { self.now.as_headers() } else { original };
        for header in now {
            each(header, &mut self.next);
        }
        std::mem::swap(&mut self.now, &mut self.next);
        self.edited = true;
    }
}
