//! The set of users and the file they are kept in: salted hashes only, never a password.
//!
//! ```toml
//! format = 1
//! decoy_key = "..."                      # base64: makes up a salt for names that do not exist
//!
//! [[user]]
//! name = "alice"
//! scram_sha_256 = { iterations = 15000, salt = "...", stored_key = "...", server_key = "..." }
//! scram_sha_512 = { iterations = 15000, salt = "...", stored_key = "...", server_key = "..." }
//! ```
//!
//! A user has one of the two records at least. Reading is strict: an unknown key, a short hash, a repeated user is an error with file, line and column. No error
//! repeats a value of the file: someone may have typed a password where a hash belongs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::credential::{
    DEFAULT_ITERATIONS, MAX_ITERATIONS, MIN_ITERATIONS, SALT_BYTES, SALT_LIMITS, ScramHash, ScramRecord,
};
use super::principal::UserName;
use super::secret::{NoRandomness, SecretBytes, SecretString, fill_random};

const FORMAT: &str = "1";
const KEY_BYTES: usize = 32;

/// What is known of one user: by which mechanisms the user can log in, and the record of each. PLAIN asks for the
/// SCRAM-SHA-256 record.
#[derive(Debug, Clone, Default)]
pub struct User {
    pub scram_sha_256: Option<ScramRecord>,
    pub scram_sha_512: Option<ScramRecord>,
}

impl User {
    /// Derives both records under new salts. Slow on purpose: never on an async worker.
    pub fn with_password(password: &SecretString, iterations: u32) -> Result<Self, NoRandomness> {
        let record = |hash| -> Result<Option<ScramRecord>, NoRandomness> {
            let mut salt = vec![0; SALT_BYTES];
            fill_random(&mut salt)?;
            Ok(Some(ScramRecord::derive(hash, password.expose().as_bytes(), salt, iterations)))
        };
        Ok(Self { scram_sha_256: record(ScramHash::Sha256)?, scram_sha_512: record(ScramHash::Sha512)? })
    }

    /// None: the user cannot log in by this mechanism.
    pub fn record(&self, hash: ScramHash) -> Option<&ScramRecord> {
        match hash {
            ScramHash::Sha256 => self.scram_sha_256.as_ref(),
            ScramHash::Sha512 => self.scram_sha_512.as_ref(),
        }
    }

    /// The place of a record.
    pub fn record_mut(&mut self, hash: ScramHash) -> &mut Option<ScramRecord> {
        match hash {
            ScramHash::Sha256 => &mut self.scram_sha_256,
            ScramHash::Sha512 => &mut self.scram_sha_512,
        }
    }

    fn records(&self) -> impl Iterator<Item = &ScramRecord> {
        self.scram_sha_256.iter().chain(&self.scram_sha_512)
    }
}

/// All users of one file.
#[derive(Debug, Clone)]
pub struct Users {
    by_name: BTreeMap<UserName, User>,
    decoy_key: SecretBytes,
    iterations: Iterations,
}

/// How many users have which iteration count.
#[derive(Debug, Clone, Default)]
struct Iterations(BTreeMap<u32, usize>);

impl Iterations {
    fn of<'a>(users: impl Iterator<Item = &'a User>) -> Self {
        let mut counted = Self::default();
        users.for_each(|user| counted.add(user));
        counted
    }

    fn add(&mut self, user: &User) {
        if let Some(record) = user.records().next() {
            *self.0.entry(record.iterations).or_default() += 1;
        }
    }

    fn take(&mut self, user: &User) {
        if let Some(record) = user.records().next()
            && let Some(count) = self.0.get_mut(&record.iterations)
        {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&record.iterations);
            }
        }
    }

    /// What most users have, which is what a made-up user gets; of several the least.
    fn usual(&self) -> u32 {
        let most = self.0.values().copied().max();
        self.0
            .iter()
            .find(|(_, n)| Some(**n) == most)
            .map_or(DEFAULT_ITERATIONS, |(iterations, _)| *iterations)
    }
}

impl Users {
    /// No users yet, under a new decoy key.
    pub fn new() -> Result<Self, NoRandomness> {
        Ok(Self {
            by_name: BTreeMap::new(),
            decoy_key: SecretBytes::random(KEY_BYTES)?,
            iterations: Iterations::default(),
        })
    }

    pub fn find(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &UserName> {
        self.by_name.keys()
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Adds a user or replaces one; says whether there was one.
    pub fn insert(&mut self, name: UserName, user: User) -> bool {
        self.iterations.add(&user);
        let replaced = self.by_name.insert(name, user);
        if let Some(user) = &replaced {
            self.iterations.take(user);
        }
        replaced.is_some()
    }

    pub fn remove(&mut self, name: &str) -> bool {
        let removed = self.by_name.remove(name);
        if let Some(user) = &removed {
            self.iterations.take(user);
        }
        removed.is_some()
    }

    /// A record for a name that has none. It is the same each time the name is asked for, as a real one would
    /// be, and no proof fits it: whoever asks cannot tell which names exist.
    ///
    /// The iteration count is the one most users have; a user with another count stands out, as in every SCRAM
    /// server.
    pub fn decoy(&self, hash: ScramHash, name: &str) -> ScramRecord {
        let tag = match hash {
            ScramHash::Sha256 => "salt of SCRAM-SHA-256 for ",
            ScramHash::Sha512 => "salt of SCRAM-SHA-512 for ",
        };
        let drawn = hash.hmac(self.decoy_key.expose(), format!("{tag}{name}").as_bytes());
        ScramRecord {
            iterations: self.iterations.usual(),
            salt: drawn.expose().iter().copied().take(SALT_BYTES).collect(),
            stored_key: hash.hmac(self.decoy_key.expose(), format!("stored {tag}{name}").as_bytes()),
            server_key: hash.hmac(self.decoy_key.expose(), format!("server {tag}{name}").as_bytes()),
        }
    }

    /// Reads the text of a users file; `path` is for the error.
    pub fn parse(path: &Path, text: &str) -> Result<Self, UsersError> {
        Reader { path, text }.users()
    }

    /// The text of the file: users in the order of their names.
    pub fn to_toml(&self) -> String {
        let mut out = String::from(
            "# Users of Tollgate, written by `tollgate user`; comments are not kept.\n\
             # Salted hashes only. Who can read them can still try passwords: keep this file private.\n",
        );
        let _ = writeln!(out, "format = {FORMAT}");
        let _ = writeln!(out, "decoy_key = \"{}\"", STANDARD.encode(self.decoy_key.expose()));
        for (name, user) in &self.by_name {
            let quoted = toml::Value::String(name.as_str().to_owned());
            let _ = writeln!(out, "\n[[user]]\nname = {quoted}");
            for (key, record) in
                [("scram_sha_256", &user.scram_sha_256), ("scram_sha_512", &user.scram_sha_512)]
            {
                let Some(record) = record else { continue };
                let _ = writeln!(
                    out,
                    "{key} = {{ iterations = {}, salt = \"{}\", stored_key = \"{}\", server_key = \"{}\" }}",
                    record.iterations,
                    STANDARD.encode(&record.salt),
                    STANDARD.encode(record.stored_key.expose()),
                    STANDARD.encode(record.server_key.expose()),
                );
            }
        }
        out
    }
}

/// Why there are no users to be had from a file.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    #[error("{}:{line}:{column}: {message}", path.display())]
    Syntax { path: PathBuf, line: usize, column: usize, message: String },
    #[error("{}: {action}: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: std::io::Error },
    #[error("{}: larger than {limit} bytes, which no users file is", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// The most frequent count; of several, the smallest, so that the answer is one.
/// Walks the parsed document by hand, since what serde says about a wrong value repeats the value.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

type Table<'a> = Spanned<&'a DeTable<'a>>;

impl Reader<'_> {
    fn users(&self) -> Result<Users, UsersError> {
        let document = DeTable::parse(self.text)
            .map_err(|e| self.error(e.span().unwrap_or(0..0), format!("not TOML: {}", e.message())))?;
        let root = Spanned::new(document.span(), document.get_ref());
        self.only(&root, &["format", "decoy_key", "user"])?;
        let format = self.field(&root, "format")?;
        if format.get_ref().as_integer().map(|i| i.as_str()) != Some(FORMAT) {
            return Err(self.error(format.span(), format!("`format` must be {FORMAT}")));
        }
        let mut users = Users {
            by_name: BTreeMap::new(),
            decoy_key: SecretBytes::new(self.base64(&root, "decoy_key", KEY_BYTES..=KEY_BYTES)?),
            iterations: Iterations::default(),
        };
        let Some(list) = root.get_ref().get("user") else { return Ok(users) };
        let entries = list
            .get_ref()
            .as_array()
            .ok_or_else(|| self.error(list.span(), "users are written as [[user]]".into()))?;
        for entry in entries.iter() {
            let table = self.table(entry, "a user")?;
            let (name, user) = self.user(&table)?;
            if users.by_name.insert(name.clone(), user).is_some() {
                return Err(
                    self.error(table.span(), format!("the user {:?} stands here twice", name.as_str()))
                );
            }
        }
        users.iterations = Iterations::of(users.by_name.values());
        Ok(users)
    }

    fn user(&self, table: &Table<'_>) -> Result<(UserName, User), UsersError> {
        self.only(table, &["name", "scram_sha_256", "scram_sha_512"])?;
        let name = self.field(table, "name")?;
        let parsed = name
            .get_ref()
            .as_str()
            .ok_or_else(|| self.error(name.span(), "`name` must be a string".into()))?
            .parse::<UserName>()
            .map_err(|e| self.error(name.span(), e.to_string()))?;
        let user = User {
            scram_sha_256: self.record(table, "scram_sha_256", ScramHash::Sha256)?,
            scram_sha_512: self.record(table, "scram_sha_512", ScramHash::Sha512)?,
        };
        if user.records().next().is_none() {
            return Err(self.error(table.span(), "`scram_sha_256` or `scram_sha_512` is missing".into()));
        }
        Ok((parsed, user))
    }

    fn record(
        &self,
        user: &Table<'_>,
        key: &str,
        hash: ScramHash,
    ) -> Result<Option<ScramRecord>, UsersError> {
        let Some(value) = user.get_ref().get(key) else { return Ok(None) };
        let table = self.table(value, key)?;
        self.only(&table, &["iterations", "salt", "stored_key", "server_key"])?;
        let count = self.field(&table, "iterations")?;
        let iterations = count
            .get_ref()
            .as_integer()
            .and_then(|i| u32::from_str_radix(i.as_str(), i.radix()).ok())
            .filter(|n| (MIN_ITERATIONS..=MAX_ITERATIONS).contains(n))
            .ok_or_else(|| {
                let message = format!("`iterations` must be from {MIN_ITERATIONS} to {MAX_ITERATIONS}");
                self.error(count.span(), message)
            })?;
        let length = hash.output_bytes();
        Ok(Some(ScramRecord {
            iterations,
            salt: self.base64(&table, "salt", SALT_LIMITS)?,
            stored_key: SecretBytes::new(self.base64(&table, "stored_key", length..=length)?),
            server_key: SecretBytes::new(self.base64(&table, "server_key", length..=length)?),
        }))
    }

    fn base64(
        &self,
        table: &Table<'_>,
        key: &str,
        lengths: std::ops::RangeInclusive<usize>,
    ) -> Result<Vec<u8>, UsersError> {
        let value = self.field(table, key)?;
        value
            .get_ref()
            .as_str()
            .and_then(|text| STANDARD.decode(text).ok())
            .filter(|bytes| lengths.contains(&bytes.len()))
            .ok_or_else(|| {
                let (low, high) = lengths.into_inner();
                let length = if low == high { low.to_string() } else { format!("{low} to {high}") };
                self.error(value.span(), format!("`{key}` must be base64 of {length} bytes"))
            })
    }

    fn field<'t>(&self, table: &'t Table<'_>, key: &str) -> Result<&'t Spanned<DeValue<'t>>, UsersError> {
        table.get_ref().get(key).ok_or_else(|| self.error(table.span(), format!("`{key}` is missing")))
    }

    fn table<'t>(&self, value: &'t Spanned<DeValue<'t>>, what: &str) -> Result<Table<'t>, UsersError> {
        match value.get_ref().as_table() {
            Some(table) => Ok(Spanned::new(value.span(), table)),
            None => Err(self.error(value.span(), format!("{what} must be a table"))),
        }
    }

    fn only(&self, table: &Table<'_>, known: &[&str]) -> Result<(), UsersError> {
        for (key, _) in table.get_ref().iter() {
            if !known.contains(&key.get_ref().as_ref()) {
                let message =
                    format!("unknown key {:?}; known here: {}", key.get_ref().as_ref(), known.join(", "));
                return Err(self.error(key.span(), message));
            }
        }
        Ok(())
    }

    fn error(&self, span: Range<usize>, message: String) -> UsersError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        UsersError::Syntax { path: self.path.to_owned(), line, column, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Users, UsersError> {
        Users::parse(Path::new("users.toml"), text)
    }

    fn user(password: &str) -> User {
        User::with_password(&SecretString::new(password.into()), MIN_ITERATIONS).unwrap()
    }

    fn sample() -> Users {
        let mut users = Users::new().unwrap();
        users.insert("alice".parse().unwrap(), user("wonderland"));
        users.insert("bo\"b".parse().unwrap(), user("builder"));
        users
    }

    #[test]
    fn what_is_written_is_read_back() {
        let users = sample();
        let text = users.to_toml();
        let again = parse(&text).unwrap();
        assert_eq!(again.to_toml(), text);
        assert_eq!(again.names().map(UserName::as_str).collect::<Vec<_>>(), ["alice", "bo\"b"]);
        let alice = again.find("alice").unwrap();
        for hash in [ScramHash::Sha256, ScramHash::Sha512] {
            assert!(alice.record(hash).unwrap().matches(hash, b"wonderland"));
        }
        assert!(!text.contains("wonderland"));
    }

    #[test]
    fn no_two_salts_are_alike() {
        let (one, two) = (user("same"), user("same"));
        let salt = |user: &User, hash| user.record(hash).unwrap().salt.clone();
        assert_ne!(salt(&one, ScramHash::Sha256), salt(&two, ScramHash::Sha256));
        assert_ne!(salt(&one, ScramHash::Sha256), salt(&one, ScramHash::Sha512));
    }

    #[test]
    fn decoys_are_stable_differ_by_name_and_survive_a_restart() {
        let users = sample();
        let restarted = parse(&users.to_toml()).unwrap();
        for hash in [ScramHash::Sha256, ScramHash::Sha512] {
            let decoy = users.decoy(hash, "mallory");
            assert_eq!(decoy.salt, restarted.decoy(hash, "mallory").salt);
            assert_ne!(decoy.salt, users.decoy(hash, "trudy").salt);
            assert_ne!(decoy.salt, sample().decoy(hash, "mallory").salt, "another file, another key");
            let real = users.find("alice").unwrap().record(hash).unwrap();
            assert_eq!(decoy.salt.len(), real.salt.len());
            assert_eq!(decoy.iterations, real.iterations);
            assert_eq!(decoy.stored_key.expose().len(), real.stored_key.expose().len());
        }
        assert_ne!(
            users.decoy(ScramHash::Sha256, "m").salt,
            users.decoy(ScramHash::Sha512, "m").salt,
            "real salts differ between mechanisms too"
        );
    }

    #[test]
    fn the_usual_iteration_count_is_the_majoritys() {
        let mut users = sample();
        let slow = User::with_password(&SecretString::new("x".into()), MIN_ITERATIONS + 1).unwrap();
        users.insert("slow".parse().unwrap(), slow);
        assert_eq!(users.decoy(ScramHash::Sha256, "x").iterations, MIN_ITERATIONS);
        users.remove("alice");
        users.remove("bo\"b");
        assert_eq!(users.decoy(ScramHash::Sha256, "x").iterations, MIN_ITERATIONS + 1);
    }

    #[test]
    fn errors_say_where_and_repeat_no_value() {
        let good = sample().to_toml();
        let salt = STANDARD.encode(&sample().find("alice").unwrap().record(ScramHash::Sha256).unwrap().salt);
        assert!(!salt.is_empty());
        let cases: Vec<(String, &str)> = vec![
            (String::new(), "users.toml:1:1: `format` is missing"),
            (good.replace("format = 1", "format = 2"), "users.toml:3:10: `format` must be 1"),
            (
                good.replace("iterations = 4096", "iterations = 4095"),
                "`iterations` must be from 4096 to 600000",
            ),
            (good.replace("iterations = 4096", "iterations = -4096"), "`iterations` must be from"),
            (good.replace("iterations = 4096", "iterations = \"hunter2\""), "`iterations` must be from"),
            (good.replace("name = \"alice\"", "name = \"hunter2\\n\""), "control character"),
            (good.replace("name = \"alice\"", "name = \"ANONYMOUS\""), "cannot be a user"),
            (good.replace("name = \"alice\"", "name = 7"), "`name` must be a string"),
            (good.replace("name = \"alice\"\n", ""), "`name` is missing"),
            (
                good.replace("name = \"alice\"\n", "name = \"alice\"\npassword = \"hunter2\"\n"),
                "users.toml:8:1: unknown key \"password\"; known here: name,",
            ),
            (good.replace("salt = \"", "salt = \"hunter2!"), "`salt` must be base64 of 1 to 256 bytes"),
            (
                good.replace("stored_key = \"", "stored_key = \"aHVudGVyMg=="),
                "`stored_key` must be base64 of 32 bytes",
            ),
            (
                good.replace("bo\\\"b", "alice").replace("'bo\"b'", "\"alice\""),
                "the user \"alice\" stands here twice",
            ),
            (
                good.replace("scram_sha_256 =", "#").replace("scram_sha_512 =", "#"),
                "`scram_sha_256` or `scram_sha_512` is missing",
            ),
            (format!("{good}\nhunter2"), "not TOML"),
            (good.replace("decoy_key", "#decoy_key"), "`decoy_key` is missing"),
            (
                "format = 1\nuser = 5\ndecoy_key = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"".into(),
                "users.toml:2:8: users are written as [[user]]",
            ),
        ];
        for (text, expected) in cases {
            assert_ne!(text, good);
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
            assert!(!error.contains("hunter2"), "{error:?} repeats a value");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_users_or_an_error(text in "(format = 1\n)?(decoy_key|user|name|\\[\\[user\\]\\]|=|\"|[a-z0-9 \n\\[\\]{},])*") {
            let _ = parse(&text);
        }

        #[test]
        fn any_name_survives_the_file(name in "\\PC{1,60}") {
            let Ok(name) = name.parse::<UserName>() else { return Ok(()) };
            let record = |n| {
                Some(ScramRecord {
                    iterations: MIN_ITERATIONS,
                    salt: vec![1; SALT_BYTES],
                    stored_key: SecretBytes::new(vec![2; n]),
                    server_key: SecretBytes::new(vec![3; n]),
                })
            };
            let mut users = Users::new().unwrap();
            users.insert(name.clone(), User { scram_sha_256: record(32), scram_sha_512: record(64) });
            let again = parse(&users.to_toml()).unwrap();
            prop_assert!(again.find(name.as_str()).is_some());
        }
    }
}
