//! Values that words take: times, distributions, ways to mask, secrets.

use super::call::{Call, word};
use crate::policy::action::How;
use crate::policy::random::{Distribution, LONGEST};

use rhai::{Dynamic, Engine};
use std::time::Duration;

/// A name that stands for a secret.
#[derive(Clone)]
pub struct SecretName(pub String);

/// `"200ms"`, `"1.5s"`, `"10m"`, `"2h"`, `"7d"`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let fail = || format!("\"{text}\" is not a time; write for example \"200ms\", \"10s\", \"5m\", \"1h\"");
    let trimmed = text.trim();
    let unit_at = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fail)?;
    let (number, unit) = trimmed.split_at(unit_at);
    let seconds = match unit.trim() {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(fail()),
    };
    let time = number.parse::<f64>().map_err(|_| fail())? * seconds;
    // a year bounds what sums of times can become
    match time.is_finite() && time <= 365.0 * 86_400.0 {
        true => Ok(Duration::from_secs_f64(time)),
        false => Err(format!("\"{text}\" is longer than a year")),
    }
}

/// A number of bytes: `4096`, `"64KB"`, `"10MB"`; K is 1024.
pub fn bytes(call: &Call<'_, '_>, at: usize) -> Result<u64, String> {
    let value = call.value(at);
    let wants = || call.wants("a number of bytes such as 4096, \"64KB\" or \"10MB\"", &value);
    if let Ok(number) = value.as_int() {
        return u64::try_from(number).map_err(|_| wants());
    }
    let text = value.is_string().then(|| value.to_string()).ok_or_else(wants)?;
    bytes_of(&text).ok_or_else(wants)
}

/// `"64KB"`.
pub fn bytes_of(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit: u64 = match unit.trim() {
        "" | "B" => 1,
        "KB" | "KiB" => 1 << 10,
        "MB" | "MiB" => 1 << 20,
        "GB" | "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// A time or a distribution, as `delay` takes it.
pub fn distribution(call: &Call<'_, '_>, at: usize) -> Result<Distribution, String> {
    let value = call.value(at);
    let distribution = match value.clone().try_cast::<Distribution>() {
        Some(distribution) => distribution,
        None if value.is_string() => Distribution::Fixed(duration(&value.to_string())?),
        None => {
            let what =
                "a time such as \"200ms\", uniform(a, b), normal(mean, deviation) or pareto(least, shape)";
            return Err(call.wants(what, &value));
        }
    };
    match &distribution {
        Distribution::Fixed(time) if *time > LONGEST => {
            Err(format!("a delay of {time:?} is longer than {LONGEST:?}"))
        }
        _ => Ok(distribution),
    }
}

pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Distribution>("distribution");
    engine.register_type_with_name::<How>("mask");
    engine.register_type_with_name::<SecretName>("secret");

    word(engine, "uniform", 2..=2, |call| {
        let (from, to) = (call.duration(0)?, call.duration(1)?);
        match from <= to && to <= LONGEST {
            true => Ok(Distribution::Uniform { from, to }),
            false => Err(format!("uniform wants its times in order and at most {LONGEST:?}")),
        }
    });
    word(engine, "normal", 2..=2, |call| {
        let (mean, deviation) = (call.duration(0)?, call.duration(1)?);
        match mean <= LONGEST && deviation <= LONGEST {
            true => Ok(Distribution::Normal { mean, deviation }),
            false => Err(format!("normal wants times of at most {LONGEST:?}")),
        }
    });
    word(engine, "pareto", 2..=2, |call| {
        let (least, shape) = (call.duration(0)?, call.number(1)?);
        match shape > 0.0 && least <= LONGEST {
            true => Ok(Distribution::Pareto { least, shape }),
            false => Err("pareto wants a shape above 0; smaller is wilder, 2 is mild".to_owned()),
        }
    });

    word(engine, "keep_first", 1..=1, |call| Ok(How::KeepFirst(call.integer(0, 0)? as usize)));
    word(engine, "keep_last", 1..=1, |call| Ok(How::KeepLast(call.integer(0, 0)? as usize)));
    word(engine, "replace", 1..=1, |call| Ok(How::Replace(call.text(0)?)));
    word(engine, "to_null", 0..=0, |_| Ok(How::ToNull));
    word(engine, "pattern", 2..=2, |call| {
        let (regex, text) = (call.text(0)?, call.text(1)?);
        let built = regex::RegexBuilder::new(&regex).size_limit(1 << 20).build();
        match built {
            Ok(regex) => Ok(How::Pattern { regex, text }),
            Err(error) => Err(format!("`{regex}` is not a regular expression: {error}")),
        }
    });
}

/// `"all"`, `"email"` or a way made by one of the words above.
pub fn how(call: &Call<'_, '_>, at: usize) -> Result<How, String> {
    let value: Dynamic = call.value(at);
    if let Some(how) = value.clone().try_cast::<How>() {
        return Ok(how);
    }
    match value.is_string().then(|| value.to_string()).as_deref() {
        Some("all") => Ok(How::All),
        Some("email") => Ok(How::Email),
        _ => Err(call.wants(
            "\"all\", \"email\", keep_first(n), keep_last(n), hash(secret(name)), replace(text), \
             pattern(regex, text) or to_null()",
            &value,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, millis) in [
            ("200ms", 200.0),
            ("1.5s", 1_500.0),
            ("5m", 300_000.0),
            ("1h", 3_600_000.0),
            ("2d", 172_800_000.0),
        ] {
            assert_eq!(duration(text).unwrap().as_secs_f64() * 1_000.0, millis, "{text}");
        }
        for bad in ["", "5", "ms", "5 parsecs", "-1s", "1e400s", "1..5s", "400d", "NaNs"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
