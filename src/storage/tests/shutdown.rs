//! Who asks for something of a log or a storage that is over, or about to be.

use std::sync::mpsc;

use super::*;

fn try_append(log: &Arc<Log>) -> Result<Appended, StorageError> {
    log.append(AppendBatch::new(testing::batch(0, 1, 10, 0)).unwrap().into(), 0)
}

/// Otherwise it would never come to an end.
#[test]
fn nothing_is_appended_while_a_storage_is_being_closed() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("a-0", small_segments()).unwrap();
    let waiting = append(&log, 1, 10, 0);
    let (told, tries) = mpsc::sync_channel(3);
    let appending = Arc::clone(&log);
    bench.files.observe(move |_| {
        // Full after a few.
        let _ =
            told.try_send(()).map(|()| assert!(matches!(try_append(&appending), Err(StorageError::Closed))));
    });
    storage.close().unwrap();
    bench.files.stop_observing();
    waiting.ticket.wait().unwrap();
    assert_eq!(tries.try_iter().count(), 3);
}

#[test]
fn who_asks_a_closed_storage_to_delete_is_told_that_it_is_closed() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("a-0", small_segments()).unwrap();
    storage.close().unwrap();
    assert!(matches!(answered(storage.delete_log("a-0")), Some(Err(StorageError::Closed))));
    assert!(files::Files::list(&bench.files, log.dir()).is_ok());
}

/// Nothing but a deletion is work for the committers.
#[test]
fn who_asks_a_log_that_failed_is_told_at_once() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("a-0", small_segments()).unwrap();
    log.take_offline(StorageError::corrupt(log.dir(), 0, "it is"));
    assert!(matches!(answered(log.flush()), Some(Err(StorageError::Offline { .. }))));
    assert!(matches!(answered(log.delete_records_before(0)), Some(Err(StorageError::Offline { .. }))));
    let deleted = storage.delete_log("a-0");
    storage.drive();
    assert!(matches!(answered(deleted), Some(Ok(()))));
}
