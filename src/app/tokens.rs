//! Tokens of the admin address: read at the start, and again whenever their file has changed and stands still. So a token that
//! became known is worth nothing a moment after it was taken out.

use super::config::Config;
use super::failure::Failure;
use crate::admin::control::Tokens;
use crate::security::{Fingerprint, SecretBytes, users_file};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The shortest token: what is shorter can be guessed.
const TOKEN_BYTES: usize = 16;
/// Tokens of one file.
const TOKENS: usize = 100;

/// Tokens by name.
type Named = Vec<(String, SecretBytes)>;

/// The tokens in force.
pub struct AdminTokens {
    named: RwLock<Named>,
    /// None: they came from the environment, and stay.
    file: Option<PathBuf>,
    watch: Mutex<Watch>,
}

/// What was seen of the file; none: there was no such file.
#[derive(Default)]
struct Watch {
    /// Its state when it was read last, whatever it said.
    judged: Option<Fingerprint>,
    /// Another state, at the last look.
    settling: Option<Option<Fingerprint>>,
    /// Why it could not be read at the last look.
    unread: Option<String>,
}

/// Why there are no tokens in a file.
#[derive(Debug)]
enum Unusable {
    /// It cannot be read now, and may be a moment later.
    Unread(String),
    Wrong(String),
}

/// What a look at the file came to.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Unchanged,
    /// It has changed, and may still be written to.
    Settling,
    /// So many tokens are in force now.
    Changed(usize),
}

impl Tokens for AdminTokens {
    fn name_of(&self, token: &[u8]) -> Option<String> {
        // All of them are compared, whichever it is.
        let mut found = None;
        for (name, known) in &*self.named.read().unwrap_or_else(PoisonError::into_inner) {
            if known.ct_eq(token) {
                found = Some(name.clone());
            }
        }
        found
    }
}

impl AdminTokens {
    /// Those of a configuration. None: there are none.
    pub fn of(config: &Config) -> Result<Option<Self>, Failure> {
        match (&config.admin_token_file, &config.admin_token) {
            (Some(_), Some(_)) => Err(Failure::usage(
                "`admin_token_file` and TOLLGATE_ADMIN_TOKEN are both set: keep one of them",
            )),
            (Some(file), None) => match Self::read(file) {
                Ok(tokens) => Ok(Some(tokens)),
                Err(Unusable::Unread(why) | Unusable::Wrong(why)) => Err(Failure::usage(why)),
            },
            (None, Some(token)) => parse(&SecretBytes::new(token.expose().as_bytes().to_vec()))
                .map(|named| Some(Self::new(named, None, Watch::default())))
                .map_err(|e| Failure::usage(format!("TOLLGATE_ADMIN_TOKEN: {e}"))),
            (None, None) => Ok(None),
        }
    }

    fn new(named: Named, file: Option<PathBuf>, watch: Watch) -> Self {
        Self { named: RwLock::new(named), file, watch: Mutex::new(watch) }
    }

    fn read(file: &Path) -> Result<Self, Unusable> {
        // looked at first: what is written meanwhile is another state
        let judged = fingerprint(file);
        let named = read(file)?;
        Ok(Self::new(named, Some(file.to_owned()), Watch { judged, ..Watch::default() }))
    }

    /// Looks at the file. After an error, which is told once, the tokens stay as they were; what the file says in one state is
    /// read once.
    fn look(&self) -> Result<Look, String> {
        let Some(file) = &self.file else { return Ok(Look::Unchanged) };
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let found = fingerprint(file);
        if watch.judged == found {
            *watch = Watch { judged: found, ..Watch::default() };
            return Ok(Look::Unchanged);
        }
        if watch.settling != Some(found) {
            watch.settling = Some(found);
            return Ok(Look::Settling);
        }
        // a pipe in its place would keep who opens it waiting
        let named = match found {
            Some(_) => read(file),
            None => Err(Unusable::Unread(format!("the tokens in {}: there is no such file", file.display()))),
        };
        match named {
            Ok(named) => {
                *watch = Watch { judged: found, ..Watch::default() };
                let count = named.len();
                *self.named.write().unwrap_or_else(PoisonError::into_inner) = named;
                Ok(Look::Changed(count))
            }
            Err(Unusable::Wrong(why)) => {
                *watch = Watch { judged: found, ..Watch::default() };
                Err(why)
            }
            Err(Unusable::Unread(why)) if watch.unread.as_ref() == Some(&why) => Ok(Look::Settling),
            Err(Unusable::Unread(why)) => {
                watch.unread = Some(why.clone());
                Err(why)
            }
        }
    }

    /// Takes changes of the file over, as long as the process runs. None: there is no file.
    pub fn renew(self: &Arc<Self>) -> Option<JoinHandle<()>> {
        let file = self.file.as_ref()?.display().to_string();
        let tokens = Arc::clone(self);
        Some(tokio::spawn(async move {
            let mut tick = tokio::time::interval(LOOK);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let looking = Arc::clone(&tokens);
                match tokio::task::spawn_blocking(move || looking.look()).await {
                    Ok(Ok(Look::Changed(tokens))) => tracing::info!(tokens, file, "the admin tokens changed"),
                    Ok(Ok(Look::Unchanged | Look::Settling)) => {}
                    Ok(Err(error)) => tracing::error!(error, "the admin tokens stay as they were"),
                    Err(error) => {
                        tracing::error!(%error, "the admin tokens are not renewed any more");
                        return;
                    }
                }
            }
        }))
    }
}

/// Of a file that is not there none; nor of a pipe, which can be read once.
fn fingerprint(file: &Path) -> Option<Fingerprint> {
    let metadata = std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file)?;
    Some(Fingerprint::of(&metadata))
}

/// Reads a file of tokens: one a line, `TOKEN` or `NAME TOKEN`; `#` begins a comment.
fn read(path: &Path) -> Result<Named, Unusable> {
    let cannot = |why: String| format!("the tokens in {}: {why}", path.display());
    let unread = |error: std::io::Error| Unusable::Unread(cannot(error.to_string()));
    let text = SecretBytes::read_from(std::fs::File::open(path).map_err(unread)?).map_err(unread)?;
    let named = parse(&text).map_err(|why| Unusable::Wrong(cannot(why)))?;
    if users_file::is_exposed(path) {
        tracing::warn!(file = %path.display(), "every user of this machine can read the tokens; chmod 600 it");
    }
    Ok(named)
}

/// No message says what stands in a line.
fn parse(text: &SecretBytes) -> Result<Named, String> {
    let mut tokens = Named::new();
    for (number, line) in text.expose().split(|byte| *byte == b'\n').enumerate() {
        let number = number + 1;
        let fields: Vec<&[u8]> =
            line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).collect();
        let (name, token) = match fields[..] {
            [] => continue,
            [first, ..] if first.starts_with(b"#") => continue,
            [token] => ("token", token),
            [name, token] => match std::str::from_utf8(name) {
                Ok(name) if name.len() <= 64 && !name.contains(char::is_control) => (name, token),
                _ => return Err(format!("line {number}: a name is at most 64 bytes of UTF-8")),
            },
            _ => return Err(format!("line {number}: a line is TOKEN or NAME TOKEN")),
        };
        if token.len() < TOKEN_BYTES {
            return Err(format!("line {number}: a token has at least {TOKEN_BYTES} characters"));
        }
        if tokens.iter().any(|(other, _)| other == name) {
            return Err(format!("line {number}: there is one named {name:?} already"));
        }
        tokens.push((name.to_owned(), SecretBytes::new(token.to_vec())));
    }
    match tokens.len() {
        0 => Err("there is none".to_owned()),
        n if n > TOKENS => Err(format!("there are more than {TOKENS}")),
        _ => Ok(tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AdminTokens, String> {
        let named = super::parse(&SecretBytes::new(text.as_bytes().to_vec()))?;
        Ok(AdminTokens::new(named, None, Watch::default()))
    }

    #[test]
    fn tokens_have_names() {
        let tokens = parse("# who may\nci 0123456789abcdef\n\n  ops\tfedcba9876543210\r\n").unwrap();
        assert_eq!(tokens.name_of(b"0123456789abcdef").as_deref(), Some("ci"));
        assert_eq!(tokens.name_of(b"fedcba9876543210").as_deref(), Some("ops"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "ci 0123456789abcdef", "ci"] {
            assert_eq!(tokens.name_of(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(parse("0123456789abcdef").unwrap().name_of(b"0123456789abcdef").as_deref(), Some("token"));
    }

    #[test]
    fn what_is_wrong_with_a_token_is_said_without_it() {
        for (text, why) in [
            ("", "none"),
            ("# 0123456789abcdef", "none"),
            ("short-secret", "line 1: a token has at least 16"),
            ("a b 0123456789abcdef", "line 1: a line is"),
            ("a 0123456789abcdef\na fedcba9876543210", "line 2: there is one named"),
        ] {
            let error = parse(text).err().unwrap();
            assert!(error.contains(why) && !error.contains("secret") && !error.contains("0123"), "{error}");
        }
    }

    #[test]
    fn a_changed_file_counts_once_it_stands_still_and_a_bad_one_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        // of another length each time: clocks of files may be coarse
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        let (old, new) = ("0123456789abcdef", "fedcba9876543210-2");
        write(&format!("ci {old}\n"));
        let tokens = AdminTokens::read(&file).unwrap();
        let names = || [old, new].map(|token| tokens.name_of(token.as_bytes()));
        let (ci, ops) = (Some("ci".to_owned()), Some("ops".to_owned()));
        assert_eq!((tokens.look(), names()), (Ok(Look::Unchanged), [ci.clone(), None]));
        write(&format!("ops {new}\n"));
        assert_eq!((tokens.look(), names()), (Ok(Look::Settling), [ci, None]));
        write(&format!("ops {new}\n# and no more\n"));
        assert_eq!(tokens.look(), Ok(Look::Settling), "it is another again");
        let after = [None, ops];
        assert_eq!((tokens.look(), names()), (Ok(Look::Changed(1)), after.clone()));
        assert_eq!(tokens.look(), Ok(Look::Unchanged));
        write("short\n");
        assert_eq!(tokens.look(), Ok(Look::Settling));
        let error = tokens.look().unwrap_err();
        assert!(error.contains("line 1: a token has at least 16") && error.contains("tokens"), "{error}");
        assert_eq!((tokens.look(), names()), (Ok(Look::Unchanged), after.clone()), "told once");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(tokens.look(), Ok(Look::Settling));
        let error = tokens.look().unwrap_err();
        assert!(error.contains("tokens: there is no such file"), "{error}");
        assert_eq!((tokens.look(), names()), (Ok(Look::Settling), after), "told once, and looked at again");
        write(&format!("ci {old}\n"));
        assert_eq!((tokens.look(), tokens.look()), (Ok(Look::Settling), Ok(Look::Changed(1))));
    }

    #[test]
    fn a_token_of_the_environment_stays() {
        let tokens = Arc::new(parse("0123456789abcdef").unwrap());
        assert_eq!(tokens.look(), Ok(Look::Unchanged));
        assert!(tokens.renew().is_none());
    }
}
