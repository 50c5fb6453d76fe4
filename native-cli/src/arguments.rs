//! Values of arguments in more forms than one.

use std::time::Duration;

use jiff::SignedDuration;

/// A number of bytes: plain, or with a unit of 1024 or its powers (64k, 16MiB, 1g).
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().map_err(|_| "not a number of bytes".to_owned())?;
    let unit = unit.trim().to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err("unknown unit; k, m, g and t are known".to_owned()),
    };
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

/// A length of time: 90s, 2m30s; a plain number is of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let parsed = text.parse::<SignedDuration>();
    let parsed = parsed.map_err(|_| "not a length of time, such as 90s or 2m".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "a length of time can't be negative".to_owned())
}

/// A number of things of which there has to be one.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("there has to be at least one".to_owned()),
        number => number.map_err(|_| "not a number".to_owned()),
    }
}

/// A part of a whole, as percentage (30) or share (0.3).
pub(crate) fn part(text: &str) -> Result<f64, String> {
    let number: f64 = text.trim_end_matches('%').parse().map_err(|_| "not a number".to_owned())?;
    // One percent as a percentage would be 1: nobody asks for everything.
    let part = if number >= 1.0 || text.ends_with('%') { number / 100.0 } else { number };
    match (0.0..=1.0).contains(&part) {
        true => Ok(part),
        false => Err("not between 0 and 100".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_with_and_without_unit() {
        for (text, value) in [("0", 0), ("4194304", 4 << 20), ("64k", 65536), ("16 MiB", 16 << 20)]
        {
            assert_eq!(bytes(text), Ok(value), "{text}");
        }
        assert_eq!(bytes("2gb"), Ok(2 << 30));
        for text in ["", "k", "1x", "-1", "99999999t"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_with_and_without_unit() {
        assert_eq!(duration("60"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("2m30s"), Ok(Duration::from_secs(150)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("-5s").is_err());
        assert!(duration("soon").is_err());
    }

    #[test]
    fn parts_as_percentages_and_shares() {
        for (text, value) in [("30", 0.3), ("30%", 0.3), ("0.3", 0.3), ("0", 0.0), ("100", 1.0)] {
            assert_eq!(part(text), Ok(value), "{text}");
        }
        assert!(part("101").is_err());
    }
}
