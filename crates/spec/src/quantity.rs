//! Durations and quantities, as people write them in specs.

use std::sync::LazyLock;

use regex::Regex;

/// The longest duration that means something: ten years.
pub const MAX_SECONDS: u64 = 3650 * 24 * 3600;

static QUANTITY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]+)?$")
        .ok()
});

/// Whether a text is a Kubernetes quantity such as `500m`, `1Gi` or `4`.
#[must_use]
pub fn is_quantity(text: &str) -> bool {
    QUANTITY.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

/// The number that a quantity stands for, as exactly as a float can.
#[must_use]
pub fn number(text: &str) -> Option<f64> {
    if !is_quantity(text) {
        return None;
    }
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0_f64.powi(2),
        "Gi" => 1024.0_f64.powi(3),
        "Ti" => 1024.0_f64.powi(4),
        "Pi" => 1024.0_f64.powi(5),
        "Ei" => 1024.0_f64.powi(6),
        _ => return None,
    };
    digits.parse::<f64>().ok().map(|number| number * factor)
}

/// Seconds of a duration such as `72h`, `7d` or `1h30m`.
///
/// # Errors
/// What is wrong with the text, in words that follow its quotation.
pub fn seconds(text: &str) -> Result<u64, &'static str> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err("is negative");
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        if digits == 0 {
            return Err("is not a duration");
        }
        let unit_len = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(unit_len);
        let factor = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 24 * 3600,
            "w" => 7 * 24 * 3600,
            _ => return Err("is not a duration"),
        };
        let number: u64 = number.parse().map_err(|_| "is too long")?;
        total = number.checked_mul(factor).and_then(|part| total.checked_add(part)).ok_or("is too long")?;
        rest = tail;
    }
    if text.is_empty() {
        return Err("is not a duration");
    }
    if total > MAX_SECONDS { Err("is too long") } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(seconds("72h"), Ok(259_200));
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert_eq!(seconds("7d"), Ok(604_800));
        assert_eq!(seconds("0s"), Ok(0));
        for bad in ["", "forever", "-1h", "12", "1.5h", "h", "99999999999999999999h", "9999w", "1y"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers() {
        for (text, wanted) in [
            ("500m", 0.5),
            ("1Gi", 1_073_741_824.0),
            ("4", 4.0),
            ("1e3", 1000.0),
            ("2k", 2000.0),
            ("3E", 3e18),
        ] {
            assert_eq!(number(text), Some(wanted), "{text}");
        }
        assert_eq!(number("1GB"), None);
    }

    #[test]
    fn quantities() {
        for good in ["1", "500m", "1Gi", "0.5", "1e3", "100k"] {
            assert!(is_quantity(good), "{good}");
        }
        for bad in ["", "1GB", "Gi", "1 Gi", "one", "1gi"] {
            assert!(!is_quantity(bad), "{bad}");
        }
    }
}
