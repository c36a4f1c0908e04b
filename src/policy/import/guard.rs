//! Plugins that guard what clients may ask for.

use super::chaos::Plugin;
use super::sheet::{Sheet, Told, escaped, number, short};
use super::text::{globs, literal};
use serde_json::{Map, Value};

pub fn plugin(class: &str) -> Option<Plugin> {
    Some(match class {
        "CreateTopicPolicyPlugin" => |sheet| topics(sheet, true),
        "AlterTopicConfigPolicyPlugin" => |sheet| topics(sheet, false),
        "ProducePolicyPlugin" => produce,
        "TopicRequiredSchemaIdPolicyPlugin" => schema_id,
        "ClientIdRequiredPolicyPlugin" => client_id,
        "ConsumerGroupPolicyPlugin" => groups,
        "ReadOnlyTopicPolicyPlugin" => read_only,
        "ProducerRateLimitingPolicyPlugin" => produce_rate,
        _ => return None,
    })
}

/// Plugins that are known, and why no rule says what they do.
pub fn without_equal(class: &str) -> Option<&'static str> {
    Some(match class {
        "EncryptSchemaBasedPlugin" | "FetchEncryptPlugin" | "FetchEncryptSchemaBasedPlugin" => {
            "fields are encrypted by their paths, when they are produced"
        }
        "LimitConnectionPolicyPlugin" => {
            "Kafka's own quotas do that: kafka-configs --add-config connection_creation_rate=…"
        }
        "LimitCommitOffsetPolicyPlugin" | "LimitJoinGroupPolicyPlugin" => {
            "there is no limit on how often a group asks"
        }
        "AlterBrokerConfigPolicyPlugin" => "say who may alter them: on_access(\"AlterConfigs\").cluster()",
        "AclsInterceptorPlugin" => "switch ACLs on in the settings: authorizer.class.name",
        "FetchPolicyPlugin" => "what a fetch asks for is not limited",
        "SchemaPayloadValidationPolicyPlugin" => "values are not held against schemas of a registry",
        "DataQualityProducerPlugin" | "VirtualSqlTopicPlugin" | "CelTopicPlugin" => {
            "there is no SQL and no CEL; see .value(…) and .each(…)"
        }
        "LargeMessageHandlingPlugin" | "LargeBatchHandlingPlugin" => "payloads are not kept elsewhere",
        "CacheInterceptorPlugin" => "nothing is cached",
        "AuditPlugin" => "see .audit()",
        _ => return None,
    })
}

/// Settings of topics that are whole numbers.
const NUMBERS: &[&str] = &[
    "deleteRetentionMs",
    "fileDeleteDelayMs",
    "flushMessages",
    "flushMs",
    "indexIntervalBytes",
    "maxCompactionLagMs",
    "maxMessageBytes",
    "messageTimestampDifferenceMaxMs",
    "minCleanableDirtyRatio",
    "minCompactionLagMs",
    "minInsyncReplicas",
    "retentionBytes",
    "retentionMs",
    "segmentBytes",
    "segmentIndexBytes",
    "segmentJitterMs",
    "segmentMs",
];
/// Those of which -1 is without limit.
const UNLIMITED: &[&str] = &["retentionBytes", "retentionMs"];
/// Those that are one of some values.
const VALUES: &[&str] = &[
    "cleanupPolicy",
    "compressionType",
    "messageTimestampType",
    "preallocate",
    "uncleanLeaderElectionEnable",
    "messageDownconversionEnable",
];

/// Those of them that are true or false.
const TRUTHS: &[&str] = &["preallocate", "uncleanLeaderElectionEnable", "messageDownconversionEnable"];

/// `retentionMs` as Kafka writes it: `retention.ms`.
fn dotted(name: &str) -> String {
    name.chars()
        .flat_map(|c| if c.is_ascii_uppercase() { vec!['.', c.to_ascii_lowercase()] } else { vec![c] })
        .collect()
}

/// A limit's object, and what becomes of who breaks it. It says what is wanted in some fields.
fn limit<'a>(
    sheet: &mut Sheet<'a>,
    field: &'a str,
    wanted: &[&str],
) -> Option<(&'a Map<String, Value>, &'static str)> {
    let object = sheet.typed(field, "an object", Value::as_object).ok()??;
    let reaction = ["action", "overrideValue", "throttleTimeMs"];
    for key in object.keys().filter(|key| !wanted.iter().chain(&reaction).any(|known| known == key)) {
        sheet.lost_field(&format!("{field}.{key}"), "this field is not known");
    }
    let action = sheet.action(&format!("{field}.action"), object.get("action")).ok()?;
    Some((object, action))
}

/// The fields of a limit that has bounds.
const BOUNDS: &[&str] = &["min", "max"];

/// The bounds of a limit, from `least` to `most`: those that can be read.
fn bounds(
    sheet: &mut Sheet<'_>,
    field: &str,
    object: &Map<String, Value>,
    (least, most): (f64, f64),
    whole: bool,
) -> [Option<f64>; 2] {
    let wanted = format!("a {}number from {least} to {most}", if whole { "whole " } else { "" });
    let fits = |n: &f64| (least..=most).contains(n) && !(whole && n.fract() != 0.0);
    let bounds = ["min", "max"]
        .map(|name| sheet.inner(object, field, name, &wanted, |value| number(value).filter(fits)));
    if bounds == [Ok(None), Ok(None)] {
        sheet.lost_field(field, "it has neither `min` nor `max`");
    }
    bounds.map(|bound| bound.ok().flatten())
}

/// The values that a limit allows, as arguments.
fn allowed(sheet: &mut Sheet<'_>, field: &str, object: &Map<String, Value>) -> Result<Vec<String>, Told> {
    let list = sheet.inner(object, field, "values", "a list", Value::as_array)?;
    let one = object.get("value").filter(|value| !value.is_null());
    let values = match (list, one) {
        (Some(list), None) => list.as_slice(),
        (None, Some(one)) => std::slice::from_ref(one),
        (None, None) => &[],
        (Some(list), Some(_)) => {
            sheet.lost_field(&format!("{field}.value"), "beside `values` it is not read");
            list.as_slice()
        }
    };
    let mut texts = Vec::new();
    let truths = TRUTHS.contains(&field);
    for value in values {
        match value {
            Value::String(text) if !truths || text == "true" || text == "false" => {
                texts.push(literal(&escaped(text)));
            }
            Value::Bool(truth) if truths => texts.push(literal(if *truth { "true" } else { "false" })),
            other => {
                let wanted = if truths { "true or false" } else { "a text" };
                sheet.lost_field(field, &format!("a value is {wanted}, not {}", short(other)));
            }
        }
    }
    if texts.is_empty() {
        sheet.lost_field(field, "it names no value");
    }
    Ok(texts)
}

fn topics(sheet: &mut Sheet<'_>, made: bool) -> Result<(), Told> {
    let topics = sheet.topics();
    let mut limits: Vec<(String, &'static str)> = Vec::new();
    if made {
        for (field, ours) in [("numPartition", "partitions"), ("replicationFactor", "replication")] {
            let Some((object, action)) = limit(sheet, field, BOUNDS) else { continue };
            let most = f64::from(i32::MAX);
            let [least, last] = bounds(sheet, field, object, (0.0, most), true);
            if least.is_none() && last.is_none() {
                continue;
            }
            let (least, most) = (least.unwrap_or(1.0), last.unwrap_or(most));
            limits.push((format!("{ours}: {least}..={most}"), action));
        }
        if let Some((object, action)) = limit(sheet, "namingConvention", &["value"]) {
            match object.get("value").and_then(Value::as_str) {
                Some(regex) if regex.len() <= 900 => {
                    limits.push((format!("names: {}", literal(&format!("/{regex}/"))), action));
                }
                _ => sheet.lost_field("namingConvention.value", "a regular expression is wanted"),
            }
        }
    }
    for field in NUMBERS {
        let Some((object, action)) = limit(sheet, field, BOUNDS) else { continue };
        let [least, most] = bounds(sheet, field, object, (i64::MIN as f64, i64::MAX as f64), false);
        if UNLIMITED.contains(field) && least.is_some() != most.is_some() {
            let what = "-1, without limit, is below every bound there; here it is above";
            sheet.differs(&format!("{field}.{}", if least.is_some() { "min" } else { "max" }), what);
        }
        let bounds = [(">=", least), ("<=", most)];
        for (sign, bound) in bounds.into_iter().filter_map(|(sign, bound)| Some((sign, bound?))) {
            limits.push((format!("configs: #{{ {}: \"{sign} {bound}\" }}", literal(&dotted(field))), action));
        }
    }
    for field in VALUES {
        let Some((object, action)) = limit(sheet, field, &["value", "values"]) else { continue };
        let Ok(texts) = allowed(sheet, field, object) else { continue };
        if !texts.is_empty() {
            let list = texts.join(", ");
            limits.push((format!("configs: #{{ {}: [{list}] }}", literal(&dotted(field))), action));
        }
    }
    let topics = topics?;
    if !limits.is_empty() {
        sheet.differs("", "it holds however a topic is made, grown or configured");
    }
    for (limit, action) in limits {
        sheet.protect(&format!("on_create({topics})"), &format!("{action}.limit(#{{ {limit} }})"));
    }
    Ok(())
}

fn produce(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    let topics = sheet.topics();
    let header = limit(sheet, "recordHeaderRequired", &["value"]);
    let transaction = limit(sheet, "transactionRequired", &["value"]);
    let version = limit(sheet, "version", BOUNDS);
    for field in ["acks", "compressions", "idempotenceRequired"] {
        if sheet.value(field).is_some() {
            sheet.lost_field(field, "how a client produces is not looked at");
        }
    }
    let head = format!("on_produce({})", topics?);
    let is = |object: &Map<String, Value>, wanted: bool| object.get("value") == Some(&Value::Bool(wanted));
    match header {
        Some((object, action)) if is(object, true) => {
            sheet.protect(&head, &format!("{action}.require_header(\"*\")"))
        }
        Some((object, action)) if is(object, false) => {
            sheet.protect(&head, &format!("{action}.header(\"*\").deny(\"Headers are not allowed\")"));
        }
        Some(_) => sheet.lost_field("recordHeaderRequired.value", "it is true or false"),
        None => {}
    }
    if let Some((object, action)) = transaction {
        let none = "cx.transactional_id == () || cx.transactional_id == \"\"";
        match (is(object, true), is(object, false)) {
            (true, _) => sheet
                .protect(&head, &format!("{action}.when(|cx| {none}).deny(\"Transactions are required\")")),
            (_, true) => {
                sheet.protect(
                    &head,
                    &format!("{action}.when(|cx| !({none})).deny(\"Transactions are not allowed\")"),
                );
            }
            _ => sheet.lost_field("transactionRequired.value", "it is true or false"),
        }
    }
    if let Some((object, action)) = version {
        let [least, most] = bounds(sheet, "version", object, (0.0, 1_000.0), true);
        let tests = [("<", least), (">", most)]
            .map(|(sign, bound)| bound.map(|bound| format!("cx.version {sign} {bound}")));
        let tests: Vec<String> = tests.into_iter().flatten().collect();
        if !tests.is_empty() {
            let test = tests.join(" || ");
            sheet.protect(
                &head,
                &format!("{action}.when(|cx| {test}).deny(\"This version of Produce is not allowed\")"),
            );
        }
    }
    Ok(())
}

fn schema_id(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    let (topics, action) = (sheet.topics(), sheet.value("action"));
    let action = sheet.action("action", action);
    let required = sheet.value("schemaIdRequired");
    let (topics, action) = (topics?, action?);
    let begins = "record.value() != () && record.value().starts_with(\"\\x00\")";
    let test = match required {
        Some(Value::Bool(true)) => format!("if !({begins}) {{ cx.deny(\"SchemaId is required\"); }}"),
        Some(Value::Bool(false)) => format!("if {begins} {{ cx.deny(\"SchemaId is not allowed\"); }}"),
        _ => {
            sheet.lost_field("schemaIdRequired", "it is true or false");
            return Err(Told);
        }
    };
    sheet.differs("schemaIdRequired", "a value has a schema id when it begins with a zero byte");
    sheet.protect(&format!("on_produce({topics})"), &format!("{action}.each(|cx, record| {{ {test} }})"));
    Ok(())
}

/// `name` against a glob without `?`, as an expression; None where that needs more.
fn matches(name: &str, glob: &str) -> Option<String> {
    let plain = |text: &str| !text.contains(['*', '?', '\\']);
    match (glob, glob.strip_suffix('*'), glob.strip_prefix('*')) {
        ("*", ..) => Some("true".to_owned()),
        (exact, ..) if plain(exact) => Some(format!("{name} == {}", literal(exact))),
        (_, Some(start), _) if plain(start) => Some(format!("{name}.starts_with({})", literal(start))),
        (_, _, Some(end)) if plain(end) => Some(format!("{name}.ends_with({})", literal(end))),
        _ => None,
    }
}

fn client_id(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    let action = sheet.value("action");
    let action = sheet.action("action", action);
    if sheet.value("clientIdTemplate").is_some() {
        sheet.lost_field("clientIdTemplate", "a client id is never written over");
    }
    let regex = sheet.text("namingConvention")?;
    let action = action?;
    let Some(regex) = regex else { return Err(Told) };
    let globs = globs(regex);
    let tests: Option<Vec<String>> =
        globs.and_then(|globs| globs.iter().map(|glob| matches("cx.client_id", glob)).collect());
    let Some(tests) = tests else {
        sheet.lost_field("namingConvention", &format!("{regex} is no name, beginning or end"));
        return Err(Told);
    };
    if tests.iter().any(|test| test == "true") {
        sheet.idles("namingConvention", "it allows all");
        return Err(Told);
    }
    sheet.differs(
        "namingConvention",
        "who is refused is told that authorization failed; any client may choose its id",
    );
    let test = tests.join(" || ");
    sheet.protect(
        "on_request(\"*\")",
        &format!("{action}.when(|cx| !({test})).deny(\"The client id is not allowed\")"),
    );
    Ok(())
}

fn groups(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    for field in ["sessionTimeoutMs", "rebalanceTimeoutMs", "memberId", "groupInstanceId"] {
        if sheet.value(field).is_some() {
            sheet.lost_field(field, "of a member only its group is looked at");
        }
    }
    let Some((object, action)) = limit(sheet, "groupId", &["value"]) else { return Err(Told) };
    let Some(regex) = object.get("value").and_then(Value::as_str) else {
        sheet.lost_field("groupId.value", "a regular expression is wanted");
        return Err(Told);
    };
    let all = sheet.globs("groupId.value", regex)?;
    if all == "\"*\"" {
        sheet.idles("groupId.value", "it allows all");
        return Err(Told);
    }
    // all but these
    let others = all.replace(", \"", ", \"!").replacen('"', "\"!", 1);
    sheet.differs("groupId", "who is refused is told that authorization of the group failed");
    sheet.protect(
        "on_request(\"JoinGroup\", \"ConsumerGroupHeartbeat\")",
        &format!(".group({others}){action}.deny(\"The group id is not allowed\")"),
    );
    Ok(())
}

/// What changes a topic, besides Produce.
const CHANGING: &str = "\"DeleteTopics\", \"AlterConfigs\", \"AlterPartitionReassignments\", \"CreatePartitions\", \
                        \"IncrementalAlterConfigs\", \"DeleteRecords\", \"ElectLeaders\", \"AlterReplicaLogDirs\"";

fn read_only(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    let (topics, action) = (sheet.topics(), sheet.value("action"));
    let action = sheet.action("action", action);
    let (topics, action) = (topics?, action?);
    sheet.protect(&format!("on_produce({topics})"), &format!("{action}.deny(\"The topic is read-only\")"));
    let named = if topics.is_empty() { "\"*\"" } else { topics.as_str() };
    let rest = format!(".topic({named}){action}.deny(\"The topic is read-only\")");
    sheet.protect(&format!("on_request({CHANGING})"), &rest);
    Ok(())
}

fn produce_rate(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    let (rate, action) = (sheet.number("maximumBytesPerSecond", 1.0, 1e15), sheet.value("action"));
    let action = sheet.action("action", action);
    let (rate, action) = (rate?, action?);
    let Some(rate) = rate else {
        sheet.lost_field("maximumBytesPerSecond", "it is not there");
        return Err(Told);
    };
    sheet
        .differs("maximumBytesPerSecond", "all producers are counted together there; here each principal is");
    let quota = format!(".quota(\"{}B/s\", \"principal\")", rate.trunc());
    sheet.protect("on_produce()", &format!("{action}{quota}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_equal_is_told_why() {
        for (class, why) in [
            ("EncryptSchemaBasedPlugin", "fields are encrypted by their paths"),
            ("FetchEncryptPlugin", "fields are encrypted by their paths"),
            ("LimitConnectionPolicyPlugin", "connection_creation_rate"),
            ("LimitCommitOffsetPolicyPlugin", "how often a group asks"),
            ("LimitJoinGroupPolicyPlugin", "how often a group asks"),
            ("AlterBrokerConfigPolicyPlugin", "on_access(\"AlterConfigs\").cluster()"),
            ("AclsInterceptorPlugin", "authorizer.class.name"),
            ("FetchPolicyPlugin", "what a fetch asks for"),
            ("SchemaPayloadValidationPolicyPlugin", "schemas of a registry"),
            ("CelTopicPlugin", "no SQL and no CEL"),
            ("LargeMessageHandlingPlugin", "payloads are not kept elsewhere"),
            ("LargeBatchHandlingPlugin", "payloads are not kept elsewhere"),
            ("CacheInterceptorPlugin", "nothing is cached"),
            ("AuditPlugin", "see .audit()"),
        ] {
            assert!(without_equal(class).is_some_and(|told| told.contains(why)), "{class}");
        }
        assert_eq!(without_equal("ProducePolicyPlugin"), None);
    }

    #[test]
    fn a_glob_is_a_name_a_beginning_or_an_end() {
        for (glob, test) in [
            ("*", Some("true")),
            ("abc", Some("c == \"abc\"")),
            ("", Some("c == \"\"")),
            ("ab*", Some("c.starts_with(\"ab\")")),
            ("*ab", Some("c.ends_with(\"ab\")")),
            ("a*b", None),
            ("a?*", None),
            ("*?a", None),
            ("a?", None),
            ("**", None),
            ("\\*a", None),
        ] {
            assert_eq!(matches("c", glob).as_deref(), test, "{glob}");
        }
    }
}
