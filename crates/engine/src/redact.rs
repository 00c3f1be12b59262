//! What a program logs may hold the secrets of its environment, and a comment or a CI log is read by more people
//! than those who may read them.

use base64::Engine as _;
use serde_json::Value;
use spec::Diagnostic;

use crate::{Result, Session, read};

/// Shorter values would blacken ordinary words.
const SHORTEST: usize = 4;

/// The findings without any value of the Secrets in the environment's namespace. Log lines are left out
/// altogether where the Secrets cannot be read.
pub(crate) async fn redacted(
    session: &Session,
    namespace: &str,
    mut found: Vec<Diagnostic>,
) -> Vec<Diagnostic> {
    match values(session, namespace).await {
        Ok(values) => {
            for finding in &mut found {
                finding.cause = without(&finding.cause, &values);
                finding.detail.iter_mut().for_each(|line| *line = without(line, &values));
            }
        }
        Err(_) => {
            for finding in &mut found {
                finding.cause = "it failed; what it said is left out".to_owned();
                finding.detail =
                    vec!["(the Secrets that may be in it cannot be read; run `mimeo status`)".to_owned()];
            }
        }
    }
    found
}

/// Every spelling of every value of the Secrets in a namespace, longest first.
pub(crate) async fn values(session: &Session, namespace: &str) -> Result<Vec<String>> {
    let object = read::core("Namespace", None, namespace);
    let resource = session.resource(&object).await?;
    if session.cluster.get(&resource, &object).await?.is_none() {
        return Ok(Vec::new());
    }
    let secrets = read::core("Secret", Some(namespace), "");
    let resource = session.resource(&secrets).await?;
    let listing = session.cluster.list(&resource, Some(namespace), "").await?;
    let encoded = listing
        .items
        .iter()
        .filter_map(|secret| secret.get("data")?.as_object())
        .flat_map(|data| data.values().filter_map(Value::as_str));
    let mut values: Vec<String> =
        encoded.flat_map(spellings).filter(|value| value.len() >= SHORTEST).collect();
    // A value may be a part of another one.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.dedup();
    Ok(values)
}

/// How a value may look in a log: as it is, line by line, in base64 with and without padding, and as a part
/// of a URL.
fn spellings(encoded: &str) -> Vec<String> {
    let mut all = vec![encoded.to_owned(), encoded.trim_end_matches('=').to_owned()];
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).ok();
    let Some(value) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) else { return all };
    for line in value.lines().map(str::trim) {
        all.push(line.to_owned());
        all.push(url::form_urlencoded::byte_serialize(line.as_bytes()).collect());
    }
    all
}

/// The text with every value replaced.
pub(crate) fn without(text: &str, values: &[String]) -> String {
    values.iter().fold(text.to_owned(), |text, value| text.replace(value, "***"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_value_goes() {
        let mut values = spellings("cEBzcy93MHJkClNlY29uZCBsaW5l");
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        for text in ["p@ss/w0rd", "Second line", "p%40ss%2Fw0rd", "cEBzcy93MHJkClNlY29uZCBsaW5l"] {
            assert_eq!(without(&format!("x {text} y"), &values), "x *** y", "{text}");
        }
    }

    #[test]
    fn longer_values_go_first() {
        let values = ["s3cret-and-more".to_owned(), "s3cret".to_owned()];
        assert_eq!(without("a s3cret-and-more b s3cret", &values), "a *** b ***");
    }
}
