//! Logs that belong to no topic of the catalogue. Most are what a crash left of a topic being made (empty) or deleted
//! (the catalogue has a note of it). The others hold somebody's records: the catalogue was lost, or an older one was
//! put in its place. A broker that removed them would turn a small mishap into the loss of everything.

use std::collections::HashSet;
use std::io;

use super::catalogue::FILE;
use super::error::BrokerError;
use crate::storage::{LogConfig, Storage, StorageError};

/// How many logs a message names.
const NAMED: usize = 3;

/// A folder without a catalogue may be new, not one that holds records: an empty catalogue would disown them.
pub(super) fn refuse_without_catalogue(storage: &Storage) -> Result<(), BrokerError> {
    let path = storage.dir().join(FILE);
    match storage.files().size(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // A file cut to nothing says as much as none.
        Ok(0) => {}
        Ok(_) => return Ok(()),
        Err(error) => return Err(StorageError::io("stat", &path, &error).into()),
    }
    let mut filled = Vec::new();
    for log in storage.list_logs()? {
        if storage.holds_data(&log)? {
            filled.push(log);
        }
    }
    if filled.is_empty() {
        return Ok(());
    }
    filled.sort_unstable();
    let named = filled.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if filled.len() > NAMED { ", ..." } else { "" };
    Err(BrokerError::CatalogueMissing {
        path,
        logs_dir: storage.logs_dir().to_owned(),
        count: filled.len(),
        named: named + more,
    })
}

/// Removes the logs of no topic that hold nothing or whose topic was `deleted` (ids), and sets the others aside. False
/// when some of the deleted are still there.
pub(super) fn settle(
    storage: &Storage,
    known: &HashSet<&str>,
    deleted: &[String],
) -> Result<bool, StorageError> {
    let orphans = storage.list_logs()?.into_iter().filter(|name| !known.contains(name.as_str()));
    let mut doomed = Vec::new();
    for name in orphans {
        let was_deleted = name.rsplit_once('.').is_some_and(|(_, id)| deleted.iter().any(|d| d == id));
        if was_deleted || !storage.holds_data(&name)? {
            doomed.push((name, LogConfig::default()));
            continue;
        }
        match storage.set_aside(&name) {
            Ok(path) => tracing::error!(
                log = name, kept = %path.display(),
                "a log that belongs to no topic of the catalogue holds records: set aside. If an older catalogue was \
                 restored, stop, put the newer one back and give the folder its name again; else remove it"
            ),
            Err(error) => tracing::error!(log = name, %error, "a log of no topic cannot be set aside"),
        }
    }
    let mut removals = Vec::new();
    for ((name, _), opened) in doomed.iter().zip(storage.open_logs(&doomed)) {
        tracing::info!(log = name, "removing what is left of a topic that was deleted or never finished");
        removals.push((name, opened.map(|_| storage.delete_log(name))));
    }
    let mut all = true;
    for (name, removal) in removals {
        // It takes room and no more; the next start tries again.
        if let Err(error) = removal.and_then(|removal| removal.wait()) {
            tracing::warn!(log = name, %error, "it could not be removed");
            all = false;
        }
    }
    Ok(all)
}
