//! The words of the language, for error messages and tools: what there is, how it is used, and what is not
//! there yet. A word that belongs to a later version is refused by name; no word is ever ignored.

/// A word: its name, how it is written, what it does.
pub struct Word {
    pub name: &'static str,
    pub usage: &'static str,
    pub does: &'static str,
}

macro_rules! words {
    ($($name:literal $usage:literal $does:literal;)*) => {
        pub const WORDS: &[Word] = &[$(Word { name: $name, usage: $usage, does: $does }),*];
    };
}

words! {
    "policy" "policy(name, purpose)" "names the file's policy and says what for";
    "seed" "seed(n)" "makes the draws of this policy the same in every run";
    "expires" "expires(\"30m\")" "ends the policy's (or the rule's) faults by themselves";
    "mode" "mode(\"observe\")" "counts and audits what the policy would do, and does nothing";
    "default_deny" "default_deny()" "refuses what no allow names";
    "window" "window(name, \"60s\")" "counts events by key over the last minute, for all sessions";
    "counter" "counter(name)" "counts by key, for all sessions, as long as the policy is there";
    "shared_map" "shared_map(name)" "values by key, for all sessions, as long as the policy is there";
    "on_access" "on_access(operations…)" "access control in Kafka's own operations";
    "on_connect" "on_connect()" "a session that begins";
    "on_produce" "on_produce(topics…)" "produce requests, per partition";
    "on_fetch" "on_fetch(topics…)" "fetches, per partition";
    "on_request" "on_request(apis…)" "any api by name or class";
    "on_create" "on_create(topics…)" "topics that are made, grown or configured, by whichever api";
    "on_disk" "on_disk(topics…)" "what the embedded broker does to the files of its logs";
    "on_broker" "on_broker()" "the embedded broker itself, at a time: .during";
    "operation" ".operation(\"append\", \"sync\", \"read\")" "these disk operations";
    "topic" ".topic(patterns…)" "topics so named";
    "partition" ".partition(0, 4..8)" "these partitions";
    "principal" ".principal(patterns…)" "who, as \"User:ada\"";
    "client_id" ".client_id(patterns…)" "the client id, which any client may choose";
    "group" ".group(patterns…)" "groups so named";
    "transactional_id" ".transactional_id(patterns…)" "transactional ids so named";
    "cluster" ".cluster()" "the cluster itself, for access";
    "listener" ".listener(patterns…)" "the listener the session came in by";
    "from_ip" ".from_ip(\"10.0.0.0/8\")" "the client's address";
    "header" ".header(name, patterns…)" "records with such a header";
    "key" ".key(patterns…)" "records with such a key";
    "value" ".value(path, pattern or \"> 5\")" "records with such a value at a JSON path";
    "api_version" ".api_version(\">= 9\" or 4, 7..=9)" "requests of these versions of their api";
    "broker" ".broker(1, 3..=5)" "clients that came to the broker with this node id; the embedded one is `node_id`";
    "sessions" ".sessions(share)" "this share of the sessions, each for its life";
    "when" ".when(|cx| …)" "a condition in Rhai";
    "chance" ".chance(p)" "fires with this probability, drawn per event";
    "every" ".every(n)" "fires at every n-th event of a subject";
    "nth" ".nth(n)" "fires at the n-th event of a subject";
    "first" ".first(n)" "fires at the first n events of a subject";
    "after" ".after(n)" "fires at all events after the n-th";
    "at_most" ".at_most(n)" "fires n times at most, over all subjects";
    "during" ".during(\"10s\", \"25s\")" "fires between two times since the rule became active";
    "deny" ".deny(reason?)" "refuses with the api's own error";
    "allow" ".allow()" "allows, for on_access";
    "mask" ".mask(path, how, schema?)" "makes a field unreadable; of values that are not JSON by their schema";
    "encrypt" ".encrypt(path, secret(name))" "encrypts a field, or with \"$\" the value, of what is produced";
    "decrypt" ".decrypt(path, secret(name))" "decrypts what was encrypted so, of what is fetched";
    "on_unparsable" ".on_unparsable(\"empty\")" "what becomes of a value that cannot be parsed to be masked or encrypted: empty, null, error, pass";
    "set_header" ".set_header(name, template)" "sets a header on every record";
    "remove_header" ".remove_header(patterns…)" "takes headers off every record";
    "require_header" ".require_header(name)" "refuses produced records without it";
    "validate" ".validate(schema(file))" "refuses produced records whose value does not fit a schema; null, which deletes, fits";
    "route" ".route(topic, reason?)" "takes produced records to a dead-letter topic: those selected, or those that what stands before it in the rule refuses";
    "limit" ".limit(#{ partitions: 12, … })" "what topics may be: partitions, replication, names, configs";
    "quota" ".quota(\"1MB/s\" or \"100 records/s\" or \"10 requests/s\", \"principal\", …)" "how much may be used over time, per principal, client_id, ip, topic: who uses more must wait, as with Kafka's quotas";
    "audit" ".audit()" "writes a line to the audit file";
    "each" ".each(|cx, record| …)" "runs Rhai on every record; cx.deny(reason) refuses it";
    "named" ".named(name)" "gives a rule a lasting name";
    "observe" ".observe()" "counts and audits what the rule would do, and does nothing";
    "delay" ".delay(\"200ms\" or uniform, normal, pareto)" "the response leaves later";
    "fail" ".fail(code)" "answers with an error; not executed";
    "fail_after" ".fail_after(code)" "executed, then answered with an error";
    "lose_request" ".lose_request()" "never executed, never answered";
    "lose_response" ".lose_response()" "executed, never answered";
    "disconnect" ".disconnect()" "closes the session after the answers it is owed";
    "reset" ".reset()" "closes the session at once, with a RST";
    "corrupt_record" ".corrupt_record(\"checksum\" or \"value\")" "turns a bit: the checksum fails, or it holds over another value";
    "poison" ".poison(\"truncated_json\" or \"bad_utf8\" or \"schema_id\", id or \"random_bytes\", n)" "makes values their reader cannot make sense of";
    "duplicate_records" ".duplicate_records()" "stores produced records twice";
    "reorder" ".reorder()" "changes the places of the records of a batch";
    "drop_records" ".drop_records()" "leaves records out: told to be stored, or never read";
    "tombstone" ".tombstone()" "makes values null";
    "strip_headers" ".strip_headers()" "takes all headers off";
    "skew_timestamps" ".skew_timestamps(\"-1h\")" "moves timestamps";
    "oversize" ".oversize(\"2MB\")" "lets values grow to a size, by blanks";
    "compression_bomb" ".compression_bomb(\"32MB\")" "makes values zeros that compress to almost nothing";
    "slow_broker" ".slow_broker(\"20ms\")" "serves one exchange after the other, each for a time";
    "throttle" ".throttle(\"5s\")" "tells the client that it must wait (KIP-219)";
    "duplicate_request" ".duplicate_request()" "sends the request upstream twice";
    "sasl_fail" ".sasl_fail(\"PLAIN\"?)" "refuses a login that is right; or, at SaslHandshake, a mechanism that is there";
    "sasl_expire" ".sasl_expire(\"30s\")" "a login is good for so long: who has not logged in again by then is closed (KIP-368)";
    "hold_until" ".hold_until(\"EndTxn\", name?, \"30s\")" "the request waits until another exchange of this api (about something so named) has come, or the time is over";
    "lose_commit" ".lose_commit()" "a commit is carried out, never answered";
    "delay_commit" ".delay_commit(\"30s\")" "a commit is carried out, answered later";
    "truncate_fetch" ".truncate_fetch(\"1KB\")" "cuts what is fetched, in the middle of a batch";
    "empty_fetch" ".empty_fetch()" "fetches nothing, though something is there";
    "stale_high_watermark" ".stale_high_watermark(n)" "says that the partition ends n records before its end";
    "leader_moves" ".leader_moves()" "metadata names another leader";
    "no_leader" ".no_leader()" "metadata names no leader";
    "stale_metadata" ".stale_metadata(\"30s\"?)" "metadata tells of topics as they were so long ago, or when the rule first saw them";
    "broker_missing" ".broker_missing(id?)" "metadata leaves a broker out";
    "wrong_address" ".wrong_address(\"10.255.255.1\", 9092)" "metadata and FindCoordinator name an address where nobody is";
    "api_versions" ".api_versions(\"Fetch\", 11)" "offers an api up to a version only; without one, not at all";
    "refuse" ".refuse()" "closes a session with a RST as soon as it is there";
    "storm" ".storm()" "drops every session that the rule has matched, at once";
    "close_after" ".close_after(\"bytes\" or \"requests\", n)" "ends a session after so many bytes or answers";
    "tls_fail" ".tls_fail(\"unknown_ca\"), .tls_fail(\"untrusted\"), .tls_fail(\"certificate\", secret(name))" "fails the TLS handshake: with this alert, or with a certificate to refuse";
    "half_open" ".half_open()" "accepts a session and never answers";
    "blackhole" ".blackhole(\"up\" or \"down\"?)" "what is sent does not arrive";
    "slow_close" ".slow_close(\"5s\")" "the end of a connection arrives later";
    "stall" ".stall(bytes, time?, way?)" "nothing more arrives after so many bytes, for a time or for good";
    "latency" ".latency(\"100ms\" or uniform, normal, pareto, way?)" "every frame arrives later";
    "bandwidth" ".bandwidth(\"64KB\", burst?, way?)" "lets so many bytes a second through";
    "fragment" ".fragment(size, gap?, way?)" "cuts the stream into pieces, each so long after the last";
    "corrupt_bytes" ".corrupt_bytes(p, way?)" "turns a bit in each byte with this probability";
    "slow_disk" ".slow_disk(\"50ms\" or uniform, normal, pareto)" "a disk operation takes longer";
    "disk_full" ".disk_full()" "a write finds no space: the partition goes offline";
    "fsync_error" ".fsync_error()" "a sync fails: the partition goes offline";
    "pause" ".pause(\"5s\"), on_broker().during(…).pause()" "the embedded broker stands still, for everybody";
    "truncate_log" ".truncate_log(n)" "after the exchange the partition loses its last n records";
    "crash_at" ".crash_at(\"before\" or \"after\")" "ends the process at a disk operation, as kill -9 would";
    "offset_out_of_range" ".offset_out_of_range()" "answers fetches as if their offset were not there any more";
    "unknown_topic" ".unknown_topic()" "denies that a topic is there; with `every(2)` it flaps";
    "coordinator_moves" ".coordinator_moves()" "says that the coordinator is elsewhere: clients look for it again";
    "coordinator_loading" ".coordinator_loading()" "says that the coordinator is still reading its state";
    "coordinator_not_available" ".coordinator_not_available()" "says that there is no coordinator now";
    "rebalance" ".rebalance()" "tells members to join again, though the group has not changed";
    "fence_member" ".fence_member()" "says that another member has this one's static name";
    "evict_member" ".evict_member()" "does not know the member any more";
    "skew_generation" ".skew_generation()" "says that the member's generation is an old one";
    "fence_epoch" ".fence_epoch()" "says that the member's epoch is an old one (KIP-848)";
    "fence_producer" ".fence_producer()" "says that a newer producer has this one's id";
    "concurrent_transactions" ".concurrent_transactions()" "says that the transaction before is not at its end yet";
    "out_of_order_sequence" ".out_of_order_sequence()" "says that a batch is missing before this one";
    "uniform" "uniform(\"100ms\", \"300ms\")" "a time, every one between alike";
    "normal" "normal(\"200ms\", \"50ms\")" "a time by mean and deviation";
    "pareto" "pareto(\"10ms\", 1.5)" "a time with a heavy tail";
    "keep_first" "keep_first(n)" "masks all but the first n characters";
    "keep_last" "keep_last(n)" "masks all but the last n characters";
    "hash" "hash(secret(name))" "replaces by a keyed hash: equal values stay joinable";
    "replace" "replace(text)" "replaces by a text";
    "pattern" "pattern(regex, text)" "replaces what a regular expression finds";
    "to_null" "to_null()" "replaces by null";
    "secret" "secret(name)" "a key from a file or the environment";
    "schema" "schema(file, #{ framed: true, ids: [7], message: \"a.B\" })" "a JSON Schema (.json), Avro (.avsc) or Protobuf (.proto, with its message) schema of the folder of schemas; framed: values begin with a schema registry's id, one of ids if these are said";
    "test" "test(name, || …)" "a test, run by `tollgate policy test`";
    "produced" "produced(topic, value, #{…})" "in a test: what a producer would be told";
    "fetched" "fetched(topic, value, #{…})" "in a test: what a consumer would see";
    "requested" "requested(api, #{…})" "in a test: what a client would be told";
    "connected" "connected(#{…})" "in a test: what a client that connects would meet";
    "disk" "disk(operation, topic, #{…})" "in a test: what \"append\", \"sync\" or \"read\" of a log's files would meet";
    "expect" "expect(x)" "in a test: begins an expectation";
    "to_equal" ".to_equal(v)" "expects this value";
    "to_be_denied" ".to_be_denied()" "expects a refusal by a security rule";
    "to_fail_with" ".to_fail_with(code)" "expects this error";
    "to_be_delayed_by" ".to_be_delayed_by(\"100ms\", \"300ms\")" "expects a delay between two times";
    "to_be_routed_to" ".to_be_routed_to(topic)" "expects that the record went to this topic; what was seen is the letter there";
    "to_be_throttled_by" ".to_be_throttled_by(\"100ms\", \"1s\")" "expects that the answer says to wait, between two times";
    "to_expire_after" ".to_expire_after(\"10s\", \"1m\")" "expects that a login is good for so long, between two times";
    "to_be_held_until" ".to_be_held_until(\"EndTxn\")" "expects that the request waits for another exchange";
    "to_be_lost" ".to_be_lost()" "expects that no answer comes";
    "to_be_closed" ".to_be_closed()" "expects that the session ends";
    "to_be_struck_by" ".to_be_struck_by(\"latency\")" "expects that this fault is among those injected";
    "to_pass" ".to_pass()" "expects that nothing happened to it";
    "headers" "record.headers(name)" "in a closure: the values of all headers of this name";
    "count" "window.count(key), counter.count(key)" "how many there are under a key";
    "add" "window.add(key, n?), counter.add(key, n?)" "counts under a key, once its record is let through";
    "get" "shared_map.get(key)" "the value under a key; () when there is none";
    "set" "shared_map.set(key, value)" "keeps a value under a key, once its record is let through";
    "remove" "shared_map.remove(key)" "takes a key away, once its record is let through";
}

/// Words of the language that this version does not have.
const LATER: &[&str] = &["broker_down", "broker_up"];

/// What is said about a function that Rhai did not find, given as `name (types)`.
pub fn explain_missing(signature: &str) -> String {
    let name = signature.split([' ', '(']).next().unwrap_or(signature);
    if LATER.contains(&name) {
        return format!("`{name}` is not available yet");
    }
    if matches!(name, "sleep" | "timestamp" | "rand" | "random" | "open_file" | "fetch" | "http_get") {
        return format!(
            "`{name}` is not there: a policy has no clock, no random, no files and no network of its own"
        );
    }
    match WORDS.iter().find(|word| word.name == name) {
        Some(word) => format!("`{name}` is not used like this: it is {}", word.usage),
        None => {
            let arguments = signature.get(name.len()..).unwrap_or_default().trim();
            format!(
                "there is no `{name}`{}{}",
                nearest(name, WORDS.iter().map(|w| w.name)),
                match arguments {
                    "" | "()" => String::new(),
                    arguments => format!(" (called with {arguments})"),
                }
            )
        }
    }
}

/// `; did you mean …?` when a known name is near.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let name = name.to_ascii_lowercase();
    let most = (name.len() / 3).clamp(1, 4);
    known
        .map(|known| (distance(&name, &known.to_ascii_lowercase()), known))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map_or_else(String::new, |(_, known)| format!("; did you mean \"{known}\"?"))
}

/// Insertions, deletions, replacements and swaps of neighbours between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_words_are_explained() {
        for (signature, says) in [
            ("broker_down (i64)", "`broker_down` is not available yet"),
            ("dney (rule)", "did you mean \"deny\"?"),
            ("chance (rule)", "it is .chance(p)"),
            ("sleep (i64)", "no clock"),
            ("frobnicate (i64)", "there is no `frobnicate` (called with (i64))"),
        ] {
            let said = explain_missing(signature);
            assert!(said.contains(says), "{signature}: {said}");
        }
    }

    #[test]
    fn no_word_is_both_here_and_later() {
        assert!(WORDS.iter().all(|word| !LATER.contains(&word.name)));
    }

    #[test]
    fn every_word_that_scripts_have_is_listed() {
        use super::super::call::{Form, registered};
        let made =
            registered::during(|| drop(super::super::engine::engine(&super::super::host::Host::new())));
        let words = made.iter().filter(|signature| !matches!(signature.form, Form::Member(_)));
        let registered: std::collections::BTreeSet<_> = words.map(|signature| signature.word).collect();
        assert!(registered.len() > 100, "{registered:?}");
        let listed = |name: &&str| WORDS.iter().any(|word| word.name == *name);
        let missing: Vec<_> = registered.iter().filter(|name| !listed(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let gone: Vec<_> = WORDS.iter().map(|w| w.name).filter(|name| !registered.contains(name)).collect();
        assert!(gone.is_empty(), "{gone:?}");
    }

    #[test]
    fn distances() {
        for (a, b, n) in [
            ("deny", "dney", 1),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("same", "same", 0),
            ("ab", "ba", 1),
            ("abcdefg", "abcedfg", 1),
        ] {
            assert_eq!(distance(a, b), n, "{a} {b}");
        }
        assert_eq!(nearest("xyz", ["deny"].into_iter()), "");
        assert_eq!(nearest("dny", ["mask", "deny"].into_iter()), "; did you mean \"deny\"?");
    }
}
