//! The folder of schemas: what was read of it, what was made of that, and how a changed file takes effect.
//!
//! A file is read when a policy names it. What is in it counts until a look finds other content, the same several times in a row: then
//! the policies that use it are loaded again. A file that is gone takes nothing with it but the chance to be loaded again.

use super::{Files, Options, Schema, digest};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The largest file.
const FILE_BYTES: usize = 1 << 20;
/// Files that the policies may name, with those that these name.
const FILES: usize = 1_000;
/// Looks that must find the same.
const SETTLED: u32 = 5;

/// Where policies find schemas. Cheap to clone.
#[derive(Clone, Default)]
pub struct Schemas {
    inner: Arc<Inner>,
    /// Those of one policy, as they were when it was loaded; nothing else is found then.
    pinned: Option<Arc<Pinned>>,
}

/// What is in a file; none of one that is not there.
type Text = Option<Arc<[u8]>>;

type Pinned = BTreeMap<(String, Options), Arc<Schema>>;

#[derive(Default)]
struct Inner {
    folder: Option<PathBuf>,
    /// What counts of each file that was asked for; none of one that is not there.
    texts: Mutex<BTreeMap<String, Text>>,
}

impl std::fmt::Debug for Schemas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Schemas({:?})", self.inner.folder)
    }
}

impl Schemas {
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { inner: Arc::new(Inner { folder, texts: Mutex::default() }), pinned: None }
    }

    /// A schema by its file's name.
    pub fn find(&self, name: &str, options: &Options) -> Result<Arc<Schema>, String> {
        if let Some(pinned) = &self.pinned {
            let found = pinned.get(&(name.to_owned(), options.clone()));
            return found
                .cloned()
                .ok_or_else(|| format!("`{name}` was not there when the policy was loaded"));
        }
        let used = Used { inner: Arc::clone(&self.inner), files: Arc::default() };
        let kind = Schema::make(name, options, &used)?;
        let files = used.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Arc::new(Schema {
            name: name.to_owned(),
            options: options.clone(),
            files: files.into_iter().collect(),
            kind,
        }))
    }

    /// Nothing but these, whatever becomes of their files.
    pub fn pinned(&self, schemas: &[Arc<Schema>]) -> Self {
        let key = |schema: &Arc<Schema>| (schema.name.clone(), schema.options.clone());
        let pinned = schemas.iter().map(|schema| (key(schema), Arc::clone(schema))).collect();
        Self { inner: Arc::clone(&self.inner), pinned: Some(Arc::new(pinned)) }
    }

    /// Whether what is pinned is still what the files say.
    pub fn are_current(&self) -> bool {
        let texts = self.inner.lock();
        let current = |(name, then): &(String, u128)| {
            texts.get(name).and_then(Option::as_ref).is_some_and(|text| digest(text) == *then)
        };
        self.pinned.iter().flat_map(|pinned| pinned.values()).flat_map(|schema| &schema.files).all(current)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Text>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What counts of a file: read when it is asked for first.
    fn text(&self, name: &str) -> Result<Arc<[u8]>, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.chars().all(plain) {
            return Err(format!(
                "`{name}` is no name of a schema's file: letters, digits, `.`, `_` and `-`, in the folder itself"
            ));
        }
        let missing = || match &self.folder {
            Some(folder) => format!("there is no {}", folder.join(name).display()),
            None => format!("there is no folder of schemas for `{name}`"),
        };
        let mut texts = self.lock();
        if let Some(Some(text)) = texts.get(name) {
            return Ok(Arc::clone(text));
        }
        if texts.len() >= FILES && !texts.contains_key(name) {
            return Err(format!("the policies name more than {FILES} schemas"));
        }
        let read = self.read(name)?;
        texts.insert(name.to_owned(), read.clone());
        read.ok_or_else(missing)
    }

    /// None: it is not there.
    fn read(&self, name: &str) -> Result<Text, String> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let fail = |why: String| format!("{}: {why}", folder.join(name).display());
        let mut bytes = Vec::new();
        let read = File::open(folder.join(name))
            .and_then(|file| file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) if bytes.len() > FILE_BYTES => Err(fail(format!("it is longer than {FILE_BYTES} bytes"))),
            Ok(_) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fail(format!("it cannot be read: {error}"))),
        }
    }
}

/// The files that one schema is made of.
#[derive(Clone)]
struct Used {
    inner: Arc<Inner>,
    files: Arc<Mutex<BTreeMap<String, u128>>>,
}

impl Files for Used {
    fn text(&self, name: &str) -> Result<Arc<[u8]>, String> {
        let text = self.inner.text(name)?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(name.to_owned(), digest(&text));
        Ok(text)
    }
}

/// Looks at the files that policies asked for, again and again.
#[derive(Debug, Default)]
pub struct SchemaWatch {
    /// What was found and does not count yet, and how often.
    found: BTreeMap<String, (Text, u32)>,
}

impl SchemaWatch {
    /// One look. True: something counts that did not. What stands in the way of that is told.
    pub fn look(&mut self, schemas: &Schemas, trouble: &mut Vec<String>) -> bool {
        let inner = &schemas.inner;
        let known: Vec<(String, Text)> =
            inner.lock().iter().map(|(name, text)| (name.clone(), text.clone())).collect();
        let mut changed = false;
        for (name, counts) in known {
            let read = match inner.read(&name) {
                Ok(read) => read,
                Err(why) => {
                    trouble.push(why);
                    continue;
                }
            };
            if read == counts {
                self.found.remove(&name);
                continue;
            }
            let (found, times) = self.found.entry(name.clone()).or_default();
            match *found == read {
                true => *times += 1,
                false => (*found, *times) = (read.clone(), 1),
            }
            if *times < SETTLED {
                continue;
            }
            match read {
                Some(text) => {
                    inner.lock().insert(name.clone(), Some(text));
                    self.found.remove(&name);
                    changed = true;
                }
                None => trouble.push(format!("the schema {name} is not there any more: what it was counts")),
            }
        }
        changed
    }
}
