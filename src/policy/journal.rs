//! The journal (one JSON line an injection) and the audit trail (one a security decision).
//!
//! Lines go through a bounded queue to a thread that writes: no exchange waits for a disk. A line that finds the
//! queue full is dropped and counted, never silently: the next line that fits says how many are missing.

pub mod line;

use self::line::line;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lines that wait for the disk.
const QUEUE: usize = 8_192;

/// A file of JSON lines, or nothing.
#[derive(Debug)]
pub struct Lines {
    queue: Option<SyncSender<String>>,
    writer: Option<JoinHandle<()>>,
    counts: Arc<Counts>,
    /// Where they are kept for who asks.
    memory: Option<Mutex<Vec<serde_json::Value>>>,
}

/// What became of lines.
#[derive(Debug, Default)]
struct Counts {
    /// Taken, and not dropped later.
    written: AtomicU64,
    dropped: AtomicU64,
    /// Dropped and not yet told in the file.
    untold: AtomicU64,
    /// Given to the writer, and how many of them it is done with.
    sent: AtomicU64,
    settled: Mutex<u64>,
    more: Condvar,
}

impl Counts {
    fn settle(&self, lines: u64) {
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner) += lines;
        self.more.notify_all();
    }

    fn dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        self.untold.fetch_add(lines, Ordering::Relaxed);
    }
}

line! {
/// One injection, in the journal.
pub struct Injection<'a> {
    /// Milliseconds since 1970.
    time: u64,
    seed: u64,
    policy: &'a str,
    rule: &'a str,
    subject: &'a str,
    /// The same as a number that tells all subjects apart, in hexadecimal digits.
    subject_id: String,
    /// Which event of its subject, and how often it was met before.
    n: u64,
    attempt: u32,
    fault: &'a str,
    parameter: Option<&'a str>,
    /// `before` the upstream executes the request, `after`, or `around` where that is not touched.
    when: &'a str,
    /// Watched only: it would have been injected.
    observed: bool,
    session: u64,
    correlation_id: i32,
}
}

line! {
/// One decision of a security rule.
pub struct Decision<'a> {
    /// Milliseconds since 1970.
    time: u64,
    policy: &'a str,
    rule: &'a str,
    principal: &'a str,
    client_id: &'a str,
    address: &'a str,
    listener: &'a str,
    api: &'a str,
    /// `topic`, `group`, …; absent for an exchange about nothing.
    resource: Option<&'a str>,
    name: Option<&'a str>,
    partition: Option<i32>,
    /// What was decided: `deny`, `mask`, `unparsable`, `audit`, `error`, …
    decision: &'a str,
    reason: Option<&'a str>,
    /// Records it is about, where it is about records.
    records: Option<u64>,
    observed: bool,
    session: u64,
    correlation_id: i32,
}
}

line! {
/// What is written when lines were dropped.
pub struct Missing {
    /// Milliseconds since 1970.
    time: u64,
    /// Since the line before.
    dropped_lines: u64,
}
}

impl Lines {
    /// Lines that go nowhere.
    pub fn none() -> Self {
        Self { queue: None, writer: None, counts: Arc::default(), memory: None }
    }

    /// Lines that are kept until they are taken: for who looks after each exchange.
    pub fn memory() -> Self {
        let mut made = Self::none();
        made.memory = Some(Mutex::default());
        made
    }

    /// What was put since the last look; of lines that are not kept nothing.
    pub fn taken(&self) -> Vec<serde_json::Value> {
        let kept = self.memory.as_ref();
        kept.map(|kept| std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner)))
            .unwrap_or_default()
    }

    /// Lines appended to a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        Self::to(file)
    }

    /// Lines written elsewhere.
    pub fn to(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let mut made = Self::none();
        let counts = Arc::clone(&made.counts);
        let thread = std::thread::Builder::new().name("policy-lines".to_owned());
        let writer = thread.spawn(move || write(lines, sink, &counts))?;
        (made.queue, made.writer) = (Some(queue), Some(writer));
        Ok(made)
    }

    pub fn is_on(&self) -> bool {
        self.queue.is_some() || self.memory.is_some()
    }

    /// Puts a line into the queue. Never waits.
    pub fn put(&self, line: &impl Serialize) {
        if let Some(memory) = &self.memory
            && let Ok(line) = serde_json::to_value(line)
        {
            memory.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
        let Some(queue) = &self.queue else { return };
        let counts = &self.counts;
        let untold = counts.untold.swap(0, Ordering::Relaxed);
        if untold > 0 && !self.send(queue, &Missing { time: now(), dropped_lines: untold }) {
            counts.untold.fetch_add(untold, Ordering::Relaxed);
        }
        if self.send(queue, line) {
            counts.written.fetch_add(1, Ordering::Relaxed);
        } else {
            counts.dropped(1);
        }
    }

    fn send(&self, queue: &SyncSender<String>, line: &impl Serialize) -> bool {
        // what is put are plain structs of text and numbers, which always have a JSON form
        let Ok(mut text) = serde_json::to_string(line) else { return false };
        text.push('\n');
        let sent =
            !matches!(queue.try_send(text), Err(TrySendError::Full(_) | TrySendError::Disconnected(_)));
        self.counts.sent.fetch_add(u64::from(sent), Ordering::Relaxed);
        sent
    }

    /// Waits until what was put so far is in the file, or could not be written, at most so long: before a process ends that will
    /// end nothing. Whether it came to it.
    pub fn settle(&self, patience: Duration) -> bool {
        if self.queue.is_none() {
            return true;
        }
        let sent = self.counts.sent.load(Ordering::Relaxed);
        let settled = self.counts.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.counts.more.wait_timeout_while(settled, patience, |settled| *settled < sent);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Lines taken and lines dropped since the start.
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.written.load(Ordering::Relaxed), self.counts.dropped.load(Ordering::Relaxed))
    }
}

impl Drop for Lines {
    /// What is in the queue is written before a process ends.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // a writer that panicked has said so
            writer.join().unwrap_or_default();
        }
    }
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "lines carry the time of day; nothing is decided by it")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as u64)
}

fn write(lines: Receiver<String>, mut sink: impl Write, counts: &Counts) {
    let mut failing = false;
    while let Ok(first) = lines.recv() {
        let mut batch = first;
        while let Ok(next) = lines.try_recv() {
            batch.push_str(&next);
            if batch.len() > 256 * 1024 {
                break;
            }
        }
        let result = sink.write_all(batch.as_bytes()).and_then(|()| sink.flush());
        counts.settle(batch.lines().count() as u64);
        let Err(error) = result else {
            failing = false;
            continue;
        };
        let lost = batch.lines().count() as u64;
        // those that told of others that were lost are not written either, and count as lines
        counts
            .written
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_sub(lost)))
            .ok();
        counts.dropped(lost);
        if !failing {
            failing = true;
            tracing::error!(%error, "journal or audit lines cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A sink that lets one write through for each permit.
    struct Slow {
        permits: mpsc::Receiver<()>,
        written: mpsc::SyncSender<String>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.permits.recv();
            let _ = self.written.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The permits go before the lines when a test fails, so that it ends.
    fn slow() -> (Lines, mpsc::SyncSender<()>, mpsc::Receiver<String>) {
        let (permits, permitted) = mpsc::sync_channel(200_000);
        let (written, seen) = mpsc::sync_channel(200_000);
        (Lines::to(Slow { permits: permitted, written }).unwrap(), permits, seen)
    }

    fn injection(n: u64) -> Injection<'static> {
        Injection {
            time: 1,
            seed: 2,
            policy: "p",
            rule: "r",
            subject: "s",
            subject_id: "2a".to_owned(),
            n,
            attempt: 0,
            fault: "fail",
            parameter: Some("NOT_COORDINATOR"),
            when: "before",
            observed: false,
            session: 3,
            correlation_id: 4,
        }
    }

    #[test]
    fn lines_are_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let lines = Lines::open(&path).unwrap();
        lines.put(&injection(7));
        drop(lines);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\"time\":1,\"seed\":2,\"policy\":\"p\",\"rule\":\"r\",\"subject\":\"s\",\"subject_id\":\"2a\",\"n\":7,\"attempt\":0,\
             \"fault\":\"fail\",\"parameter\":\"NOT_COORDINATOR\",\"when\":\"before\",\"session\":3,\
             \"correlation_id\":4}\n"
        );
    }

    #[test]
    fn a_full_queue_drops_and_says_so() {
        let (lines, permits, seen) = slow();
        let n = QUEUE as u64 + 10_000;
        (0..n).for_each(|i| lines.put(&injection(i)));
        let (taken, dropped) = lines.counts();
        assert_eq!(taken + dropped, n);
        assert!(dropped > 0);
        // the writer may go on: everything taken comes out, and what is missing is told
        (0..100_000).for_each(|_| permits.send(()).unwrap_or_default());
        let mut text = String::new();
        while text.lines().count() < taken as usize {
            text.push_str(&seen.recv_timeout(std::time::Duration::from_secs(20)).unwrap());
        }
        lines.put(&injection(n));
        while !text.contains("dropped_lines") {
            text.push_str(&seen.recv_timeout(std::time::Duration::from_secs(20)).unwrap());
        }
        assert!(text.contains(&format!("\"dropped_lines\":{dropped}")));
    }

    #[test]
    fn who_waits_for_lines_waits_until_they_are_written_and_no_longer() {
        let (lines, permits, seen) = slow();
        assert!(lines.settle(Duration::ZERO), "nothing was put");
        for n in 0..3 {
            lines.put(&injection(n));
            assert!(!lines.settle(Duration::from_millis(1)), "the disk does nothing");
            permits.send(()).unwrap();
            assert!(lines.settle(Duration::from_secs(20)));
        }
        let text: String = seen.try_iter().collect();
        assert_eq!(text.lines().count(), 3);
        assert!(Lines::none().settle(Duration::ZERO) && Lines::memory().settle(Duration::ZERO));
    }

    #[test]
    fn whoever_lets_go_of_lines_waits_for_the_last_of_them() {
        let (lines, permits, seen) = slow();
        lines.put(&injection(1));
        let (done, is_done) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            drop(lines);
            done.send(()).unwrap();
        });
        assert!(is_done.recv_timeout(Duration::from_millis(20)).is_err(), "the disk does nothing");
        permits.send(()).unwrap();
        is_done.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(seen.try_recv().unwrap().contains("\"n\":1"));
    }

    #[test]
    fn lines_have_the_time_of_day() {
        // 2020 and 2100
        assert!((1_577_836_800_000..4_102_444_800_000).contains(&now()));
    }

    /// A disk that is full at first.
    struct Full {
        writes: usize,
        written: mpsc::SyncSender<String>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes += 1;
            if self.writes == 1 {
                self.written.send("refused".to_owned()).unwrap();
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.send(String::from_utf8_lossy(bytes).into_owned()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_could_not_be_written_are_counted_and_told_of() {
        let (written, seen) = mpsc::sync_channel(100);
        let lines = Lines::to(Full { writes: 0, written }).unwrap();
        let next = || seen.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
        lines.put(&injection(1));
        assert_eq!(next(), "refused");
        while lines.counts() != (0, 1) {
            std::thread::yield_now();
        }
        lines.put(&injection(2));
        let mut text = next();
        while text.lines().count() < 2 {
            text.push_str(&next());
        }
        assert!(text.contains("\"dropped_lines\":1") && text.contains("\"n\":2"), "{text}");
        assert_eq!(lines.counts(), (1, 1));
    }

    #[test]
    fn without_a_file_nothing_is_kept() {
        let lines = Lines::none();
        lines.put(&injection(1));
        assert_eq!((lines.is_on(), lines.counts()), (false, (0, 0)));
    }
}
