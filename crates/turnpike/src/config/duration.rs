//! Spans of time as people write them: `500ms`, `20s`, `5m`, `24h`, `30d`.

use std::time::Duration;

/// Parses one number with one unit. Two units in one text (`1h30m`) are refused rather than half
/// understood.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no span of time; write a number and a unit: 500ms, 20s, 5m, 24h, 30d");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_a_unit_is_a_span() {
        for (text, ms) in [("0ms", 0), ("500ms", 500), ("20s", 20_000), ("5m", 300_000), ("24h", 86_400_000), ("30d", 2_592_000_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_examples() {
        for text in ["", "20", "s", "1h30m", "-5s", "1.5s", "5 s", "99999999999999999999d", "18446744073709551615d"] {
            let problem = parse_duration(text).expect_err(text);
            assert!(problem.contains("20s"), "{problem}");
        }
    }
}
