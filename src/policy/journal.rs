//! The journal (one JSON line an injection) and the audit trail (one a security decision).
//!
//! Lines go through a bounded queue to a thread that writes: no exchange waits for a disk. A line that finds the
//! queue full is dropped and counted, never silently: the next line that fits says how many are missing.

use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines that wait for the disk.
const QUEUE: usize = 8_192;

/// A file of JSON lines, or nothing.
#[derive(Debug)]
pub struct Lines {
    queue: Option<SyncSender<String>>,
    writer: Option<JoinHandle<()>>,
    written: AtomicU64,
    dropped: AtomicU64,
    /// Dropped and not yet told in the file.
    untold: AtomicU64,
    #[cfg(test)]
    memory: Option<std::sync::Mutex<Vec<serde_json::Value>>>,
}

/// One injection, as FAULTS says.
#[derive(Debug, Serialize)]
pub struct Injection<'a> {
    /// Milliseconds since 1970.
    pub time: u64,
    pub seed: u64,
    pub policy: &'a str,
    pub rule: &'a str,
    pub subject: &'a str,
    /// The same as a number that tells all subjects apart, in hexadecimal digits.
    pub subject_id: String,
    /// Which event of its subject, and how often it was met before.
    pub n: u64,
    pub attempt: u32,
    pub fault: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<&'a str>,
    /// `before` the upstream executes the request, `after`, or `around` where that is not touched.
    pub when: &'a str,
    /// Watched only: it would have been injected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
    pub session: u64,
    pub correlation_id: i32,
}

/// One decision of a security rule.
#[derive(Debug, Serialize)]
pub struct Decision<'a> {
    pub time: u64,
    pub policy: &'a str,
    pub rule: &'a str,
    pub principal: &'a str,
    pub client_id: &'a str,
    pub address: &'a str,
    pub listener: &'a str,
    pub api: &'a str,
    /// `topic`, `group`, …; absent for an exchange about nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// What was decided: `deny`, `mask`, `unparsable`, `audit`, `error`, …
    pub decision: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Records it is about, where it is about records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
    pub session: u64,
    pub correlation_id: i32,
}

/// What is written when lines were dropped.
#[derive(Serialize)]
struct Missing {
    time: u64,
    dropped_lines: u64,
}

impl Lines {
    /// Lines that go nowhere.
    pub fn none() -> Self {
        Self {
            queue: None,
            writer: None,
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            #[cfg(test)]
            memory: None,
        }
    }

    /// Lines that a test reads at once.
    #[cfg(test)]
    pub fn memory() -> Self {
        let mut made = Self::none();
        made.memory = Some(std::sync::Mutex::default());
        made
    }

    /// What was put since the last look.
    #[cfg(test)]
    pub fn taken(&self) -> Vec<serde_json::Value> {
        self.memory.as_ref().map(|m| std::mem::take(&mut *m.lock().unwrap())).unwrap_or_default()
    }

    /// Lines appended to a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        Self::to(file)
    }

    /// Lines written elsewhere.
    pub fn to(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let writer =
            std::thread::Builder::new().name("policy-lines".to_owned()).spawn(move || write(lines, sink))?;
        let mut made = Self::none();
        (made.queue, made.writer) = (Some(queue), Some(writer));
        Ok(made)
    }

    pub fn is_on(&self) -> bool {
        #[cfg(test)]
        if self.memory.is_some() {
            return true;
        }
        self.queue.is_some()
    }

    /// Puts a line into the queue. Never waits.
    pub fn put(&self, line: &impl Serialize) {
        #[cfg(test)]
        if let Some(memory) = &self.memory {
            memory.lock().unwrap().push(serde_json::to_value(line).unwrap());
        }
        let Some(queue) = &self.queue else { return };
        let untold = self.untold.swap(0, Ordering::Relaxed);
        if untold > 0 && !Self::send(queue, &Missing { time: now(), dropped_lines: untold }) {
            self.untold.fetch_add(untold, Ordering::Relaxed);
        }
        if Self::send(queue, line) {
            self.written.fetch_add(1, Ordering::Relaxed);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn send(queue: &SyncSender<String>, line: &impl Serialize) -> bool {
        // what is put are plain structs of text and numbers, which always have a JSON form
        let Ok(mut text) = serde_json::to_string(line) else { return false };
        text.push('\n');
        !matches!(queue.try_send(text), Err(TrySendError::Full(_) | TrySendError::Disconnected(_)))
    }

    /// Lines taken and lines dropped since the start.
    pub fn counts(&self) -> (u64, u64) {
        (self.written.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
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

fn write(lines: Receiver<String>, mut sink: impl Write) {
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
        match result {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "journal or audit lines cannot be written");
            }
            Err(_) => {}
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
        let (permits, permitted) = mpsc::sync_channel(200_000);
        let (written, seen) = mpsc::sync_channel(200_000);
        let lines = Lines::to(Slow { permits: permitted, written }).unwrap();
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
    fn without_a_file_nothing_is_kept() {
        let lines = Lines::none();
        lines.put(&injection(1));
        assert_eq!((lines.is_on(), lines.counts()), (false, (0, 0)));
    }
}
