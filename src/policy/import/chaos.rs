//! Plugins that harm on purpose.

use super::sheet::{Sheet, Told, short};
use super::text::literal;
use serde_json::Value;

/// What makes rules of a plugin.
pub type Plugin = fn(&mut Sheet<'_>) -> Result<(), Told>;

pub fn plugin(class: &str) -> Option<Plugin> {
    Some(match class {
        "SimulateBrokenBrokersPlugin" => broken_brokers,
        "SimulateSlowBrokerPlugin" | "SimulateSlowBrokersPlugin" => |sheet| slow(sheet, false),
        "SimulateSlowProducersConsumersPlugin" => |sheet| slow(sheet, true),
        "SimulateLatencyPlugin" => latency,
        "SimulateLeaderElectionsErrorsPlugin" => leader_elections,
        "SimulateInvalidSchemaIdPlugin" => invalid_schema_id,
        "DuplicateMessagesPlugin" | "SimulateDuplicateMessagesPlugin" => duplicate,
        "ProduceSimulateMessageCorruptionPlugin" | "SimulateMessageCorruptionPlugin" => {
            |sheet| corruption(sheet, "on_produce")
        }
        "FetchSimulateMessageCorruptionPlugin" => |sheet| corruption(sheet, "on_fetch"),
        _ => return None,
    })
}

fn broken_brokers(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    let chance = sheet.chance("rateInPercent");
    let errors: Vec<(String, String)> = match sheet.value("errorMap") {
        None => vec![
            ("FETCH".to_owned(), "UNKNOWN_SERVER_ERROR".to_owned()),
            ("PRODUCE".to_owned(), "CORRUPT_MESSAGE".to_owned()),
        ],
        Some(Value::Object(map)) => {
            let mut errors = Vec::new();
            for (api, error) in map {
                match (api.as_str(), error) {
                    ("FETCH" | "PRODUCE", Value::String(error)) => errors.push((api.clone(), error.clone())),
                    _ => sheet.lost_field(
                        &format!("errorMap.{api}"),
                        &format!("FETCH and PRODUCE have errors, as texts, not {}", short(error)),
                    ),
                }
            }
            errors
        }
        Some(other) => {
            sheet.lost_field("errorMap", &format!("an object is wanted, not {}", short(other)));
            return Err(Told);
        }
    };
    let chance = chance?;
    for (api, error) in errors {
        let head = if api == "FETCH" { "on_fetch()" } else { "on_produce()" };
        sheet.fault(head, &format!("{chance}.fail({})", literal(&error)));
    }
    Ok(())
}

/// A time between two, as an argument of `delay`.
fn time(sheet: &mut Sheet<'_>) -> Result<String, Told> {
    let least = sheet.number("minLatencyMs", 0.0, 1e9)?.unwrap_or(0.0).round();
    let most = sheet.number("maxLatencyMs", 0.0, 1e9)?.unwrap_or(least).round();
    match least.total_cmp(&most) {
        std::cmp::Ordering::Less => Ok(format!("uniform(\"{least}ms\", \"{most}ms\")")),
        std::cmp::Ordering::Equal => Ok(format!("\"{least}ms\"")),
        std::cmp::Ordering::Greater => {
            sheet.lost_field("maxLatencyMs", "it is below `minLatencyMs`");
            Err(Told)
        }
    }
}

fn slow(sheet: &mut Sheet<'_>, of_topics: bool) -> Result<(), Told> {
    let (time, chance) = (time(sheet), sheet.chance("rateInPercent"));
    let topics = if of_topics { sheet.topics() } else { Ok(String::new()) };
    let (time, chance, topics) = (time?, chance?, topics?);
    for head in ["on_produce", "on_fetch"] {
        sheet.fault(&format!("{head}({topics})"), &format!("{chance}.delay({time})"));
    }
    Ok(())
}

fn latency(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    let (chance, time) = (sheet.chance("appliedPercentage"), sheet.number("latencyMs", 0.0, 1e9));
    let (chance, time) = (chance?, time?.unwrap_or(0.0).round());
    sheet.fault("on_request(\"*\")", &format!("{chance}.delay(\"{time}ms\")"));
    Ok(())
}

fn leader_elections(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    let chance = sheet.chance("rateInPercent")?;
    sheet.differs("", "LEADER_NOT_AVAILABLE and BROKER_NOT_AVAILABLE are said as well there; here it is NOT_LEADER_OR_FOLLOWER");
    for head in ["on_produce()", "on_fetch()"] {
        sheet.fault(head, &format!("{chance}.fail(\"NOT_LEADER_OR_FOLLOWER\")"));
    }
    Ok(())
}

/// The head that a `target` asks for.
fn target(sheet: &mut Sheet<'_>) -> Result<&'static str, Told> {
    match sheet.text("target")? {
        None | Some("CONSUME") => Ok("on_fetch"),
        Some("PRODUCE") => Ok("on_produce"),
        Some(other) => {
            sheet.lost_field("target", &format!("it is PRODUCE or CONSUME, not {other}"));
            Err(Told)
        }
    }
}

fn invalid_schema_id(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    let (topics, head) = (sheet.topics(), target(sheet));
    let id = sheet.number("invalidSchemaId", 0.0, f64::from(i32::MAX))?;
    let (topics, head) = (topics?, head?);
    if id.is_none() {
        sheet.differs(
            "",
            "without `invalidSchemaId` it is another one each time; here it is always 2147483647",
        );
    }
    let id = id.unwrap_or(f64::from(i32::MAX)).trunc();
    sheet.fault(&format!("{head}({topics})"), &format!(".poison(\"schema_id\", {id})"));
    Ok(())
}

fn duplicate(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    let (topics, chance, head) = (sheet.topics(), sheet.chance("rateInPercent"), target(sheet));
    let (topics, chance, head) = (topics?, chance?, head?);
    if head == "on_fetch" {
        sheet.lost_field(
            "target",
            "clients leave out fetched records whose offsets they have seen; PRODUCE stores them twice",
        );
        return Err(Told);
    }
    sheet.fault(&format!("{head}({topics})"), &format!("{chance}.duplicate_records()"));
    Ok(())
}

fn corruption(sheet: &mut Sheet<'_>, head: &str) -> Result<(), Told> {
    let (topics, chance) = (sheet.topics(), sheet.chance("rateInPercent"));
    let size = sheet.number("sizeInBytes", 1.0, 1e6)?.unwrap_or(10.0).trunc();
    let (topics, chance) = (topics?, chance?);
    sheet.differs("sizeInBytes", "random bytes are appended to the value there; here they take its place");
    sheet.fault(&format!("{head}({topics})"), &format!("{chance}.poison(\"random_bytes\", {size})"));
    Ok(())
}
