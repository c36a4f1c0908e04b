//! Encryption on its way through exchanges: who stores what, who reads it, what is counted and written down.

use super::*;

const RULES: &str = r#"
    on_produce("t").named("seal").encrypt("$.card", [secret("k2"), secret("k1")]);
    on_fetch("t").principal("User:bob").named("open").decrypt("$.card", [secret("k2"), secret("k1")]).audit();
"#;
const CLEAR: &str = r#"{"n":1,"card":"4111"}"#;

/// What goes to the upstream of what is produced.
fn sealing(world: &World, parts: &[(&str, &str)]) -> Vec<Bytes> {
    let mut request = producing(parts, 0);
    let verdict = world.ask(&who("User:alice"), &mut request);
    assert!(verdict.parts.is_empty(), "{verdict:?}");
    let RequestBody::Produce(body) = request.body().unwrap() else { panic!() };
    let topics = body.topic_data.iter();
    topics.map(|topic| topic.partition_data[0].records.to_bytes().unwrap()).collect()
}

#[test]
fn who_has_the_rule_reads_what_was_written_and_nobody_else_does() {
    let world = one(RULES);
    let stored = sealing(&world, &[("t", CLEAR), ("u", CLEAR)]);
    let sealed = values(&stored[0]);
    let text = sealed[0].as_ref().unwrap();
    assert!(text.starts_with(r#"{"n":1,"card":"tg1:k2:"#) && !text.contains("4111"), "{text}");
    assert_eq!(values(&stored[1]), some(&[CLEAR]), "another topic");
    assert_eq!((world.counts(0), world.audit().len()), ((1, 1, 0), 0));

    let fetch =
        |principal, topic| world.fetch_payloads(&who(principal), &[(topic, stored[0].clone())], 0).values(0);
    assert_eq!(fetch("User:bob", "t"), some(&[CLEAR]));
    let audit = world.audit();
    assert_eq!((audit.len(), audit[0]["decision"].as_str()), (1, Some("edit")));
    assert_eq!(fetch("User:alice", "t"), sealed);
    assert_eq!(fetch("User:bob", "u"), sealed);
    assert_eq!(world.counts(1), (1, 1, 0));
}

#[test]
fn what_cannot_be_decrypted_stays_and_is_told() {
    let world = one(RULES);
    let sealed = values(&sealing(&world, &[("t", CLEAR)])[0]).remove(0).unwrap();
    let tampered = sealed.replace("\"}", "A\"}");
    let fetched = world.fetch(&who("User:bob"), &[("t", &tampered)]);
    assert_eq!((fetched.values(0), world.counts(1)), (some(&[&tampered]), (1, 0, 1)));
    let audit = world.audit();
    let told = (audit[0]["decision"].as_str(), audit[0]["reason"].as_str(), audit[0]["records"].as_u64());
    assert_eq!((audit.len(), told), (1, (Some("unparsable"), Some("cannot be decrypted"), Some(1))));

    let later = one(&RULES.replace("[secret(\"k2\"), secret(\"k1\")]", "secret(\"k1\")"));
    let fetched = later.fetch(&who("User:bob"), &[("t", &sealed)]);
    assert_eq!((fetched.values(0), later.counts(1)), (some(&[&sealed]), (1, 0, 1)), "its key is gone");
}

#[test]
fn what_cannot_be_parsed_is_not_stored_in_clear() {
    let world = one(RULES);
    assert_eq!(values(&sealing(&world, &[("t", "4111, no JSON")])[0]), some(&[""]));
    assert_eq!((world.counts(0), world.audit()[0]["decision"].as_str()), ((1, 1, 1), Some("unparsable")));
    let refusing = one(r#"on_produce("t").encrypt("$.card", secret("k1")).on_unparsable("error");"#);
    let verdict = refusing.produce(&who("User:alice"), &[("t", "4111, no JSON"), ("u", "x")]);
    assert_eq!(codes(&verdict), [Some(ErrorCode::INVALID_RECORD), None]);
}

#[test]
fn who_only_watches_leaves_things_as_they_are() {
    let world = one(&RULES.replace(");\n", ").observe();\n"));
    let stored = sealing(&world, &[("t", CLEAR)]);
    assert_eq!((values(&stored[0]), world.counts(0)), (some(&[CLEAR]), (1, 1, 0)));
    let audit = world.audit();
    assert_eq!(
        (audit.len(), &audit[0]["decision"], &audit[0]["observed"]),
        (1, &"edit".into(), &true.into())
    );

    let sealed = values(&sealing(&one(RULES), &[("t", CLEAR)])[0]).remove(0).unwrap();
    assert_eq!(world.fetch(&who("User:bob"), &[("t", &sealed)]).values(0), some(&[&sealed]));
    assert_eq!(world.counts(1), (1, 1, 0));
}
