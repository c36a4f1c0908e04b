//! Logs that belong to no topic of the catalogue. Most are what a crash left of a topic being made (empty) or deleted
//! (the catalogue has a note of it). The others hold somebody's records: the catalogue was lost, or an older one was
//! put in its place. A broker that removed them would turn a small mishap into the loss of everything.

use std::collections::HashSet;
use std::io;

use super::catalogue::FILE;
use super::error::BrokerError;
use crate::storage::{LogConfig, Storage, StorageError};
use crate::wire::Uuid;

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
    let mut filled = storage.list_logs()?;
    // What cannot be looked into may hold anything.
    filled.retain(|log| is_a_topics(log) && storage.holds_data(log).unwrap_or(true));
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
    let is_orphan = |name: &String| is_a_topics(name) && !known.contains(name.as_str());
    let orphans = storage.list_logs()?.into_iter().filter(is_orphan);
    let mut doomed = Vec::new();
    for name in orphans {
        let was_deleted = name.rsplit_once('.').is_some_and(|(_, id)| deleted.iter().any(|d| d == id));
        let is_empty = match storage.holds_data(&name) {
            Ok(holds_data) => !holds_data,
            Err(error) => {
                tracing::error!(log = name, %error, "a log of no topic cannot be looked into: left alone");
                continue;
            }
        };
        if was_deleted || is_empty {
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

/// Whether a folder is named as the log of a topic. Others among the logs are somebody else's: nothing is done to them.
fn is_a_topics(log: &str) -> bool {
    let Some((partition, id)) = log.rsplit_once('.') else { return false };
    let index = partition.rsplit_once('-').filter(|(topic, _)| !topic.is_empty()).map(|(_, index)| index);
    let is_index = |index: &str| index.bytes().all(|b| b.is_ascii_digit()) && index.parse::<i32>().is_ok();
    index.is_some_and(is_index) && Uuid::parse(id).is_some()
}
