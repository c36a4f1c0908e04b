//! Masks of values that are not JSON: a schema says where their fields are, and of which types.

use super::super::json::{Machine, PathSet};
use super::super::mask::How;
use super::super::path::{Path, Target};
use super::value::{Marks, Values};
use super::{Edit, EditRule, Mask, Unread};
use crate::policy::schema::{Held, Masker, Paths, Put, Schema};
use std::sync::Arc;

/// The masks by one schema.
#[derive(Debug, Clone)]
pub(super) struct Typed {
    schema: Arc<Schema>,
    paths: PathSet,
    /// By the number of the path: the rule, and the edit of the rule, it belongs to.
    pub(super) masks: Vec<(usize, usize)>,
}

impl Typed {
    /// Those of these rules, by schema.
    pub(super) fn of(rules: &[EditRule]) -> Vec<Self> {
        // Those that only observe are apart, so that what they want of a value is nothing to the others.
        let mut schemas = Vec::<(Arc<Schema>, bool, Vec<&Path>, Vec<(usize, usize)>)>::new();
        for (rule, EditRule { edits, observe, .. }) in rules.iter().enumerate() {
            for (number, edit) in edits.iter().enumerate() {
                let Edit::Mask(Mask { target: Target::Value(path), schema: Some(schema), .. }) = edit else {
                    continue;
                };
                match schemas.iter_mut().find(|(known, watches, ..)| known == schema && watches == observe) {
                    Some((_, _, paths, masks)) => {
                        paths.push(path);
                        masks.push((rule, number));
                    }
                    None => schemas.push((Arc::clone(schema), *observe, vec![path], vec![(rule, number)])),
                }
            }
        }
        schemas.sort_by_key(|(_, watches, ..)| !watches);
        let typed = |(schema, _, paths, masks)| Self { schema, paths: PathSet::new::<'_>(paths), masks };
        schemas.into_iter().map(typed).collect()
    }
}

impl Values {
    /// Masks what is held, else `original`. True when it changed: what it is now is held.
    pub(super) fn typed(
        &mut self,
        typed: &Typed,
        original: &[u8],
        mut held: bool,
        marks: &mut Marks<'_>,
    ) -> Result<bool, Unread> {
        let mut changed = false;
        // Paths are few: there is hardly ever more than one machine.
        for machine in typed.paths.machines() {
            let now = if held { &self.value } else { original };
            let mut finder = Finder { machine, masks: &typed.masks, marks, next: &mut self.text };
            let edited = typed.schema.edit(now, &mut finder, &mut self.next);
            let unread = |invalid| Unread::Schema { schema: typed.schema.to_string(), invalid };
            if edited.map_err(unread)? {
                std::mem::swap(&mut self.value, &mut self.next);
                (held, changed) = (true, true);
            }
        }
        Ok(changed)
    }
}

/// Masks what the paths find in one record.
struct Finder<'f, 'm> {
    machine: &'f Machine,
    masks: &'f [(usize, usize)],
    marks: &'f mut Marks<'m>,
    /// What several masks of one field hand on.
    next: &'f mut String,
}

impl Masker for Finder<'_, '_> {
    fn start(&self) -> u64 {
        self.machine.start()
    }

    fn member(&self, places: u64, name: &[u8]) -> u64 {
        self.machine.below_member(places, name, false)
    }

    fn element(&self, places: u64, number: usize) -> u64 {
        self.machine.below_element(places, number)
    }

    fn finds(&self, places: u64) -> bool {
        self.machine.finds(places)
    }

    fn counts(&self) -> bool {
        self.machine.counts()
    }

    fn mask(&mut self, places: u64, held: Held<'_>, inside: bool) -> Put {
        let mut put = Put::Kept;
        for path in self.machine.found(places) {
            let Some(&(rule, number)) = self.masks.get(path) else { continue };
            if !self.marks.is_selected(rule) {
                continue;
            }
            self.marks.applies(rule);
            let edits = self.marks.edits;
            let Some(EditRule { edits, observe: false, .. }) = edits.rules.get(rule) else { continue };
            let Some(Edit::Mask(Mask { how, .. })) = edits.get(number) else { continue };
            if inside {
                continue;
            }
            let is_text = matches!(held, Held::Text(_) | Held::Bytes(_));
            let held = match put {
                Put::Kept => held,
                Put::Text if is_text => Held::Text(&*self.marks.text),
                Put::Zero | Put::Text => Held::Other,
                Put::Null | Put::Impossible => continue,
            };
            put = how.mask_held(held, self.next);
            if put == Put::Text {
                std::mem::swap(self.marks.text, self.next);
            }
        }
        put
    }

    fn text(&self) -> &str {
        self.marks.text
    }
}

impl Mask {
    /// Whether it can do what it says in values of its schema: its path leads somewhere, and what it makes fits the types there.
    pub fn fits(&self) -> Result<(), String> {
        let Some(schema) = &self.schema else { return Ok(()) };
        let Target::Value(path) = &self.target else {
            return Err(format!("a schema says what values are: `{}` is masked without one", self.target));
        };
        let set = PathSet::new([path]);
        let Some(machine) = set.machines().first() else { return Ok(()) };
        let mut alone = Alone { machine, how: &self.how, text: String::new() };
        schema.reach(&mut alone).map_err(|why| format!("mask({path}, {}) by {why}", self.how))
    }
}

/// One mask, before there is a value.
struct Alone<'a> {
    machine: &'a Machine,
    how: &'a How,
    text: String,
}

impl Masker for Alone<'_> {
    fn start(&self) -> u64 {
        self.machine.start()
    }

    fn member(&self, places: u64, name: &[u8]) -> u64 {
        self.machine.below_member(places, name, false)
    }

    fn element(&self, places: u64, number: usize) -> u64 {
        self.machine.below_element(places, number)
    }

    fn finds(&self, places: u64) -> bool {
        self.machine.finds(places)
    }

    fn counts(&self) -> bool {
        self.machine.counts()
    }

    fn mask(&mut self, _: u64, held: Held<'_>, _: bool) -> Put {
        self.how.mask_held(held, &mut self.text)
    }

    fn text(&self) -> &str {
        &self.text
    }
}

impl Paths for Alone<'_> {
    fn members(&self, places: u64) -> Vec<u64> {
        self.machine.below_members(places)
    }

    fn elements(&self, places: u64) -> Vec<u64> {
        self.machine.below_elements(places)
    }
}
