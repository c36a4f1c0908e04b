//! Toxiproxy's toxics: their names, their attributes, and what those are when nobody says.

use serde_json::{Map, Value, json};

/// Times in milliseconds but for the slicer's, which is in microseconds; rates in thousands of bytes a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toxic {
    Latency { latency: i64, jitter: i64 },
    Bandwidth { rate: i64 },
    SlowClose { delay: i64 },
    Timeout { timeout: i64 },
    ResetPeer { timeout: i64 },
    Slicer { average_size: i64, size_variation: i64, delay: i64 },
    LimitData { bytes: i64 },
}

impl Toxic {
    /// One of this kind that does nothing yet.
    pub fn of_kind(kind: &str) -> Option<Toxic> {
        Some(match kind {
            "latency" => Toxic::Latency { latency: 0, jitter: 0 },
            "bandwidth" => Toxic::Bandwidth { rate: 0 },
            "slow_close" => Toxic::SlowClose { delay: 0 },
            "timeout" => Toxic::Timeout { timeout: 0 },
            "reset_peer" => Toxic::ResetPeer { timeout: 0 },
            "slicer" => Toxic::Slicer { average_size: 0, size_variation: 0, delay: 0 },
            "limit_data" => Toxic::LimitData { bytes: 0 },
            _ => return None,
        })
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Toxic::Latency { .. } => "latency",
            Toxic::Bandwidth { .. } => "bandwidth",
            Toxic::SlowClose { .. } => "slow_close",
            Toxic::Timeout { .. } => "timeout",
            Toxic::ResetPeer { .. } => "reset_peer",
            Toxic::Slicer { .. } => "slicer",
            Toxic::LimitData { .. } => "limit_data",
        }
    }

    fn fields(&mut self) -> Vec<(&'static str, &mut i64)> {
        match self {
            Toxic::Latency { latency, jitter } => vec![("latency", latency), ("jitter", jitter)],
            Toxic::Bandwidth { rate } => vec![("rate", rate)],
            Toxic::SlowClose { delay } => vec![("delay", delay)],
            Toxic::Timeout { timeout } | Toxic::ResetPeer { timeout } => vec![("timeout", timeout)],
            Toxic::Slicer { average_size, size_variation, delay } => {
                vec![("average_size", average_size), ("size_variation", size_variation), ("delay", delay)]
            }
            Toxic::LimitData { bytes } => vec![("bytes", bytes)],
        }
    }

    /// Takes what is there of its attributes; the rest stays. What it does not know it leaves alone, as Toxiproxy does.
    pub fn update(&mut self, attributes: &Map<String, Value>) -> Result<(), String> {
        for (name, field) in self.fields() {
            match attributes.get(name) {
                None | Some(Value::Null) => {}
                Some(value) => {
                    *field = value
                        .as_i64()
                        .ok_or_else(|| format!("attribute {name} wants a whole number, not {value}"))?;
                }
            }
        }
        Ok(())
    }

    pub fn attributes(&self) -> Value {
        let mut copy = self.clone();
        let fields = copy.fields().into_iter().map(|(name, value)| (name.to_owned(), json!(*value)));
        Value::Object(fields.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_taken_one_by_one() {
        let mut toxic = Toxic::of_kind("latency").unwrap();
        let update = |toxic: &mut Toxic, value: Value| toxic.update(value.as_object().unwrap());
        update(&mut toxic, json!({ "latency": 100, "other": "x" })).unwrap();
        update(&mut toxic, json!({ "jitter": 5 })).unwrap();
        assert_eq!(toxic, Toxic::Latency { latency: 100, jitter: 5 });
        assert_eq!(toxic.attributes(), json!({ "latency": 100, "jitter": 5 }));
        for wrong in [json!("100"), json!(1.5), json!(true)] {
            assert!(update(&mut toxic, json!({ "latency": wrong })).is_err());
        }
        assert_eq!(Toxic::of_kind("noop"), None);
    }
}
